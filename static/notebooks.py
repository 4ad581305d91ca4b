"""`.venv/bin/python -m static.notebooks`: build the example notebooks into static/build/.

    static/build/lite/    JupyterLite, with Pyodide, its kernel and the badge beside it; nothing comes from elsewhere

The parts are those of static/dist/ and the wheels of notebook_wheels.txt. What is up to date is left as it is.
"""

import hashlib
import json
import os
import re
import shutil
import sys
from pathlib import Path

from packaging.requirements import Requirement

from dev.console import WORK, one_line_errors, run, say
from dev.locking import exclusive
from static.assemble import DIST, assemble
from static.parts import BROWSER_PLATFORM, STATIC
from static.pyodide_lock import BROWSER, rewrite_lock

NOTEBOOKS = STATIC / "build"
EXAMPLES = STATIC / "examples"
INPUTS = ("notebooks.py", "notebook_wheels.txt", "pyodide_lock.py")


def build(target: Path = NOTEBOOKS) -> Path:
    """Bring the site up to date and return its folder; raises SetUpError if that cannot be done."""
    assemble()
    with exclusive(WORK / "notebooks.lock"):
        stamp, digest = target / "built.txt", _digest()
        if stamp.exists() and stamp.read_text() == digest:
            return target
        shutil.rmtree(target, ignore_errors=True)
        (target / "lite").mkdir(parents=True)
        _build_lite(target / "lite", _wheels())
        stamp.write_text(digest)
    return target


def _digest() -> str:
    files = [*(STATIC / name for name in INPUTS), *sorted(EXAMPLES.rglob("*.*")), DIST / "manifest.json"]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def _wheels() -> Path:
    """The folder with the wheels that a notebook gets besides."""
    lock = STATIC / "notebook_wheels.txt"
    folder = WORK / f"notebook-wheels-{hashlib.sha256(lock.read_bytes()).hexdigest()[:16]}"
    if not folder.exists():
        aside = folder.with_suffix(".partial")
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        wanted = aside / "wanted.txt"
        wanted.write_text("\n".join(_for_browser(lock.read_text(encoding="utf-8"))))
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", "-r", str(wanted)]
        run(
            [*command, "--only-binary=:all:", "--no-deps", "--retries", "2", "--dest", str(aside), *BROWSER_PLATFORM],
            doing="fetch the wheels for notebooks",
            remedy="Check the network, and pip's index-url if you use a mirror, and run the command again.",
        )
        aside.rename(folder)
    return folder


def _for_browser(lock: str) -> list[str]:
    """The lines of a lock whose markers hold in the browser; pip would ask about this machine."""
    kept = list[str]()
    for block in re.split(r"\n(?=\S)", lock):
        named = block.partition(" \\")[0].strip()
        if not named or named.startswith("#"):
            continue
        requirement = Requirement(named)
        if requirement.marker is None or requirement.marker.evaluate(BROWSER):
            kept.append(block.replace(f" ; {requirement.marker}", "", 1) if requirement.marker else block)
    return [re.sub(r" ;[^\\]*", " ", block, count=1) for block in kept]


def _build_lite(target: Path, wheels: Path) -> None:
    pyodide = target / "static" / "pyodide"
    pyodide.parent.mkdir()
    shutil.copytree(DIST / "pyodide", pyodide)
    for wheel in wheels.glob("*.whl"):
        shutil.copy(wheel, pyodide)
    rewrite_lock(pyodide)  # without tb-browser: what the lock names is installed without its extras
    settings = {
        "jupyter-lite-schema-version": 0,
        "jupyter-config-data": {
            "appName": "Lessons",
            "litePluginSettings": {
                "@jupyterlite/pyodide-kernel-extension:kernel": {"pyodideUrl": "./static/pyodide/pyodide.mjs"}
            },
        },
    }
    source = WORK / "lite"
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir()
    (source / "jupyter-lite.json").write_text(json.dumps(settings))
    say("build JupyterLite")
    lite = [sys.executable, "-m", "jupyterlite_core.app", "build", "--no-libarchive", "--no-sourcemaps"]
    folders = ["--lite-dir", source, "--output-dir", source / "out", "--contents", EXAMPLES / "lite"]
    folders += ["--piplite-wheels", next((DIST / "wheels").glob("*.whl"))]
    run(
        [*lite, *map(str, folders)],
        doing="build JupyterLite",
        remedy="Run the command again; what it said above tells more.",
        cwd=source,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    shutil.copytree(source / "out", target, dirs_exist_ok=True)


if __name__ == "__main__":
    with one_line_errors():
        say(f"built {build()}")
