"""A network with its front and back stage as one module, from frames to the picture."""

from __future__ import annotations

import torch

from edgeexpo.errors import UsageError
from edgeexpo.export.standalone.axes import AlongAxes, resizing
from edgeexpo.export.standalone.rendering import Render
from edgeexpo.imaging.rendering import Rendering
from edgeexpo.runtime.network_size import network_size
from edgeexpo.spec import ModelSpec, SizeRange


class Standalone(torch.nn.Module):
    """Frames to the picture, uint8 HxWx3 each: front stage, network and back stage.

    Args:
        network: Module from the network's inputs, 1xCxhxw, to its output.
        spec: The network and its stages.
        size: Height and width of the frames in pixels.
        sizes: The sizes that the network takes.

    Raises:
        UsageError: The network would see the frames at a size that it does not take.
    """

    def __init__(
        self, network: torch.nn.Module, spec: ModelSpec, size: tuple[int, int], sizes: SizeRange
    ) -> None:
        super().__init__()
        self.network = network
        self.small, method = _scaling(spec, size, sizes)
        if any(side % sizes.multiple for side in self.small):
            raise UsageError(
                f"frames of {size[0]}x{size[1]} reach {spec.name} at {self.small[0]}x"
                f"{self.small[1]}; expected `standalone` in multiples of {sizes.multiple}"
            )
        self.shrink: AlongAxes = resizing(size, self.small, method)
        self.render = _render(spec, size, self.small)

    def forward(self, *frames: torch.Tensor) -> torch.Tensor:
        """Return the picture, uint8 HxWx3 sRGB-encoded RGB, of the model's frames."""
        pictures = [as_planes(frame) for frame in frames]
        copies = [self.shrink(picture) for picture in pictures]
        result = self.network(*copies).clamp(0, 1)
        return as_codes(self.render(result, copies, pictures))


def as_planes(frame: torch.Tensor) -> torch.Tensor:
    """Turn a frame, uint8 HxWx3, into planes 1x3xHxW in [0, 1]."""
    return frame.permute(2, 0, 1).unsqueeze(0).to(torch.float32) * (1 / 255)


def as_codes(planes: torch.Tensor) -> torch.Tensor:
    """Round planes 1x3xHxW in [0, 1] to a frame, uint8 HxWx3."""
    return (planes * 255 + 0.5).squeeze(0).permute(1, 2, 0).to(torch.uint8)


def check_stages(spec: ModelSpec) -> None:
    """Check that the stages of a network have a form as one graph.

    Raises:
        UsageError: A stage has none.
    """
    front, back = (stage.kind if stage else "none" for stage in (spec.front, spec.back))
    colors = {stage.parameters.get("color", "rgb") for stage in (spec.front, spec.back) if stage}
    if front not in ("none", "resize") or back != "render" or colors != {"rgb"}:
        raise UsageError(
            f"the stages of {spec.name} (front {front}, back {back}, {'/'.join(sorted(colors))}) "
            "have no form as one graph yet; expected frames that are scaled in RGB and the back "
            "stage render: leave out `standalone`"
        )


def _scaling(
    spec: ModelSpec, size: tuple[int, int], sizes: SizeRange
) -> tuple[tuple[int, int], str]:
    """Return the size at which the network sees frames, and the method that scales them."""
    if spec.front is None:
        return network_size(spec, sizes, *size), "area"
    wanted = spec.front.parameters
    return (wanted["height"], wanted["width"]), wanted.get("method", "area")


def _render(spec: ModelSpec, size: tuple[int, int], small: tuple[int, int]) -> Render:
    assert spec.back is not None  # check_stages
    chosen = {k: v for k, v in spec.back.parameters.items() if k not in ("method", "color")}
    return Render(len(spec.frames), size, small, Rendering(**chosen))
