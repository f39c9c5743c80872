"""Localisation: find the layer whose values leave the program's, after aligning both."""
