"""Agents are children of a small process that outlives the coordinator: this is how it is asked."""
