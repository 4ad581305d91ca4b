"""`.venv/bin/python -m static.assemble`, which both commands call: bring static/dist/ to its locks and sources.

    static/dist/pyodide/    pyodide.mjs, its runtime, the wheels, and a pyodide-lock.json that names exactly those
    static/dist/pyscript/   core.js, core.css and what they load
    static/dist/wheels/     tb_browser's own wheel, built from this checkout
    static/dist/timeback/   the modules for a page's own JavaScript
    static/dist/page.js     the page's part for Python in a worker

A run that has nothing to do fetches and writes nothing. The manifest is written last, so the run after an interrupted
one starts over.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path

from dev.console import ROOT, WORK, one_line_errors, say
from dev.locking import exclusive
from static.parts import STATIC, fetch_parts
from static.wheel import build_wheel, place_wheel
from static.wheel import sources as wheel_sources

DIST = STATIC / "dist"
MANIFEST = "manifest.json"
PART_INPUTS = ("package.json", "package-lock.json", "wheels.txt", "parts.py", "pyodide_lock.py", "assemble.py")

type Manifest = dict[str, object]


def assemble(dist: Path = DIST) -> Path:
    """Bring `dist` up to date and return it; raises SetUpError if that cannot be done."""
    with exclusive(WORK / "static.lock"):
        parts = _digest(STATIC / name for name in PART_INPUTS)
        sources = _digest([*wheel_sources(), STATIC / "wheel.py", *sorted((STATIC / "timeback").iterdir())])
        manifest = _manifest(dist)
        if manifest.get("parts") != parts:
            _replace_parts(dist)
        elif manifest.get("sources") == sources:
            return dist
        say("build the wheel of tb_browser")
        (dist / MANIFEST).unlink(missing_ok=True)
        place_wheel(build_wheel(WORK / "wheel"), dist)
        shutil.rmtree(dist / "timeback", ignore_errors=True)
        shutil.copytree(STATIC / "timeback", dist / "timeback")
        shutil.copyfile(ROOT / "tb_browser" / "assets" / "page.js", dist / "page.js")
        _write_manifest(dist, parts=parts, sources=sources)
    return dist


def _replace_parts(dist: Path) -> None:
    """Fetch into a folder aside, then swap: what is served is never half of it."""
    aside = WORK / "static"
    shutil.rmtree(aside, ignore_errors=True)
    fetch_parts(aside)
    old = WORK / "static.old"
    shutil.rmtree(old, ignore_errors=True)
    if dist.exists():
        dist.rename(old)
    aside.rename(dist)
    shutil.rmtree(old, ignore_errors=True)


def _manifest(dist: Path) -> Manifest:
    """What the last finished run wrote, or nothing if a file of it is missing or of another size since."""
    try:
        manifest: Manifest = json.loads((dist / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return manifest if manifest.get("files") == _sizes(dist) else {}


def _write_manifest(dist: Path, *, parts: str, sources: str) -> None:
    manifest = {"parts": parts, "sources": sources, "files": _sizes(dist)}
    (dist / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def _sizes(dist: Path) -> dict[str, int]:
    files = sorted(path for path in dist.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {path.relative_to(dist).as_posix(): path.stat().st_size for path in files}


def _digest(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        content = path.read_bytes()
        digest.update(f"{path.relative_to(ROOT).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


if __name__ == "__main__":
    with one_line_errors():
        assemble()
