"""What the demo is made of, beside its story."""
