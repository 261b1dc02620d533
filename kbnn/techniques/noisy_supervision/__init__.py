"""Learning with noisy supervision: whole filters mapped to binary weights."""
