"""The kbnn command."""
