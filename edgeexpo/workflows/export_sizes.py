"""Sizes of artefacts that are right on the network's grid and wrong between."""

from __future__ import annotations

import dataclasses

from edgeexpo.bundle.manifest import Artifact, Manifest
from edgeexpo.parity.verdict import ParityReport
from edgeexpo.spec import SizeRange


def on_grid(manifest: Manifest, report: ParityReport) -> Manifest | None:
    """Bind failed artefacts to the grid of the network's tiles, for a second check.

    A converter may write an operator that is right at the sizes at which it was traced, for example
    a pool whose windows fit. At other sizes it then shows another picture than the network.

    Args:
        manifest: The manifest of the bundle that was checked.
        report: The result of the check.

    Returns:
        The manifest with fewer sizes for artefacts that failed, or ``None`` if no artefact that
        failed takes sizes off the grid.
    """
    cell = manifest.model.footprint.cell
    failed = {row.file for row in report.artifacts if row.status == "failed"}
    bound = tuple(_bound(a, cell) if a.file in failed else a for a in manifest.artifacts)
    if bound == manifest.artifacts:
        return None
    return dataclasses.replace(manifest, artifacts=bound)


def _bound(artifact: Artifact, cell: int) -> Artifact:
    sizes = artifact.sizes
    low = -(-sizes.smallest[0] // cell) * cell, -(-sizes.smallest[1] // cell) * cell
    high = sizes.largest[0] // cell * cell, sizes.largest[1] // cell * cell
    one_size = sizes.enumerated or sizes.smallest == sizes.largest
    if one_size or sizes.multiple % cell == 0 or not (low[0] < high[0] and low[1] < high[1]):
        return artifact
    return dataclasses.replace(artifact, sizes=SizeRange(high, low, cell))
