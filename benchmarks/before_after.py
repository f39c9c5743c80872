"""Make the README's picture: two exposures of an embedded photograph and a bundle's results.

python benchmarks/before_after.py BUNDLE docs/before-after.jpg [--photograph coffee]
"""

from __future__ import annotations

import argparse
import zlib
from pathlib import Path

import numpy as np

from edgeexpo.imaging.camera import re_expose
from edgeexpo.imaging.files import write_picture
from edgeexpo.imaging.samples import embedded_photographs, to_float
from edgeexpo.runtime import load


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--photograph", default="coffee")
    given = parser.parse_args()
    photograph = to_float(dict(embedded_photographs())[given.photograph])
    under, over = re_expose(photograph, (-2.0, 2.0), seed=zlib.crc32(given.photograph.encode()))
    with load(given.bundle) as session:
        middle = session(under, over, ev=4.0, fuse=False)
        fused = session(under, over, ev=4.0)
    strip = np.concatenate([under, over, middle, fused], axis=1)[::2, ::2]
    write_picture(given.output, np.rint(strip * 255).astype(np.uint8))


if __name__ == "__main__":
    main()
