"""tb_browser's own wheel, built from this checkout as a user would get it."""

import os
import shutil
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

from hatchling.build import build_wheel as hatchling_build_wheel

from dev.console import ROOT
from static.pyodide_lock import add_to_lock

PROJECT_FILES = ("pyproject.toml", "README.md", "LICENSE", "tb_browser_pytest.py")


def sources() -> Iterator[Path]:
    """All files that the wheel is made from, in a fixed order."""
    yield from (ROOT / name for name in PROJECT_FILES)
    files = (path for path in (ROOT / "tb_browser").rglob("*") if path.is_file())
    yield from sorted(path for path in files if "__pycache__" not in path.parts)


def build_wheel(folder: Path) -> Path:
    """Build the wheel into the folder and return its path."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with chdir(ROOT):
        return folder / hatchling_build_wheel(os.fspath(folder))


def place_wheel(wheel: Path, dist: Path) -> None:
    """Serve this wheel, and no earlier one, from `dist`."""
    wheels = dist / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    wheels.mkdir()
    add_to_lock(dist / "pyodide", Path(shutil.move(wheel, wheels)))
