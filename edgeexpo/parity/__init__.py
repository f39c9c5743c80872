"""The parity lab: proof that an artefact shows what the reference showed."""

from edgeexpo.parity.check import ArtifactParity, ParityReport, check_parity

__all__ = ["ArtifactParity", "ParityReport", "check_parity"]
