"""The wheel holds the same files as the tree and pins versions that were tested together."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
SOURCES = {
    "edgeexpo": "edgeexpo",
    "export": "edgeexpo/export",
    "quantization": "edgeexpo/quantization",
    "runtime": "edgeexpo/runtime",
}
"""Source folder -> its place in the wheel."""

BUILD = """
import sys
from setuptools import build_meta
print(build_meta.build_wheel(sys.argv[1]))
"""


def build_wheel(tree: Path, links: str) -> tuple[set[str], str]:
    """Build the wheel of a copy of the repository in ``tree``; its names and what was printed.

    ``links`` says what became of the symlinks: with ``text-files`` each is a file that holds its
    target, as git leaves them in a Windows checkout.
    """
    linked = tuple(SOURCES)[1:]
    for folder in SOURCES:
        keep = shutil.ignore_patterns("__pycache__", *(() if links == "symlinks" else linked))
        shutil.copytree(ROOT / folder, tree / folder, symlinks=True, ignore=keep)
    for name in linked if links == "text-files" else ():
        (tree / "edgeexpo" / name).write_text(f"../{name}", "utf-8")
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, tree)
    # PYTHONDONTWRITEBYTECODE makes setuptools warn that it cannot compile.
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-c", BUILD, str(tree / "out")],
        cwd=tree,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    wheel = next((tree / "out").glob("*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        return {n for n in archive.namelist() if ".dist-info/" not in n}, done.stdout


def expected_names() -> set[str]:
    names = set()
    for folder, place in SOURCES.items():
        for file in (ROOT / folder).rglob("*"):  # rglob does not follow the symlinks
            wanted = file.suffix == ".py" or file.name == "py.typed"
            wanted |= file.parent.name == "weights" and file.suffix in (
                ".safetensors",
                ".json",
                ".md",
            )
            wanted |= file.parent.name == "page"
            if wanted:
                names.add(f"{place}/{file.relative_to(ROOT / folder).as_posix()}")
    return names


@pytest.mark.parametrize("links", ["symlinks", "no-symlinks", "text-files"])
def test_the_wheel_holds_every_source_file_and_nothing_else(tmp_path: Path, links: str) -> None:
    names, printed = build_wheel(tmp_path, links)
    assert names == expected_names()
    assert [line for line in printed.splitlines() if "warning" in line.lower()] == []


def test_the_base_install_is_numpy_one_engine_and_pillow() -> None:
    assert PROJECT["dependencies"] == [
        "numpy>=2.3,<2.4",
        "onnxruntime>=1.20.1,<1.33",
        "pillow>=11.3",
        "platformdirs>=4",
        "psutil>=7; sys_platform == 'win32'",
    ]


def test_the_export_extra_pins_what_was_tested_together() -> None:
    plain = [r.partition(";")[0] for r in PROJECT["optional-dependencies"]["export"]]
    pinned = dict(r.split("==") for r in plain if "==" in r)
    assert pinned == {
        "torch": "2.13.0",
        "torchao": "0.18.0",
        "executorch": "1.5.1",
        "coremltools": "9.0",
        "onnx": "1.23.2",
        "onnxruntime": "1.31.1",
        "onnxscript": "0.7.2",
        "onnxsim": "0.8.1",
        "nncf": "3.4.0",
        "torch-pruning": "1.6.1",
        "torchmetrics": "1.9.0",
    }


def test_nothing_pulls_in_a_package_that_replaces_torch() -> None:
    declared = [r for extra in PROJECT["optional-dependencies"].values() for r in extra]
    names = {re.split(r"[\[=<>]", r)[0] for r in declared}
    assert not names & {"torchvision", "timm", "torchaudio"}


def test_dev_includes_every_extra() -> None:
    assert (
        "edgeexpo[export,litert,openvino,camera,photo,raw,train,fast]"
        in PROJECT["optional-dependencies"]["dev"]
    )


def test_the_source_folders_are_relative_symlinks_of_the_package() -> None:
    for folder in ("export", "quantization", "runtime"):
        link = ROOT / "edgeexpo" / folder
        assert link.is_symlink()
        assert link.readlink().as_posix() == f"../{folder}"


def test_readme_has_the_two_commands_that_ci_runs() -> None:
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()
    for ending in ("-m pytest", "edgeexpo export --target coreml"):
        found = [line for line in lines if line.endswith(ending)]
        assert len(found) == 1, ending
        assert re.match(r"python3(\.11)? -m venv .venv && .venv/bin/pip install ", found[0])


def test_version_is_declared_once_and_the_same() -> None:
    import edgeexpo

    assert PROJECT["version"] == edgeexpo.__version__
