"""A Chromium for the tests: the one that is there, or one that is fetched."""

import os
import shutil
import sys
from pathlib import Path

from dev.console import SetUpError, run, say
from tb_browser.testing.chromium import ChromiumNotFoundError, find_chromium

REMEDY = "Install Chromium or Chrome, or name one in TB_BROWSER_CHROMIUM, and run the command again."


def ready_chromium() -> Path:
    """The path of a Chromium, fetched by Playwright or by apt first if the machine has none."""
    try:
        return find_chromium()
    except ChromiumNotFoundError:
        _fetch()
    try:
        return find_chromium()
    except ChromiumNotFoundError as error:
        raise SetUpError(str(error)) from error


def _fetch() -> None:
    as_root = hasattr(os, "geteuid") and os.geteuid() == 0
    try:
        _fetch_by_playwright(with_system_libraries=as_root)
    except SetUpError as error:
        if not as_root or shutil.which("apt-get") is None:
            raise
        say(f"{error}; trying apt")
        _fetch_by_apt()


def _fetch_by_playwright(*, with_system_libraries: bool) -> None:
    options = ["--with-deps"] if with_system_libraries else []
    run(
        [sys.executable, "-m", "playwright", "install", *options, "chromium"],
        doing="fetch Chromium by Playwright",
        remedy=REMEDY,
    )


def _fetch_by_apt() -> None:
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update"], doing="update apt's lists", remedy=REMEDY, env=quiet)
    run(
        ["apt-get", "install", "-y", "--no-install-recommends", "chromium", "fonts-liberation"],
        doing="install Chromium by apt",
        remedy=REMEDY,
        env=quiet,
    )
