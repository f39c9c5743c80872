"""Faults that are put into artefacts to test the gates and the localisation."""
