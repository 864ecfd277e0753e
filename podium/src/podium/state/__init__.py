"""`state.db`, one per instance: inbox, attempts, turns, events, state and checkpoints. Written only by the coordinator."""
