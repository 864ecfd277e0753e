"""The public front: names the caller, finds who owns an instance or places it, forwards, streams back. Keeps nothing."""
