"""ICC profiles made of primaries and a curve.

They follow ICC.1:2022 (version 4) and ICC.1:2001 (version 2).
"""

from __future__ import annotations

import struct

import numpy as np

D65, D50 = (0.3127, 0.3290), np.array([0.9642, 1.0, 0.8249])
SRGB = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
ADOBE = ((0.640, 0.330), (0.210, 0.710), (0.150, 0.060))
BT2020 = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
DCI_WHITE = (0.314, 0.351)
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)


def to_xyz(primaries, white=D65):
    """Return the matrix from linear RGB to XYZ, with white at its own chromaticity."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
    x, y = white
    return columns * np.linalg.solve(columns, [x / y, 1, (1 - x - y) / y])


def adapted(primaries, white=D65):
    """Return that matrix adapted to D50 by Bradford's method, as a profile holds it."""
    matrix = to_xyz(primaries, white)
    gains = (_BRADFORD @ D50) / (_BRADFORD @ matrix.sum(axis=1))
    return np.linalg.inv(_BRADFORD) @ (gains[:, None] * (_BRADFORD @ matrix))


def profile(primaries=P3, white=D65, gamma=None, version=4, name="Display P3"):
    """Return the bytes of a display profile; its curve is sRGB's unless a gamma is given."""
    matrix = adapted(primaries, white)
    curve = _gamma(gamma) if gamma else _srgb_curve(version)
    tags = {b"desc": _text(name, version, b"desc"), b"cprt": _text("none", version, b"text")}
    tags[b"wtpt"] = _xyz(D50)
    for channel, colorant in zip((b"r", b"g", b"b"), matrix.T, strict=True):
        tags[channel + b"XYZ"], tags[channel + b"TRC"] = _xyz(colorant), curve
    at, table, body = 132 + 12 * len(tags), b"", b""
    for tag, value in tags.items():
        table += tag + struct.pack(">II", at + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    rest = struct.pack(">I", len(tags)) + table + body
    header = struct.pack(">I4xI", 128 + len(rest), version << 24) + b"mntrRGB XYZ "
    header += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp"
    header = header.ljust(68, b"\0") + _xyz(D50)[8:]
    return header.ljust(128, b"\0") + rest


def srgb_decoded(codes):
    """Decode codes in [0,1] by sRGB's curve, in float64."""
    codes = np.asarray(codes, np.float64)
    return np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)


def srgb_encoded(linear):
    """Encode linear values by sRGB's curve, clipped to [0,1]."""
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


def _fixed(values):
    return struct.pack(f">{len(values)}i", *(round(float(v) * 65536) for v in values))


def _xyz(values):
    return b"XYZ " + bytes(4) + _fixed(values)


def _gamma(gamma):
    return b"curv" + struct.pack(">4xIH", 1, round(gamma * 256))


def _srgb_curve(version):
    if version >= 4:
        parameters = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
        return b"para" + struct.pack(">4xH2x", 3) + _fixed(parameters)
    samples = np.rint(srgb_decoded(np.arange(1024) / 1023) * 65535).astype(">u2")
    return b"curv" + struct.pack(">4xI", samples.size) + samples.tobytes()


def _text(text, version, kind):
    if version >= 4:
        encoded = text.encode("utf-16-be")
        return b"mluc" + struct.pack(">4xII2s2sII", 1, 12, b"en", b"US", len(encoded), 28) + encoded
    plain = text.encode() + b"\0"
    if kind == b"text":
        return b"text" + bytes(4) + plain
    return b"desc" + struct.pack(">4xI", len(plain)) + plain + bytes(4 + 4 + 2 + 1 + 67)
