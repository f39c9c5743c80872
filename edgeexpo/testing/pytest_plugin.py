"""The pytest plugin: ``def test_ships(edge_parity): edge_parity("dist/lrl").check()``.

pytest loads this module at every start. It therefore imports nothing heavy before the fixture is
used.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from edgeexpo.parity.verdict import ParityReport

OpenParity = Callable[..., "Parity"]
"""Type of the fixture's value: a function that opens a bundle for a parity check."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options, which are the defaults of a test's arguments."""
    group = parser.getgroup("edgeexpo", "parity of exported networks")
    group.addoption(
        "--edge-reference",
        metavar="NAME",
        help="reference of edge_parity: auto, cuda, mps, xpu, cpu or golden",
    )
    group.addoption(
        "--edge-images", metavar="DIR", help="photographs or brackets that edge_parity judges on"
    )
    group.addoption(
        "--edge-gate",
        action="append",
        default=[],
        metavar="GATE",
        help="replace a bound of edge_parity, as in 'psnr>=45'; repeat it for each",
    )
    group.addoption(
        "--edge-report", metavar="DIR", help="write a report with pictures for every bundle there"
    )


class Parity:
    """A bundle under test; nothing runs before :attr:`report` or :meth:`check` is used.

    Args:
        bundle: The bundle's folder.
        reference: As in :func:`edgeexpo.check_parity`.
        images: Folder of photographs or brackets; the embedded photographs by default.
        target: Only artefacts of this target.
        precision: Only artefacts of this precision.
        gates: Bounds as ``psnr>=45``; they replace the bundle's bounds on the same metric.
        keep: Function that is called with the name and the value of each fact for JUnit.
        pages: Folder for the report; ``None`` writes no report.
    """

    def __init__(
        self,
        bundle: str | os.PathLike[str],
        *,
        reference: str = "auto",
        images: str | os.PathLike[str] | None = None,
        target: str | None = None,
        precision: str | None = None,
        gates: Sequence[str] = (),
        keep: Callable[[str, object], None],
        pages: Path | None = None,
    ) -> None:
        self._bundle = Path(bundle)
        self._reference = reference
        self._images = images
        self._target = target
        self._precision = precision
        self._gates = tuple(gates)
        self._keep = keep
        self._pages = pages

    @cached_property
    def report(self) -> ParityReport:
        """The report of :func:`edgeexpo.check_parity`, which runs once and may raise."""
        from edgeexpo.parity.check import check_parity
        from edgeexpo.parity.gates import parse_gate
        from edgeexpo.parity.report.junit import properties

        report = check_parity(
            self._bundle,
            reference=self._reference,
            images=self._images,
            target=self._target,
            precision=self._precision,
            gates=[parse_gate(text) for text in self._gates],
        )
        for artifact in report.artifacts:
            for name, value in properties(artifact).items():
                self._keep(f"{artifact.file}.{name}", value)
        if self._pages is not None:
            self._write_page(report, self._pages)
        return report

    def check(self, *, strict: bool = False) -> None:
        """Fail the test when an artefact failed.

        Args:
            strict: True fails the test for artefacts that could not be run, too.

        Raises:
            AssertionError: An artefact failed; the message is the verdict in words.
        """
        __tracebackhide__ = True
        from edgeexpo.parity.report.words import verdict

        unverified = [a.file for a in self.report.artifacts if a.status == "unverified"]
        if not self.report:
            raise AssertionError(verdict(self.report))
        if strict and unverified:
            raise AssertionError(f"not verified: {', '.join(unverified)}\n{verdict(self.report)}")

    def _write_page(self, report: ParityReport, folder: Path) -> None:
        from edgeexpo.bundle.bundle import Bundle
        from edgeexpo.parity.report.html import write_report
        from edgeexpo.writing import check_file

        path = folder / f"{self._bundle.resolve().name}.html"
        check_file(path, force=True)
        write_report(report, path, Bundle.open(self._bundle))


@pytest.fixture
def edge_parity(request: pytest.FixtureRequest) -> OpenParity:
    """Open a bundle for a parity check: ``edge_parity("dist/lrl").check()``.

    The fixture takes the keywords of :class:`Parity`. The defaults come from ``--edge-reference``,
    ``--edge-images`` and ``--edge-gate``.
    """
    option = request.config.getoption
    pages = option("--edge-report")

    def keep(name: str, value: object) -> None:
        # record_property would warn under pytest's default JUnit family, "xunit2".
        request.node.user_properties.append((name, value))

    def opened(
        bundle: str | os.PathLike[str],
        *,
        reference: str | None = None,
        images: str | os.PathLike[str] | None = None,
        target: str | None = None,
        precision: str | None = None,
        gates: Sequence[str] = (),
    ) -> Parity:
        return Parity(
            bundle,
            reference=reference or option("--edge-reference") or "auto",
            images=images or option("--edge-images"),
            target=target,
            precision=precision,
            gates=[*option("--edge-gate"), *gates],
            keep=keep,
            pages=None if pages is None else Path(pages),
        )

    return opened
