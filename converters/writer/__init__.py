"""Writes LCE `.tflite` files: see README.md in this folder."""
