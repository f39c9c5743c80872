"""Conversion between pictures in numpy, HxWxC, and tensors of networks, 1xCxHxW."""

from __future__ import annotations

import numpy as np
import torch


def picture_tensor(picture: np.ndarray) -> torch.Tensor:
    """Turn a picture, HxWxC, into a tensor with its own memory, 1xCxHxW."""
    return torch.from_numpy(np.array(picture.transpose(2, 0, 1)[None], order="C"))


def tensor_picture(tensor: torch.Tensor) -> np.ndarray:
    """Turn a tensor, 1xCxHxW, into a picture, HxWxC float32."""
    picture: np.ndarray = tensor.detach()[0].permute(1, 2, 0).float().contiguous().numpy()
    return picture
