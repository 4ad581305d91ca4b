"""`python3 -m static`: build the example notebooks into static/build/.

    static/build/lite/      JupyterLite, with Pyodide, its kernel and the badge beside it
    static/build/marimo/    a marimo notebook, with the Pyodide that marimo asks for

Nothing comes from elsewhere when they are opened. The parts are those of static/dist/ and the wheels of
notebook_wheels.txt. What is up to date is left as it is.
"""

import hashlib
import json
import os
import re
import shutil
import sys
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from dev.console import WORK, SetUpError, one_line_errors, run, say
from dev.locking import exclusive
from dev.uv import fetched_uv
from static.assemble import DIST, assemble
from static.parts import BROWSER_PLATFORM, STATIC, copy_pyodide, development_modules
from static.pyodide_lock import BROWSER, rewrite_lock

NOTEBOOKS = STATIC / "build"
EXAMPLES = STATIC / "examples"
INPUTS = ("notebooks.py", "notebook_wheels.txt", "package-lock.json", "pyodide_lock.py")
SOURCE_ONLY = "pyyaml"
"""PyPI has no wheel of it for the browser; without its optional C part it is pure Python."""


def build(target: Path = NOTEBOOKS) -> Path:
    """Bring the site up to date and return its folder; raises SetUpError if that cannot be done."""
    assemble()
    with exclusive(WORK / "notebooks.lock"):
        stamp, digest = target / "built.txt", _digest()
        if stamp.exists() and stamp.read_text() == digest:
            return target
        shutil.rmtree(target, ignore_errors=True)
        (target / "lite").mkdir(parents=True)
        wheels = _wheels()
        _build_lite(target / "lite", wheels)
        _build_marimo(target / "marimo", wheels)
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
        blocks = _for_browser(lock.read_text(encoding="utf-8"))
        built = [block for block in blocks if block.startswith(f"{SOURCE_ONLY}==")]
        _pip(
            "download",
            aside,
            [block for block in blocks if block not in built],
            "--only-binary=:all:",
            *BROWSER_PLATFORM,
        )
        _pip("wheel", aside, built, "--no-binary=:all:", "--no-build-isolation", "--use-pep517")
        aside.rename(folder)
    return folder


def _pip(command: str, folder: Path, blocks: list[str], *options: str) -> None:
    wanted = folder / "wanted.txt"
    wanted.write_text("\n".join(blocks))
    common = ["--quiet", "--require-hashes", "--no-deps", "--retries", "2", "-r", str(wanted)]
    target = ["--dest" if command == "download" else "--wheel-dir", str(folder)]
    run(
        [sys.executable, "-m", "pip", command, *common, *options, *target],
        doing="fetch the wheels for notebooks",
        remedy="Check the network, and pip's index-url if you use a mirror, and run the command again.",
        env={**os.environ, "PYYAML_FORCE_LIBYAML": "0"},
    )


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


def _build_marimo(target: Path, wheels: Path) -> None:
    """What `marimo export --offline` would make, had it a mirror of everything; from wheels that are here already."""
    say("build the marimo notebook")
    export = [sys.executable, "-m", "marimo", "export", "html-wasm", str(EXAMPLES / "marimo" / "lesson.py")]
    run(
        [*export, "--mode", "run", "--no-sandbox", "--force", "--output", str(target)],
        doing="build the marimo notebook",
        remedy="Run the command again; what it said above tells more.",
        env={**os.environ, "PATH": f"{fetched_uv().parent}{os.pathsep}{os.environ['PATH']}"},
    )
    pyodide = target / "pyodide"
    copy_pyodide(development_modules() / "pyodide-for-marimo", pyodide)
    for wheel in [*wheels.glob("*.whl"), *(DIST / "pyodide").glob("*.whl")]:
        shutil.copy(wheel, pyodide)
    rewrite_lock(pyodide)  # without tb-browser: what the lock names is installed without its extras
    for wheel in [*pyodide.glob("*.whl"), shutil.copy(next((DIST / "wheels").glob("*.whl")), pyodide)]:
        name = canonicalize_name(Path(wheel).name.partition("-")[0])
        page = target / "simple" / name / "index.html"
        page.parent.mkdir(parents=True)
        page.write_text(f'<!doctype html><a href="../../pyodide/{Path(wheel).name}">{Path(wheel).name}</a>')
    index = target / "index.html"
    page = index.read_text(encoding="utf-8")
    before, element, after = page.partition('<marimo-wasm hidden=""')
    if not element:
        raise SetUpError("marimo's page no longer says where its parts are: pin marimo in tests/requirements.in.")
    parts = (("index", "./pyodide/"), ("lockfile", "./pyodide/pyodide-lock.json"))
    told = "".join(f' data-pyodide-{name}-url="{url}"' for name, url in parts)
    index.write_text(f'{before}{element}{told} data-pypi-index-url="./simple"{after}', encoding="utf-8")


if __name__ == "__main__":
    with one_line_errors():
        say(f"built {build()}")
