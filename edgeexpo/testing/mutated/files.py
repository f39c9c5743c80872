"""Mutations of one file of a workplace, by what its suffix says that it holds."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgeexpo.bundle.files import digest, size_in_bytes
from edgeexpo.bundle.manifest import MANIFEST
from edgeexpo.testing.mutated.damage import DAMAGES, Random, damaged, pick
from edgeexpo.testing.mutated.documents import mutated
from edgeexpo.testing.mutated.sources import mutate_source
from edgeexpo.testing.mutated.weights import mutate_checkpoint

REPLACED = 0.15
"""Share of mutations that replace the whole file by something else."""

KNOWN_DIGEST = 0.6
"""Share of mutations in a bundle after which the manifest holds the digest of the mutated file."""


def mutate_file(path: Path, workplace: Path, random: Random) -> str:
    """Mutate one file, and return the change in words.

    Args:
        path: A file in the workplace.
        workplace: Folder with other files, whose contents can take this file's place.
        random: Source of all choices.
    """
    name = path.relative_to(workplace).as_posix()
    if random.random() < REPLACED:
        words = _replace(path, workplace, random)
    else:
        words = _changed(path, random)
    bundle = next((p for p in path.parents if (p / MANIFEST).is_file()), None)
    if bundle is not None and path.name != MANIFEST and random.random() < KNOWN_DIGEST:
        words += ", and its digest" if _restate(bundle, path) else ""
    return f"{name}: {words}"


def _changed(path: Path, random: Random) -> str:
    """Change a file by its suffix, or its bytes if an earlier mutation made them something else."""
    try:
        return _MUTATIONS.get(path.suffix.lower(), mutate_bytes)(path, random)
    except Exception:  # noqa: BLE001 - a reader may raise anything
        return mutate_bytes(path, random)


def mutate_bytes(path: Path, random: Random) -> str:
    """Damage the bytes of a file."""
    data, damage = path.read_bytes(), pick(random, DAMAGES)
    path.write_bytes(damaged(data, damage, random) if data else b"\0")
    return f"bytes: {damage.__name__}"


def mutate_json(path: Path, random: Random) -> str:
    """Change a JSON document, or now and then its bytes."""
    if random.random() < 0.2:
        return mutate_bytes(path, random)
    document, words = mutated(json.loads(path.read_text("utf-8")), random)
    path.write_text(_json(document), "utf-8")
    return words


def mutate_safetensors(path: Path, random: Random) -> str:
    """Change the header of a safetensors file, which is a JSON document, or the bytes."""
    if random.random() < 0.3:
        return mutate_bytes(path, random)
    data = path.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    document, words = mutated(json.loads(data[8:end]), random)
    header = _json(document).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + data[end:])
    return f"header: {words}"


def mutate_archive(path: Path, random: Random) -> str:
    """Change one member of a zip archive, with a matching checksum, or the bytes."""
    if random.random() < 0.3:
        return mutate_bytes(path, random)
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    name = pick(random, list(members))
    if random.random() < 0.15:
        del members[name]
        words = "removed"
    elif name.endswith(".json") and members[name]:
        document, words = mutated(json.loads(members[name]), random)
        members[name] = _json(document).encode()
    else:
        damage = pick(random, DAMAGES)
        members[name] = damaged(members[name], damage, random) if members[name] else b"\0"
        words = f"bytes: {damage.__name__}"
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    return f"member {name}: {words}"


def _checkpoint(path: Path, random: Random) -> str:
    return (mutate_checkpoint if random.random() < 0.75 else mutate_archive)(path, random)


_MUTATIONS: dict[str, Callable[[Path, Random], str]] = {
    ".json": mutate_json,
    ".safetensors": mutate_safetensors,
    ".pt": _checkpoint,
    ".pth": _checkpoint,
    ".pt2": mutate_archive,
    ".py": mutate_source,
}


def _replace(path: Path, workplace: Path, random: Random) -> str:
    """Put something else in the place of a file."""
    kind = pick(random, ("empty", "other", "other", "missing", "folder", "loop", "zeros", "text"))
    path.unlink()
    if kind == "empty":
        path.touch()
    elif kind == "other":
        others = sorted(p for p in workplace.rglob("*") if p.is_file() and p != path)
        other = pick(random, others)
        shutil.copyfile(other, path)
        return f"the content of {other.relative_to(workplace).as_posix()}"
    elif kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "zeros":
        path.write_bytes(bytes(4096))
    elif kind == "text":
        path.write_text("Lorem ipsum\n" * 10)
    return kind


def _restate(bundle: Path, path: Path) -> bool:
    """Write a mutated file's digest and size into the manifest, if it lists the file."""
    manifest = bundle / MANIFEST
    try:
        document = json.loads(manifest.read_text("utf-8"))
        artifacts, files = list(document["artifacts"]), dict(document["files"])
        places = [str(artifact["file"]) for artifact in artifacts]
    except (OSError, ValueError, LookupError, TypeError):  # an earlier mutation is in the way
        return False
    changed = False
    for artifact, place in zip(artifacts, places, strict=True):
        whole = bundle / place
        if whole == path or whole in path.parents:
            if not whole.exists():
                continue
            artifact["sha256"], artifact["bytes"] = digest(whole), size_in_bytes(whole)
            changed = True
    name = path.relative_to(bundle).as_posix()
    if name in files and path.is_file():
        document["files"][name] = digest(path)
        changed = True
    if changed:
        manifest.write_text(json.dumps(document), "utf-8")
    return changed


def _json(document: Any) -> str:
    """Write a document, and brackets for one that is nested too deeply for the library."""
    try:
        return json.dumps(document)
    except RecursionError:
        return "[" * 100_000
