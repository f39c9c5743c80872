"""Engines on another machine, which a program such as ``ssh`` reaches through a pair of pipes.

Here: ``address``, ``transport``, ``payload``, ``connection``, ``host`` and ``engine``. There:
``bootstrap``, ``serving``, ``store`` and ``facts``. Both sides use ``framing``.
"""
