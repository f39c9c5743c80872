"""Looks: gates on what a network's pictures look like, apart from parity and from any truth."""
