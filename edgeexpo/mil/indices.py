"""MIL's operators in torch that read and write at given indices."""

from __future__ import annotations

from collections.abc import Callable

import torch

from edgeexpo.mil.values import Arguments, MilOperator, python_number


def _positive(indices: torch.Tensor, length: int) -> torch.Tensor:
    """Return ``indices`` as int64 positions, with ``length`` added to negative ones."""
    places = indices.long()
    return torch.where(places < 0, places + length, places)


def _gather(a: Arguments) -> torch.Tensor:
    x, indices = a["x"], torch.as_tensor(a["indices"])
    axis, batch = (
        int(python_number(a.get("axis", 0))) % x.dim(),
        int(python_number(a.get("batch_dims", 0))),
    )
    places = _positive(indices, x.shape[axis])
    if batch == 0:
        flat: torch.Tensor = x.index_select(axis, places.reshape(-1))
        return flat.reshape([*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]])
    rows, columns = x.flatten(0, batch - 1), places.flatten(0, batch - 1)
    one = dict(a, axis=axis - batch, batch_dims=0)
    found = [_gather(one | {"x": r, "indices": c}) for r, c in zip(rows, columns, strict=True)]
    return torch.stack(found).reshape(*x.shape[:batch], *found[0].shape)


def _gather_nd(a: Arguments) -> torch.Tensor:
    x, indices = a["x"], torch.as_tensor(a["indices"])
    batch = int(python_number(a.get("batch_dims", 0)))
    if batch == 0:
        columns = enumerate(indices.unbind(-1))
        found: torch.Tensor = x[tuple(_positive(c, x.shape[i]) for i, c in columns)]
        return found
    pairs = zip(x.flatten(0, batch - 1), indices.flatten(0, batch - 1), strict=True)
    rows = [_gather_nd({"x": row, "indices": places}) for row, places in pairs]
    return torch.stack(rows).reshape(*x.shape[:batch], *rows[0].shape)


def _gather_along_axis(a: Arguments) -> torch.Tensor:
    x, axis = a["x"], int(python_number(a.get("axis", 0)))
    found: torch.Tensor = x.gather(axis, _positive(a["indices"], x.shape[axis]))
    return found


_COMBINED: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "update": lambda old, new: new,
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "max": torch.maximum,
    "min": torch.minimum,
}


def _written(a: Arguments, places: tuple[torch.Tensor, ...], new: torch.Tensor) -> torch.Tensor:
    """Return a copy of ``data`` with ``new`` combined in at ``places``.

    A place that occurs several times is updated once for each occurrence, in order.
    """
    combine = _COMBINED[a.get("mode", "add")]
    result: torch.Tensor = a["data"].clone()
    rows = new.reshape(-1, *result.shape[len(places) :])
    columns = torch.stack([place.reshape(-1) for place in places])
    if torch.unique(columns, dim=1).shape[1] == columns.shape[1]:
        result[tuple(columns)] = combine(result[tuple(columns)], rows)
        return result
    for place, row in zip(columns.T.tolist(), rows, strict=True):
        result[tuple(place)] = combine(result[tuple(place)], row)
    return result


def _scatter(a: Arguments) -> torch.Tensor:
    data, axis = a["data"], int(python_number(a.get("axis", 0)))
    turned = dict(a, data=data.movedim(axis, 0))
    places = _positive(torch.as_tensor(a["indices"]), data.shape[axis])
    updates = a["updates"].movedim(axis, 0) if places.dim() == 1 else a["updates"]
    return _written(turned, (places,), updates).movedim(0, axis)


def _scatter_nd(a: Arguments) -> torch.Tensor:
    columns = enumerate(torch.as_tensor(a["indices"]).unbind(-1))
    places = tuple(_positive(c, a["data"].shape[i]) for i, c in columns)
    return _written(a, places, a["updates"])


def _scatter_along_axis(a: Arguments) -> torch.Tensor:
    indices, axis = a["indices"], int(python_number(a.get("axis", 0))) % a["data"].dim()
    grid = torch.meshgrid(*(torch.arange(n) for n in indices.shape), indexing="ij")
    columns = _positive(indices, a["data"].shape[axis])
    places = tuple(columns if i == axis else g for i, g in enumerate(grid))
    return _written(a, places, a["updates"])


INDICES: dict[str, MilOperator] = {
    "gather": _gather,
    "gather_nd": _gather_nd,
    "gather_along_axis": _gather_along_axis,
    "scatter": _scatter,
    "scatter_nd": _scatter_nd,
    "scatter_along_axis": _scatter_along_axis,
}
"""Operators of this module by MIL operator type."""
