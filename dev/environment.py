"""The virtual environment of this checkout, made ready and entered; runs on Python 3.11 with pip alone."""

import hashlib
import json
import os
import subprocess
from typing import NoReturn

from dev.console import ROOT, WORK, one_line_errors, run
from dev.interpreter import find_interpreter
from dev.locking import exclusive
from dev.uv import fetched_uv, index_settings

VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "set-up.json"
LOCKS = {"demo": ROOT / "demo" / "requirements.txt", "tests": ROOT / "tests" / "requirements.txt"}


def enter(purpose: str, module: str, arguments: list[str]) -> NoReturn:
    """Make everything ready that `purpose` ("demo" or "tests") needs and become `python -m module arguments`."""
    with one_line_errors():
        ready(purpose)
        assembled = subprocess.run([PYTHON, "-m", "static.assemble"], cwd=ROOT, check=False)
    if assembled.returncode != 0:
        raise SystemExit(assembled.returncode)
    os.chdir(ROOT)
    command = [str(PYTHON), "-m", module, *arguments]
    if os.name == "nt":  # there, exec gives the terminal back before the new process is done
        raise SystemExit(subprocess.call(command))
    os.execv(PYTHON, command)  # noqa: S606 - no shell is wanted


def ready(purpose: str) -> None:
    """Bring the environment to the lock of `purpose`; do nothing when it is there already.

    The lock of the tests holds that of the demo with the same versions, so both share one environment.
    """
    with exclusive(WORK / "environment.lock"):
        _install(purpose)


def _install(purpose: str) -> None:
    locks = hashlib.sha256(b"".join(path.read_bytes() for path in LOCKS.values())).hexdigest()
    installed = _stamped(locks)
    if purpose in installed:
        return
    uv = str(fetched_uv())
    settings = index_settings()
    if not installed:
        _make_venv(uv, settings)
    lock = LOCKS[purpose]
    run(
        [uv, "pip", "install", "--python", str(PYTHON), "--require-hashes", "-r", str(lock)],
        doing=f"install {lock.relative_to(ROOT).as_posix()}",
        remedy="Check the network, and UV_DEFAULT_INDEX if you use a mirror, and run the command again.",
        env=settings,
    )
    stamp = {"locks": locks, "installed": [*installed, purpose]}
    STAMP.write_text(json.dumps(stamp), encoding="utf-8")


def _stamped(locks: str) -> list[str]:
    """What a finished set-up from these very locks has installed."""
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    # The environment's Python is a symbolic link, which outlives the Python that it points to.
    return stamp["installed"] if stamp["locks"] == locks and PYTHON.exists() else []


def _make_venv(uv: str, settings: dict[str, str]) -> None:
    interpreter = find_interpreter()
    # With none that works, uv must not look itself: it would stumble over the same broken shims.
    choice = [interpreter] if interpreter else ["3.12", "--managed-python"]
    run(
        [uv, "venv", "--clear", "--no-project", "--python", *choice, str(VENV)],
        doing=f"make .venv with {interpreter or 'a Python 3.12 that uv downloads'}",
        remedy=(
            f"Delete the folder {VENV.name} and run the command again."
            if interpreter
            else "Install Python 3.12 or later, or name one in UV_PYTHON, and run the command again."
        ),
        env=settings,
    )
