"""Attempts to make artefacts: what one of them cannot do is kept as a reason and stops no other."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from torch.fx import GraphModule

from edgeexpo.bundle.manifest import Refusal, summary
from edgeexpo.errors import (
    EdgeexpoError,
    ExportError,
    ModuleError,
    OutputError,
    UsageError,
)
from edgeexpo.failures import message_of, show_trace
from edgeexpo.program.stages import stage
from edgeexpo.progress import note


class Attempts:
    """The targets and precisions of one export that could not be made, with the reasons."""

    def __init__(self) -> None:
        self._failed: list[tuple[str, EdgeexpoError | MemoryError]] = []
        self._refused: list[Refusal] = []

    @property
    def refused(self) -> tuple[Refusal, ...]:
        """The refusals, in the order in which they were found."""
        return tuple(self._refused)

    @contextlib.contextmanager
    def at(
        self,
        targets: Sequence[str],
        precision: str,
        doing: str,
        advice: str,
        graph: GraphModule | None = None,
    ) -> Iterator[None]:
        """Keep what the block cannot do as a refusal of ``targets`` at ``precision``.

        Arguments that cannot be used and a disk that refuses stop the whole export.

        Args:
            targets: The targets that need what the block makes.
            precision: Their precision.
            doing: What the block does, in words.
            advice: What the user can do if it fails.
            graph: Graph of the network, in which an operator is looked up.

        Raises:
            UsageError: An argument, a picture or a weight cannot be used.
            OutputError: The disk refuses.
        """
        try:
            with stage(doing, advice, graph):
                yield
        except OutputError:
            raise
        except (EdgeexpoError, MemoryError) as error:
            if isinstance(error, UsageError) and not isinstance(error, ModuleError):
                raise
            self._failed.append((doing, error))
            self._refused += [Refusal(t, precision, _reason(error, doing)) for t in targets]

    def tell(self) -> None:
        """Print where the traces of unforeseen failures are, one line each."""
        for doing, error in self._failed:
            show_trace(error)
            for told in getattr(error, "__notes__", ()):
                note(f"edgeexpo: {doing} failed; {told}")

    def error(self) -> EdgeexpoError:
        """Return the error for an export of which nothing could be made.

        It is the one that was raised, if there was only one, else an :class:`ExportError` with
        every reason once.
        """
        if len(self._failed) == 1 and isinstance(self._failed[0][1], EdgeexpoError):
            return self._failed[0][1]
        error = ExportError(f"nothing could be exported: {summary(self._refused)}")
        for _, found in self._failed:
            show_trace(found)
            for told in getattr(found, "__notes__", ()):
                error.add_note(told)
        return error


def _reason(error: EdgeexpoError | MemoryError, doing: str) -> str:
    if isinstance(error, MemoryError):
        return f"{doing} took more memory than there is; use a smaller `size`"
    return " ".join(message_of(error).split())
