"""uv, fetched by pip into the checkout: the one tool that everything else is installed with."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from dev.console import ROOT, WORK, SetUpError, run

LOCK = ROOT / "dev" / "uv.txt"


def fetched_uv() -> Path:
    """The path of uv's own binary, fetched first if it is not there."""
    version = _locked_version()
    home = WORK / f"uv-{version}"
    if not home.exists():
        _fetch(home, version)
    for name in ("bin/uv", "bin/uv.exe", "Scripts/uv.exe"):
        if (home / name).is_file():
            return home / name
    raise SetUpError(f"{home.relative_to(ROOT)} holds no uv. Delete that folder and run the command again.")


def index_settings() -> dict[str, str]:
    """The package index that pip is set to use, told to uv, which does not read pip's settings."""
    if "UV_DEFAULT_INDEX" in os.environ or "UV_INDEX_URL" in os.environ:
        return {}
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    settings = dict(re.findall(r"^(\S+)\.index-url='(.*)'$", listing.stdout, flags=re.MULTILINE))
    url = settings.get(":env:") or settings.get("install") or settings.get("global")
    return {"UV_DEFAULT_INDEX": url} if url else {}


def _locked_version() -> str:
    pinned = re.search(r"^uv==(\S+)", LOCK.read_text(encoding="utf-8"), flags=re.MULTILINE)
    if pinned is None:
        raise SetUpError(f"{LOCK.relative_to(ROOT)} does not pin uv. Restore that file.")
    return pinned[1]


def _fetch(home: Path, version: str) -> None:
    has_pip = subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False)
    if has_pip.returncode != 0:
        raise SetUpError(
            f"{sys.executable} has no pip. Install it (on Debian and Ubuntu: apt install python3-pip) or run the "
            "command with a Python that has it."
        )
    partial = home.with_name(home.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "install", "--target", str(partial), "--require-hashes", "--no-deps"]
    options = ["--only-binary=:all:", "--disable-pip-version-check", "--retries", "2", "-r", str(LOCK)]
    run(
        [*command, *options],
        doing=f"fetch uv {version}",
        remedy="Check the network, and pip's index-url if you use a mirror, and run the command again.",
    )
    partial.rename(home)
