"""pyodide-lock.json: the list by which Pyodide, micropip and PyScript find packages.

npm's names wheels of Pyodide's own distribution, which are not in npm's package and differ from PyPI's. The one written
here names exactly the wheels that are served, with their own hashes: browsers check these.
"""

import hashlib
import json
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from packaging.metadata import Metadata
from packaging.utils import canonicalize_name

LOCK = "pyodide-lock.json"

BROWSER = {
    "extra": "",
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "wasm32",
    "platform_python_implementation": "CPython",
    "platform_system": "Emscripten",
    "sys_platform": "emscripten",
}
"""What the markers of requirements ask about, in the browser."""

type Entry = dict[str, Any]


def rewrite_lock(pyodide: Path) -> None:
    """Let the lock in the folder `pyodide` name the wheels that lie beside it, and nothing else."""
    _write(pyodide, _read(pyodide) | {"packages": {}}, sorted(pyodide.glob("*.whl")))


def add_to_lock(pyodide: Path, wheel: Path) -> None:
    """Add `wheel`, which may lie in another folder, to the lock, in the place of an earlier one of that name."""
    _write(pyodide, _read(pyodide), [wheel])


def _read(pyodide: Path) -> Entry:
    lock: Entry = json.loads((pyodide / LOCK).read_text(encoding="utf-8"))
    return lock


def _write(pyodide: Path, lock: Entry, wheels: Iterable[Path]) -> None:
    for wheel in wheels:
        name, entry = _entry(wheel, pyodide, python=lock["info"]["python"])
        lock["packages"][name] = entry
    partial = pyodide / f"{LOCK}.partial"
    partial.write_text(json.dumps(lock, indent=1, sort_keys=True), encoding="utf-8")
    partial.replace(pyodide / LOCK)


def _entry(wheel: Path, pyodide: Path, python: str) -> tuple[str, Entry]:
    with zipfile.ZipFile(wheel) as archive:
        members = archive.namelist()
        (metadata_file,) = (name for name in members if name.endswith(".dist-info/METADATA"))
        metadata = Metadata.from_email(archive.read(metadata_file), validate=False)
    name = canonicalize_name(metadata.name)
    return name, {
        "depends": _dependencies(metadata, python),
        "file_name": wheel.relative_to(pyodide, walk_up=True).as_posix(),
        "imports": sorted({_import_name(member) for member in members if ".dist-info/" not in member}),
        "install_dir": "site",
        "name": metadata.name,
        "package_type": "package",
        "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
        "unvendored_tests": False,
        "version": str(metadata.version),
    }


def _import_name(member: str) -> str:
    return member.split("/", maxsplit=1)[0].removesuffix(".py")


def _dependencies(metadata: Metadata, python: str) -> list[str]:
    """Names of what this package needs inside the browser."""
    browser = BROWSER | {"python_full_version": python, "python_version": ".".join(python.split(".")[:2])}
    needed = (
        requirement
        for requirement in metadata.requires_dist or []
        if requirement.marker is None or requirement.marker.evaluate(browser)
    )
    return sorted({canonicalize_name(requirement.name) for requirement in needed})
