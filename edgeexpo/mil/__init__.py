"""Runs saved ``.mlpackage`` files on any host: an interpreter of MIL in torch."""
