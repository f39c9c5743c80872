"""Read files that users bring: whatever a library raises for a damaged one becomes one line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from edgeexpo.errors import EdgeexpoError
from edgeexpo.failures import described, first_line


@contextlib.contextmanager
def reading(path: Path, kind: type[EdgeexpoError], what: str, advice: str) -> Iterator[None]:
    """Turn every exception of the block into a typed error about the file.

    Readers of archives, pickles and headers raise any exception for bytes that they do not expect:
    torch 2.13 and numpy 2.3 raise ``KeyError``, ``TypeError`` and ``AttributeError``, among others.
    Code that checks what was read belongs into the block as well.

    Args:
        path: The file.
        kind: Class of the error.
        what: What the file turned out to be, as in ``is not a readable checkpoint``.
        advice: What the user can do.

    Raises:
        EdgeexpoError: Of class ``kind``; or the block's own, unchanged.
    """
    try:
        yield
    except EdgeexpoError:
        raise
    except OSError as error:
        reason = error.strerror or first_line(str(error)) or type(error).__name__
        raise kind(f"{path} {what} ({reason}); {advice}") from error
    except Exception as error:  # a reader may raise anything
        raise kind(f"{path} {what} ({described(error)}); {advice}") from error
