"""The errors that edgeexpo raises on purpose.

::

    EdgeexpoError
    ├── UsageError                exit 2   bad arguments or bad input; nothing was written
    │   ├── PictureError                   a picture cannot be used: truncated, alpha, wrong size...
    │   ├── WeightsError                   a checkpoint does not fit: keys, NaN, unsafe pickle
    │   ├── ModuleError                    a user's module cannot be used: import, tuple output
    │   ├── BundleError                    a bundle is damaged: wrong digest, missing file
    │   └── ExistingOutputError            the output exists, and nothing says to replace it
    ├── ExportError               exit 1   a conversion failed; names the operator and the line
    ├── TrainingError             exit 1   a loss that is not finite; the last checkpoint stays
    ├── EngineError               exit 1   an engine failed to load or to run an artefact
    ├── HostError                 exit 1   another machine cannot be reached, or lacks something
    │   └── LostConnectionError            the connection to it broke, twice
    ├── OutputError               exit 1   the result cannot be written: full disk, read-only folder
    ├── GateError                 exit 3   a parity gate or a look failed
    ├── MissingDependencyError    exit 4   an optional package or engine is missing; names the extra
    ├── UnverifiedError           exit 5   exported but not verified, where that was demanded
    └── InternalError             exit 1   nothing foresaw it; names a file for a report

A message is one line: what was found, what was expected, and the way out.
"""

from __future__ import annotations


class EdgeexpoError(Exception):
    """Base of all errors raised on purpose; ``exit_code`` is the process exit code."""

    exit_code = 1


class UsageError(EdgeexpoError):
    """Bad arguments or bad input; nothing was written."""

    exit_code = 2


class PictureError(UsageError):
    """A picture cannot be used."""


class WeightsError(UsageError):
    """A checkpoint does not fit its network, or cannot be read safely."""


class ModuleError(UsageError):
    """A user's module cannot be used."""


class BundleError(UsageError):
    """A bundle is damaged, incomplete or not a bundle."""


class ExportError(EdgeexpoError):
    """A conversion failed."""

    exit_code = 1


class TrainingError(EdgeexpoError):
    """A training run cannot continue; its last good checkpoint is kept."""

    exit_code = 1


class EngineError(EdgeexpoError):
    """An engine failed to load or to run an artefact."""

    exit_code = 1


class HostError(EdgeexpoError):
    """Another machine cannot be reached, or lacks what is needed there."""

    exit_code = 1


class LostConnectionError(HostError):
    """The connection to another machine broke or hangs."""


class OutputError(EdgeexpoError):
    """The result cannot be written."""

    exit_code = 1


class ExistingOutputError(UsageError, OutputError):
    """The output exists, and nothing says that it may be replaced."""


class GateError(EdgeexpoError):
    """A parity gate or a look failed."""

    exit_code = 3


class MissingDependencyError(EdgeexpoError):
    """An optional package or engine is missing."""

    exit_code = 4


class UnverifiedError(EdgeexpoError):
    """An artefact was exported but not verified, where that was demanded."""

    exit_code = 5


class InternalError(EdgeexpoError):
    """A failure that nothing foresaw, in edgeexpo or in a library that it calls."""

    exit_code = 1
