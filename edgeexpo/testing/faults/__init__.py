"""Faults put into artefacts, to test the gates and the localisation with."""
