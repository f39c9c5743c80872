"""Metrics, gates, engines and verdicts in words for people."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeexpo.targets import runners

if TYPE_CHECKING:
    from edgeexpo.parity.verdict import ParityReport

UNKNOWN_ENGINE = "This page does not describe this engine."
"""Words for an engine that no target's record has."""


@dataclass(frozen=True)
class Words:
    """A metric for people: its name, its unit, and the visible effect of a bad value."""

    label: str
    unit: str = ""
    meaning: str = ""


METRIC_WORDS: Mapping[str, Words] = {
    "psnr": Words("PSNR", "dB", "The whole picture is off by more than the precision explains."),
    "ssim": Words("SSIM", "", "Fine structure is lost or invented."),
    "ms_ssim": Words("MS-SSIM", "", "Coarse structure, such as halos, is lost or invented."),
    "codes_off": Words("beyond a code", "% of values", "Values differ by more than rounding."),
    "max_abs": Words("largest error", "", "At least one pixel is off by more than rounding."),
    "delta_e_mean": Words("dE2000 mean", "", "The picture as a whole is tinted."),
    "delta_e_p95": Words("dE2000 p95", "", "One pixel in twenty has another colour."),
    "delta_e_p99": Words("dE2000 p99", "", "One pixel in a hundred has visibly another colour."),
    "correction_snr": Words(
        "correction SNR", "dB", "What the network adds to its input is drowned in error."
    ),
    "pu21_psnr": Words("PU21-PSNR", "dB", "On an HDR display the difference shows."),
    "luminance_shift": Words("mean luminance shift", "steps", "The picture is brighter or darker."),
    "contrast_change": Words("contrast change", "%", "Range or gain is another: 16-235 has -14%."),
    "color_cast": Words("colour cast", "%", "Neutral tones are tinted."),
    "clipped_change": Words("clipped pixels", "%", "Highlights or shadows are lost."),
    "overshoot": Words("overshoot", "steps", "Values leave the range: a clamp is missing."),
    "banding": Words("banding", "steps", "Smooth tones show stairs that the reference lacks."),
    "pixel_shift": Words("pixel shift", "px", "The picture is displaced; merging doubles edges."),
    "orientation": Words("orientation", "", "The picture is mirrored, rotated or transposed."),
    "channel_order": Words("channel order", "", "Red, green and blue are swapped."),
    "border_excess": Words("border error", "steps", "The border was padded in another way."),
    "nonfinite": Words("not finite", "%", "NaN or infinite values: an overflow, or worse."),
    "frame_order": Words("frame order", "", "The dark and the bright frame are swapped."),
    "seam": Words("seams", "steps", "Tile borders show."),
    "equal_frames": Words("equal frames", "steps", "Equal frames do not give the frame back."),
    "asymmetry": Words("asymmetry", "steps", "A mirrored picture gives another result."),
    "steps_max": Words("largest difference", "steps"),
    "steps_p99": Words("99% differ by at most", "steps"),
    "flicker": Words("flicker", "steps", "Brightness changes from frame to frame of a sequence."),
}
"""Words for metrics, by the name that gates and records use."""

_QUANTIZED, _TO_QUANTIZED = "_quantized", " to the quantised program"
_AGAINST, _FLOOR = " against the quantized program", " by the noise floor"
_LOWERING = "Lowering to this target damaged it: quantising alone does not explain the difference."
_LINE = re.compile(
    r"^(?P<metric>\w+)(?P<sign>>=|<=)(?P<bound>\S+)(?P<where>.*), found (?P<value>\S+)(?P<more>.*)$"
)


def engine_words(name: str) -> str:
    """What a run by the engine of this name proves, and what it does not."""
    return next((r.words for r in runners() if r.name == name), UNKNOWN_ENGINE)


def words_for(metric: str) -> Words:
    """Return the words for ``metric``.

    A metric with the suffix ``_quantized`` compares with the quantised program.
    """
    name = metric.removesuffix(_QUANTIZED)
    words = METRIC_WORDS.get(name, Words(name.replace("_", " ")))
    if name == metric:
        return words
    return Words(words.label + _TO_QUANTIZED, words.unit, _LOWERING)


def heading(metric: str) -> str:
    """Return the column heading of ``metric``: label and unit."""
    words = words_for(metric)
    label = words.label.replace(_TO_QUANTIZED, " to quantised")
    return f"{label} ({words.unit})" if words.unit else label


def figure(metric: str, value: object) -> str:
    """Return label, value and unit: ``PSNR 41.2 dB``."""
    words = words_for(metric)
    return f"{words.label} {number_text(value)} {words.unit}".rstrip()


def in_words(gate: str) -> dict[str, str]:
    """Turn a failed gate's line into a sentence, a short form and its meaning for the picture.

    Lines of another form than ``METRIC>=BOUND..., found VALUE...`` are unchanged.
    """
    match = _LINE.match(gate)
    if not match:
        return {"words": gate, "short": gate, "meaning": ""}
    metric, where = match["metric"], match["where"]
    if _AGAINST in where:
        metric, where = metric + _QUANTIZED, where.replace(_AGAINST, "")
    floor = _FLOOR if _FLOOR in where else ""
    place = where.replace(_FLOOR, "") or " on the worst photograph"
    words = words_for(metric)
    unit = f" {words.unit}" if words.unit else ""
    sign = "at least" if match["sign"] == ">=" else "at most"
    label = words.label if words.label[1].isupper() else words.label[0].upper() + words.label[1:]
    found = f"{label}{place}: found {match['value']}{unit}{match['more']}"
    bound = f"{sign} {match['bound']}{unit} is required{floor}"
    return {
        "words": f"{found}; {bound}.",
        "short": f"{label} {match['value']}{unit}",
        "meaning": words.meaning,
    }


def number_text(value: object) -> str:
    """Return a number as tables show it; an en dash for a missing number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "\N{EN DASH}"
    if value == 0:
        return "0"
    if abs(value) < 1e-3 or abs(value) >= 1e5:
        return f"{value:.1e}"
    return f"{value:.4g}"


def verdict(report: ParityReport) -> str:
    """Return the verdict over a bundle in plain text: a line per artefact, then its failures."""
    word = "passed" if report.passed else "failed"
    device = report.reference
    return "\n".join(
        (f"{report.model}: parity {word} ({device.device}: {device.name})", *_verdict_lines(report))
    )


def _verdict_lines(report: ParityReport) -> Iterator[str]:
    for artifact in report.artifacts:
        by = f" by {artifact.verified_by}" if artifact.verified_by else ""
        worst = (
            f", worst photograph {figure('psnr', artifact.worst['psnr'])}" if artifact.worst else ""
        )
        yield f"  {artifact.label}: {artifact.status}{by}{worst}"
        reasons = [in_words(gate)["words"] for gate in artifact.failed_gates]
        if not reasons and artifact.error:
            reasons = [artifact.error]
        yield from (f"    {reason}" for reason in reasons)
