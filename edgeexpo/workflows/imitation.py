"""Settings for the training of a compressed network, from the arguments that users give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeexpo.training.run import Settings
from edgeexpo.workflows.arguments import AnyPath, optional_path


def imitation_settings(
    data: AnyPath | None,
    run: AnyPath | None,
    name: str,
    scenes_dir: AnyPath | None,
    device: str,
    threads: int | None,
) -> Settings:
    """Turn a user's arguments for a training into settings.

    Args:
        data: Folder of radiance maps and photographs. ``None`` for the embedded photographs.
        run: Folder of the training. By default, ``runs/NAME``.
        name: Name of the default folder.
        scenes_dir: Folder of made scenes, shared by runs. By default, in the training's folder.
        device: Device of the training: ``"auto"``, ``"cpu"``, ``"cuda"`` or another one of torch.
        threads: Number of CPU threads, or ``None`` for torch's choice.
    """
    return Settings(
        data=optional_path(data),
        output=Path("runs") / name if run is None else Path(run),
        scenes=optional_path(scenes_dir),
        device=device,
        threads=threads,
    )


def given(**changes: Any) -> dict[str, Any]:
    """Return the fields of a recipe that a user replaces: those that are not ``None``."""
    return {name: value for name, value in changes.items() if value is not None}
