"""The host's journal: every change of every instance's state, in one file at a time, with one fsync for all that waits."""
