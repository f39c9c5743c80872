"""The size at which a network sees a picture that it has to see whole."""

from __future__ import annotations

from edgeexpo.runtime.stages import ENLARGING
from edgeexpo.runtime.tiling import check_whole, fits_whole
from edgeexpo.spec import ModelSpec, SizeRange


def network_size(spec: ModelSpec, sizes: SizeRange, height: int, width: int) -> tuple[int, int]:
    """Height and width to which frames are scaled before the front stage and the network.

    It is the frames' own size for networks that run in tiles, for those whose inputs have a fixed
    size (their front stage scales), and wherever the artefact takes the picture whole. Else, when
    the back stage enlarges (:data:`edgeexpo.runtime.stages.ENLARGING`), the picture is scaled down
    to fit ``spec.longest`` and the artefact's largest size with its aspect ratio kept (to the
    network's ``multiple``); an artefact with enumerated sizes then gets exactly the smallest of
    them that covers this, since reflecting would change what a network that looks at the whole
    picture gives.

    Raises:
        PictureError: The artefact does not take the picture and no back stage enlarges.
    """
    any_size = spec.halo is not None or spec.fixed_size is not None
    seen_whole = spec.longest is None or max(height, width) <= spec.longest
    if any_size or (seen_whole and fits_whole(height, width, sizes)):
        return height, width
    if spec.back is None or spec.back.kind not in ENLARGING:
        check_whole(height, width, sizes)
    longest = spec.longest or max(sizes.largest)
    limits = [min(side, longest) for side in sizes.largest]
    scale = min(1.0, limits[0] / height, limits[1] / width)
    fitting = tuple(
        min(largest, max(smallest, round(side * scale / sizes.multiple) * sizes.multiple))
        for side, smallest, largest in zip(
            (height, width), sizes.smallest, sizes.largest, strict=True
        )
    )
    covering = [s for s in sizes.enumerated if s[0] >= fitting[0] and s[1] >= fitting[1]]
    return min(covering, key=lambda s: s[0] * s[1]) if covering else (fitting[0], fitting[1])
