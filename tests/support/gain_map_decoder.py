"""A decoder of JPEG files with a gain map that shares no code with edgeexpo.

It follows ISO 21496-1 and Ultra HDR 1.0: Pillow decodes the two JPEGs, and NumPy applies the gain.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np
from PIL import Image

ISO = b"urn:iso:std:iso:ts:21496:-1\0"
RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
HDRGM = "{http://ns.adobe.com/hdr-gain-map/1.0/}"
ITEM = "{http://ns.google.com/photos/1.0/container/item/}"


@dataclass
class Gains:
    """Metadata of a gain map; arrays of three numbers."""

    low: np.ndarray
    high: np.ndarray
    gamma: np.ndarray
    base_offset: np.ndarray
    other_offset: np.ndarray
    headrooms: tuple[float, float]


def radiance(data, metadata="iso", headroom=np.inf):
    """Return linear HxWx3 radiance, where 1 is the base's white, in the base's primaries."""
    if metadata == "iso":
        second = by_index(data)
        gains = iso_gains(payload(second, b"\xff\xe2", ISO))
    else:
        second = by_directory(data)
        gains = xmp_gains(xmp(second))
    base, codes = (np.asarray(Image.open(io.BytesIO(file)), float) / 255 for file in (data, second))
    least, most = gains.headrooms
    weight = np.clip((min(headroom, most) - least) / (most - least), 0, 1)
    gain = gains.low + codes ** (1 / gains.gamma) * (gains.high - gains.low)
    linear = np.where(base <= 0.04045, base / 12.92, ((base + 0.055) / 1.055) ** 2.4)
    return (linear + gains.base_offset) * 2 ** (gain * weight) - gains.other_offset


def by_index(data):
    """Return the second JPEG, whose place the Multi-Picture index says."""
    header = data.index(b"MPF\0MM") + 4
    entries = header + struct.unpack_from(">I", data, header + 8 + 2 + 2 * 12 + 8)[0]
    (first,) = struct.unpack_from(">I", data, entries + 4)
    size, place = struct.unpack_from(">II", data, entries + 16 + 4)
    assert first == header + place, "the first picture ends where the second begins"
    assert len(data) == first + size
    return data[header + place :]


def by_directory(data):
    """Return the second JPEG, whose length the XMP data of the first say."""
    items = ElementTree.fromstring(xmp(data)).iter()
    lengths = [int(e.get(f"{ITEM}Length")) for e in items if e.get(f"{ITEM}Semantic") == "GainMap"]
    return data[-lengths[0] :]


def payload(jpeg, marker, name):
    """Return a segment of a JPEG behind its name."""
    at = jpeg.index(name)
    assert jpeg[at - 4 : at - 2] == marker
    (length,) = struct.unpack_from(">H", jpeg, at - 2)
    return jpeg[at + len(name) : at - 2 + length]


def xmp(jpeg):
    return payload(jpeg, b"\xff\xe1", b"http://ns.adobe.com/xap/1.0/\0")


def iso_gains(data):
    least, _, flags = struct.unpack_from(">HHB", data)
    assert least == 0
    assert flags & 0xC0 == 0xC0, "three channels, applied in the base's colours"
    pairs = np.array(struct.unpack(">4I" + "iIiIIIiIiI" * 3, data[5:]), float).reshape(-1, 2)
    numbers = pairs[:, 0] / pairs[:, 1]
    return Gains(*numbers[2:].reshape(3, 5).T, tuple(numbers[:2]))


def xmp_gains(text):
    (facts,) = ElementTree.fromstring(text).iter(f"{RDF}Description")
    assert facts.get(f"{HDRGM}Version") == "1.0"
    assert facts.get(f"{HDRGM}BaseRenditionIsHDR") == "False"

    def three(name):
        found = facts.find(f"{HDRGM}{name}")
        values = [facts.get(f"{HDRGM}{name}")] * 3
        return np.array(
            values if found is None else [e.text for e in found.iter(f"{RDF}li")], float
        )

    single = (three("HDRCapacityMin")[0], three("HDRCapacityMax")[0])
    names = ("GainMapMin", "GainMapMax", "Gamma", "OffsetSDR", "OffsetHDR")
    return Gains(*map(three, names), single)
