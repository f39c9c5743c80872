"""The verdict for people and machines: page, words, JUnit, provenance."""
