"""Binary architectures."""
