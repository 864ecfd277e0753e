"""For authors: run an agent in a test of your own, without a platform."""
