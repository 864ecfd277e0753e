"""What an agent keeps between messages."""
