"""The parity report: one HTML file that opens offline, verdicts first, worst pictures next."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgeexpo.artifact import write_file
from edgeexpo.parity.cases import PHOTOGRAPH, Case
from edgeexpo.parity.verdict import ArtifactParity, ParityReport

REPORT = "report.html"
AMPLIFICATION = 16
"""Error maps show |artefact - reference| times this."""

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto }
th, td { border-bottom: 1px solid #ccc; padding: .3rem .7rem; text-align: right }
th:first-child, td:first-child { text-align: left }
.verified { color: #087f23 } .unverified { color: #8a6100 }
.failed { color: #b00020; font-weight: 600 }
figure { display: inline-block; margin: .3rem; width: min(100%, 21rem); vertical-align: top }
img { width: 100%; height: auto } figcaption { font-size: .85rem; color: #555 }
"""

_COLUMNS = (
    ("psnr", "PSNR dB"),
    ("ssim", "SSIM"),
    ("max_abs", "max abs"),
    ("delta_e_p99", "dE2000 p99"),
    ("correction_snr", "correction SNR dB"),
    ("psnr_quantized", "PSNR dB to the quantised program"),
)
_ENGINES = {
    "mil-interpreter": "the saved package, interpreted operator by operator; "
    "not Apple's CPU, GPU or Neural Engine",
    "onnxruntime": "ONNX Runtime on this host's CPU",
    "executorch": "ExecuTorch and XNNPACK on this host's CPU; not a phone's",
    "coreml": "Apple's Core ML runtime on this Mac; not a phone's",
}


def write_report(report: ParityReport, path: Path) -> None:
    """Write ``report`` as one self-contained HTML file.

    Raises:
        OutputError: The file cannot be written.
    """
    write_file(path, "\n".join(_lines(report)).encode())


def _lines(report: ParityReport) -> Iterator[str]:
    verdict = "passed" if report.passed else "failed"
    title = f"{report.model}: parity {verdict}"
    yield '<!doctype html><html lang="en"><meta charset="utf-8">'
    yield f"<title>{html.escape(title)}</title>"
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<style>{_STYLE}</style><h1>{html.escape(title)}</h1>"
    device = report.reference
    yield (
        f"<p>Reference: float program on {html.escape(device.device)} "
        f"({html.escape(device.name)}), {device.dtype}. "
        "Each number is the worst over the photographs.</p>"
    )
    yield _table(report)
    if report.noise_floor is not None:
        yield (
            f"<p>Noise floor: quantising alone costs {report.noise_floor:.1f} dB PSNR at worst; "
            "an INT8 artefact must be at least as near to the quantised program.</p>"
        )
    yield from _agreement(report)
    cases = {c.name: c for c in report.cases if c.kind == PHOTOGRAPH}
    for artifact in report.artifacts:
        yield from _worst_picture(artifact, cases)
    yield "<h2>Probes</h2><p>Worst over generated pictures.</p>" + _table(report, probes=True)
    yield "</html>"


def _table(report: ParityReport, probes: bool = False) -> str:
    head = "".join(f"<th>{name}</th>" for _, name in _COLUMNS)
    rows = []
    for a in report.artifacts:
        found = a.worst_probe if probes else a.worst
        cells = "".join(f"<td>{_number(found.get(key))}</td>" for key, _ in _COLUMNS)
        by = html.escape(_ENGINES.get(a.verified_by or "", a.verified_by or "not run on this host"))
        reason = f"<br>{html.escape(a.error)}" if a.error else ""
        rows.append(
            f"<tr><td>{html.escape(a.file)}</td>{cells}"
            f'<td class="{a.status}">{a.status}{reason}</td><td>{by}</td></tr>'
        )
    return (
        f"<table><tr><th>artefact</th>{head}<th>verdict</th><th>run by</th></tr>"
        + "".join(rows)
        + "</table>"
    )


def _agreement(report: ParityReport) -> Iterator[str]:
    if not report.agreement:
        return
    yield "<h2>Agreement between targets</h2><table><tr><th>artefacts</th><th>PSNR dB</th></tr>"
    for row in report.agreement:
        files = " and ".join(html.escape(f) for f in row["files"])
        yield f"<tr><td>{files}</td><td>{row['psnr']:.1f}</td></tr>"
    yield "</table>"


def _worst_picture(artifact: ArtifactParity, cases: Mapping[str, Case]) -> Iterator[str]:
    rows = [r for r in artifact.per_input if r["name"] in cases and r["name"] in artifact.outputs]
    if not rows:
        return
    row = min(rows, key=lambda r: r["psnr"])
    reference, candidate = cases[row["name"]].reference, artifact.outputs[row["name"]]
    if reference.shape[2] != 3:
        return
    error = np.abs(candidate - reference) * AMPLIFICATION
    yield (
        f"<h2>{html.escape(artifact.file)}: worst photograph</h2>"
        f"<p>{html.escape(str(row['name']))}, {row['psnr']:.1f} dB</p>"
    )
    for picture, caption in (
        (reference, "reference"),
        (candidate, "artefact"),
        (error, f"difference, {AMPLIFICATION} times"),
    ):
        yield f'<figure><img alt="{caption}" src="{_data(picture)}"><figcaption>{caption}'
        yield "</figcaption></figure>"


def _data(picture: np.ndarray) -> str:
    from PIL import Image

    codes = (np.nan_to_num(np.clip(picture, 0, 1)) * 255).round().astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(codes).save(stream, "JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.4g}"
