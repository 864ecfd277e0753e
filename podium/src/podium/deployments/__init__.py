"""Bundles: checked as hostile input, kept in the registry, unpacked and given their dependencies on each host."""
