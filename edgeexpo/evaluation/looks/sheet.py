"""A contact sheet of looks: each scene's frames beside the picture, and what fails in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from edgeexpo.evaluation.looks.look import Look, Seen
from edgeexpo.evaluation.looks.report import PictureLooks
from edgeexpo.imaging.arrays import Picture

THUMBNAIL = 320
"""Width and largest height of a picture on the sheet, in pixels."""

_GAP, _LINE, _SIZE = 8, 18, 14
_PAPER, _INK, _FAULT = (250, 250, 250), (30, 30, 30), (170, 20, 20)


@dataclass
class Sheet:
    """A contact sheet that grows by a row for each picture."""

    _rows: list[Image.Image] = field(default_factory=list)

    def add(self, title: str, seen: Seen, measured: PictureLooks, looks: Sequence[Look]) -> None:
        """Add the frames and the picture, with a line of words for each look that fails.

        Args:
            title: Line above the row.
            seen: Frames and picture, HxWx3 float32, sRGB-encoded, [0, 1].
            measured: The looks of the picture.
            looks: The looks of the network.
        """
        thumbnails = [_thumbnail(p) for p in (*seen.frames, seen.picture)]
        words = [
            said(look, measured.values[look.name]) for look in looks if look.name in measured.failed
        ] or ["passes"]
        colour = _FAULT if measured.failed else _INK
        height = max(t.height for t in thumbnails) + _LINE * (1 + len(words)) + 2 * _GAP
        width = len(thumbnails) * (THUMBNAIL + _GAP) + _GAP
        row = Image.new("RGB", (width, height), _PAPER)
        draw, font = ImageDraw.Draw(row), ImageFont.load_default(_SIZE)
        draw.text((_GAP, 0), title, _INK, font)
        for index, thumbnail in enumerate(thumbnails):
            row.paste(thumbnail, (_GAP + index * (THUMBNAIL + _GAP), _LINE + _GAP // 2))
        top = _LINE + _GAP + max(t.height for t in thumbnails)
        for index, line in enumerate(words):
            draw.text((_GAP, top + index * _LINE), line, colour, font)
        self._rows.append(row)

    def drawn(self) -> np.ndarray:
        """Return the sheet, HxWx3 uint8."""
        width = max((row.width for row in self._rows), default=1)
        height = max(1, sum(row.height for row in self._rows))
        sheet = Image.new("RGB", (width, height), _PAPER)
        top = 0
        for row in self._rows:
            sheet.paste(row, (0, top))
            top += row.height
        return np.asarray(sheet)


def said(look: Look, value: float) -> str:
    """Write a value in words: what should be, what is, and the bound."""
    sign = ">=" if look.at_least else "<="
    return f"{look.title}: {value:.3g} {look.unit}, expected {sign} {look.bound:g}"


def _thumbnail(picture: Picture) -> Image.Image:
    image = Image.fromarray(np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8))
    image.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    return image
