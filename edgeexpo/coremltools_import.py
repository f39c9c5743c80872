"""The import of coremltools without the libraries that no code of the product uses through it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from edgeexpo import targets

_COREMLTOOLS = "coremltools"

_OF_OTHER_SOURCES = ("sklearn", "transformers")
"""Libraries whose models nothing here converts."""

_OF_CONVERSION = ("torchao",)
"""Libraries that some conversions need, and the reading of a package does not.

The converters of the other targets come to these.
"""


def _of_conversion() -> tuple[str, ...]:
    converters = (record.converter for record in targets.TARGETS.values())
    return (*_OF_CONVERSION, *(c for c in converters if c and c != _COREMLTOOLS))


@contextlib.contextmanager
def light_coremltools(converts: bool = True) -> Iterator[None]:
    """Hide libraries from a first import of coremltools inside the block.

    coremltools 9.0 looks for every library whose models it could convert, and imports what it
    finds. In a new process this takes most of its time.

    Args:
        converts: Whether the process may convert a network later. If not, torch's libraries of
            quantisation and export are hidden as well.
    """
    hidden = _OF_OTHER_SOURCES if converts else (*_OF_OTHER_SOURCES, *_of_conversion())
    missing = [name for name in hidden if name not in sys.modules]
    if _COREMLTOOLS not in sys.modules:
        sys.modules.update(dict.fromkeys(missing))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in missing:
            if name in sys.modules and sys.modules[name] is None:
                del sys.modules[name]
