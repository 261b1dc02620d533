"""The command `kbnn`."""
