"""Metrics: differences that a photographer would see, as numbers."""
