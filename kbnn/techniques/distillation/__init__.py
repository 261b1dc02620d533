"""Distillation: a network that was trained before teaches the binary one."""
