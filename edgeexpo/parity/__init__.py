"""The parity lab: proof that an artefact shows what the reference showed."""

from edgeexpo.parity.check import check_parity
from edgeexpo.parity.verdict import ArtifactParity, ParityReport

__all__ = ["ArtifactParity", "ParityReport", "check_parity"]
