"""Metadata of a gain map, as ISO 21496-1 and as XMP data of the namespace ``hdrgm`` hold them."""

from __future__ import annotations

import struct
from dataclasses import dataclass

ISO_VERSION = 0
"""Version of ISO 21496-1 that is known here: the least one that a reader must understand."""

XMP_VERSION = "1.0"
"""Version of the ``hdrgm`` namespace that is known here."""

HDRGM = "http://ns.adobe.com/hdr-gain-map/1.0/"
"""Name of the ``hdrgm`` namespace."""

_UNIT = 1 << 20
"""Denominator of all numbers in ISO 21496-1 data that are written here."""

_MANY_CHANNELS, _COLOURS_OF_BASE = 0x80, 0x40


@dataclass(frozen=True)
class GainMapMetadata:
    """How the codes of a gain map turn a base picture into radiance, channel by channel.

    With codes in [0, 1], and base and radiance linear where 1 is the white of ordinary displays::

        gain = low + code * (high - low)
        radiance = (base + offset) * 2 ** gain - offset

    A display that shows less than ``headroom`` applies a part of the gain. Numbers are rounded to
    what the file holds.

    Attributes:
        low: Gain of code 0 in stops, for red, green and blue.
        high: Gain of code 1 in stops.
        offset: Offset of base and radiance, which keeps the gain of black finite.
        headroom: log2 of the brightest radiance, above 0.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    offset: float
    headroom: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "low", tuple(map(_rounded, self.low)))
        object.__setattr__(self, "high", tuple(map(_rounded, self.high)))
        object.__setattr__(self, "offset", _rounded(self.offset))
        object.__setattr__(self, "headroom", _rounded(self.headroom))

    def iso(self) -> bytes:
        """Return the metadata in the binary form of ISO 21496-1, annex C.2."""
        data = iso_versions() + bytes([_MANY_CHANNELS | _COLOURS_OF_BASE])
        data += _fraction(0) + _fraction(self.headroom)
        for low, high in zip(self.low, self.high, strict=True):
            numbers = (low, high, 1, self.offset, self.offset)
            data += b"".join(map(_fraction, numbers))
        return data

    def xmp(self) -> bytes:
        """Return the metadata as XMP data of the gain map's own picture."""
        sequences = {"GainMapMin": self.low, "GainMapMax": self.high}
        single = {
            "Gamma": 1.0,
            "OffsetSDR": self.offset,
            "OffsetHDR": self.offset,
            "HDRCapacityMin": 0.0,
            "HDRCapacityMax": self.headroom,
        }
        attributes = "".join(f' hdrgm:{name}="{value:.7f}"' for name, value in single.items())
        return _packet(
            f'hdrgm:Version="{XMP_VERSION}"{attributes} hdrgm:BaseRenditionIsHDR="False"',
            "".join(
                f"<hdrgm:{name}><rdf:Seq>"
                + "".join(f"<rdf:li>{value:.7f}</rdf:li>" for value in values)
                + f"</rdf:Seq></hdrgm:{name}>"
                for name, values in sequences.items()
            ),
        )


def iso_versions() -> bytes:
    """Return the least version that a reader must know, and the writer's, as ISO 21496-1 does."""
    return struct.pack(">HH", ISO_VERSION, ISO_VERSION)


def directory_xmp(gain_map_bytes: int) -> bytes:
    """Return XMP data of the base picture: the file holds it and a gain map (Ultra HDR 1.0)."""
    item = '<rdf:li rdf:parseType="Resource"><Container:Item Item:Mime="image/jpeg" Item:{}/>'
    items = ('Semantic="Primary"', f'Semantic="GainMap" Item:Length="{gain_map_bytes}"')
    listed = "".join(item.format(words) + "</rdf:li>" for words in items)
    return _packet(
        'xmlns:Container="http://ns.google.com/photos/1.0/container/" '
        'xmlns:Item="http://ns.google.com/photos/1.0/container/item/" '
        f'hdrgm:Version="{XMP_VERSION}"',
        f"<Container:Directory><rdf:Seq>{listed}</rdf:Seq></Container:Directory>",
    )


def _packet(attributes: str, body: str) -> bytes:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about="" xmlns:hdrgm="{HDRGM}" {attributes}>{body}'
        "</rdf:Description></rdf:RDF></x:xmpmeta>"
    ).encode()


def _rounded(value: float) -> float:
    return round(value * _UNIT) / _UNIT


def _fraction(value: float) -> bytes:
    return struct.pack(">iI", round(value * _UNIT), _UNIT)
