"""A Python that the demo and the tests can run on, found on the machine."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

OLDEST, NEWEST = (3, 12), (3, 14)
"""The versions for which every locked package has a ready-made wheel."""

ASK = "import sys; print(sys.implementation.name, *sys.version_info[:2], sys.executable, sep='|')"


def find_interpreter() -> str | None:
    """The path of a fitting Python, or None.

    Each one is run before it is believed: a pyenv shim exists for versions that are not active, and exits 127.
    """
    seen: set[str] = set()
    for candidate in _candidates():
        if candidate in seen:
            continue
        seen.add(candidate)
        path = _fitting(candidate)
        if path is not None:
            return path
    return None


def _candidates() -> Iterator[str]:
    named = os.environ.get("UV_PYTHON")
    if named and Path(named).is_file():
        yield named
    yield sys.executable
    versions = [f"{OLDEST[0]}.{minor}" for minor in range(OLDEST[1], NEWEST[1] + 1)]
    for folder in os.get_exec_path():
        for name in (*(f"python{version}" for version in versions), "python3", "python"):
            path = Path(folder, name)
            if os.access(path, os.X_OK):
                yield str(path)
    for root in _pyenv_roots():
        for version in versions:
            yield from sorted(str(path) for path in root.glob(f"versions/{version}.*/bin/python"))


def _pyenv_roots() -> Iterator[Path]:
    """Where pyenv keeps its versions; the shims on the PATH tell it even to an empty home."""
    yield Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for folder in os.get_exec_path():
        if Path(folder).name == "shims":
            yield Path(folder).parent


def _fitting(candidate: str) -> str | None:
    try:
        answer = subprocess.run([candidate, "-c", ASK], capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    fields = answer.stdout.strip().split("|")
    if answer.returncode != 0 or len(fields) != 4 or fields[0] != "cpython":
        return None
    return fields[3] if OLDEST <= (int(fields[1]), int(fields[2])) <= NEWEST else None
