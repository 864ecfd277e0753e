"""Keeps the processes of `podium up` running: started in order, restarted when they end, stopped in reverse."""
