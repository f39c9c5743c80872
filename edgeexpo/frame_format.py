"""The format of a camera's frame, or of a picture for a display."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from edgeexpo.errors import UsageError

LAYOUTS = ("rgb", "bgr", "planar", "nv12", "nv21", "i420", "p010")
"""Layouts of a frame: orders of RGB channels, and arrangements of YUV 4:2:0 planes."""

MATRICES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}
)
"""Matrices of YUV: the weights of red and blue in luma, by name."""

SITINGS: Mapping[str, tuple[bool, bool]] = MappingProxyType(
    {"left": (False, True), "center": (False, False), "topleft": (True, True)}
)
"""Chroma sitings by name: whether chroma lies on a luma row, and whether on a luma column.

Otherwise a chroma sample lies half way between two luma samples.
"""

TRANSFERS = ("srgb", "pq", "hlg")
"""Transfers of a frame: ``srgb``, and ``pq`` and ``hlg`` of ITU-R BT.2100."""


@dataclass(frozen=True)
class FrameFormat:
    """The format of a frame: its layout, its colour coding and its orientation.

    Attributes:
        layout: ``rgb`` and ``bgr`` are HxWx3, ``planar`` is 3xHxW (RGB). Their dtype is uint8,
            uint16, or float16 or float32 in [0,1]. The other layouts are YUV 4:2:0 with even height
            and width. ``nv12`` is Y, then U and V interleaved. ``nv21`` has V before U. ``i420`` is
            Y, U, V. ``p010`` is ``nv12`` with ten bits in the upper bits of uint16.
        matrix: ``bt601``, ``bt709`` or ``bt2020``, for YUV.
        full_range: True when Y, U and V use 0 to 255. Otherwise Y uses 16 to 235, and U and V use
            16 to 240.
        siting: Where chroma samples lie: ``left`` (MPEG-2, H.264), ``center`` (JPEG) or ``topleft``
            (BT.2020).
        rotation: Clockwise angle that turns the frame upright, in degrees: 0, 90, 180 or 270.
        mirror: True when the upright frame is mirrored left to right, as by front cameras.
        transfer: ``srgb`` is encoded for an ordinary display, as networks expect pictures. ``pq``
            and ``hlg`` (ITU-R BT.2100, primaries of BT.2020) are for a network's radiance.
        peak_nits: Luminance of radiance 1 in cd/m^2, for ``pq``.

    Raises:
        UsageError: A name or an angle is unknown, ``peak_nits`` is out of range, or the layout has
            too few bits for the transfer.
    """

    layout: str = "rgb"
    matrix: str = "bt709"
    full_range: bool = False
    siting: str = "left"
    rotation: int = 0
    mirror: bool = False
    transfer: str = "srgb"
    peak_nits: float = 1000.0

    def __post_init__(self) -> None:
        for name, allowed in (
            ("layout", LAYOUTS),
            ("matrix", tuple(MATRICES)),
            ("siting", tuple(SITINGS)),
            ("rotation", (0, 90, 180, 270)),
            ("transfer", TRANSFERS),
        ):
            if getattr(self, name) not in allowed:
                raise UsageError(
                    f"{name} of a frame is {getattr(self, name)!r}; "
                    f"expected {', '.join(map(str, allowed))}"
                )
        if not 0 < self.peak_nits <= 10_000:
            raise UsageError(f"peak_nits is {self.peak_nits}; expected above 0 and up to 10000")
        if self.is_hdr and self.is_yuv and (self.layout, self.matrix) != ("p010", "bt2020"):
            raise UsageError(
                f"{self.transfer} in {self.layout} with {self.matrix}; expected p010 with bt2020, "
                "or rgb of 16 bits or floats"
            )

    def __str__(self) -> str:
        """Return the words of the format that :func:`parse_frame_format` takes.

        Words that do not apply to the layout are left out.
        """
        words = [self.layout]
        if self.is_yuv:
            words += [self.matrix, "full" if self.full_range else "limited", self.siting]
        if self.rotation:
            words.append(f"rotate{self.rotation}")
        if self.mirror:
            words.append("mirror")
        if self.is_hdr:
            words.append(f"pq{self.peak_nits:.0f}" if self.transfer == "pq" else self.transfer)
        return ",".join(words)

    @property
    def is_yuv(self) -> bool:
        """True for 4:2:0 layouts."""
        return self.layout in ("nv12", "nv21", "i420", "p010")

    @property
    def is_hdr(self) -> bool:
        """True for the transfers of BT.2100."""
        return self.transfer in ("pq", "hlg")


def parse_frame_format(text: str) -> FrameFormat:
    """Parse a format from words in any order, as in ``nv12,bt709,limited,left,rotate90,mirror``.

    ``full`` and ``limited`` set the range. ``pq`` may carry the peak in cd/m^2 (``pq1000``).

    Raises:
        UsageError: A word is unknown, or two words contradict each other.
    """
    found: dict[str, object] = {}
    for word in text.split(","):
        for name, value in _fields(word.strip().lower()):
            if name in found:
                raise UsageError(f"frame format {text!r} gives its {name} twice; leave one out")
            found[name] = value
    return FrameFormat(**found)  # type: ignore[arg-type]


def _fields(word: str) -> list[tuple[str, object]]:
    for name, allowed in (
        ("layout", LAYOUTS),
        ("matrix", MATRICES),
        ("siting", SITINGS),
        ("transfer", TRANSFERS),
    ):
        if word in allowed:
            return [(name, word)]
    if word in ("full", "limited"):
        return [("full_range", word == "full")]
    if word == "mirror":
        return [("mirror", True)]
    if word.startswith("rotate") and word[6:].isdigit():
        return [("rotation", int(word[6:]))]
    if word.startswith("pq") and word[2:].isdigit():
        return [("transfer", "pq"), ("peak_nits", float(word[2:]))]
    raise UsageError(
        f"{word!r} is not part of a frame format; expected words of "
        f"{', '.join(LAYOUTS)}; {', '.join(MATRICES)}; full, limited; {', '.join(SITINGS)}; "
        "rotate90, rotate180, rotate270; mirror; pq, pq1000, hlg"
    )
