"""Pruning: the choice and the removal of channels that a network can do without."""
