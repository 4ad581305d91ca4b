"""Chromium as a process: found on the machine, started with remote debugging, ended politely or not."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path

__all__ = ["CHROMIUM_FLAGS", "ChromiumNotFoundError", "ChromiumProcess", "find_chromium"]

CHROMIUM_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""Flags for a quiet Chromium that also starts as root and in containers; open only your own pages in it."""

SYSTEM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")

ASK_PLAYWRIGHT = (
    "from playwright.sync_api import sync_playwright\n"
    "with sync_playwright() as playwright: print(playwright.chromium.executable_path)"
)

START_TIMEOUT_S = 60
END_TIMEOUT_S = 10


class ChromiumNotFoundError(RuntimeError):
    """There is no Chromium on this machine; the message says what to install."""


@cache
def find_chromium() -> Path:
    """Find the Chromium to test with: TB_BROWSER_CHROMIUM, else Playwright's own, else the system's.

    Raises ChromiumNotFoundError if there is none, or if TB_BROWSER_CHROMIUM names a file that does not exist.
    """
    named = os.environ.get("TB_BROWSER_CHROMIUM")
    if named:
        if Path(named).is_file():
            return Path(named)
        raise ChromiumNotFoundError(f"TB_BROWSER_CHROMIUM names {named}, which does not exist. Correct or unset it.")
    installed = _installed_by_playwright()
    if installed is not None:
        return installed
    for name in SYSTEM_NAMES:
        path = shutil.which(name)
        if path is not None:
            return Path(path)
    raise ChromiumNotFoundError(
        "no Chromium found. Run 'playwright install chromium', install Chromium or Chrome on the system, "
        "or name one in TB_BROWSER_CHROMIUM."
    )


def _installed_by_playwright() -> Path | None:
    """Ask in a process of its own: a sync Playwright cannot start where another one runs, as in a test."""
    answer = subprocess.run(  # noqa: S603 - our own Python and our own script
        [sys.executable, "-c", ASK_PLAYWRIGHT], capture_output=True, text=True, check=False
    )
    path = Path(answer.stdout.strip() or "/nonexistent")
    return path if answer.returncode == 0 and path.is_file() else None


class ChromiumProcess:
    """A Chromium with remote debugging, `endpoint` being its WebSocket address.

    Its profile lies in `user_data_dir`, which outlives the process, or else in a temporary folder, which does not.
    Raises ChromiumNotFoundError, or RuntimeError if it does not come up within a minute.
    """

    def __init__(
        self,
        *,
        executable: Path | None = None,
        user_data_dir: Path | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        program = executable or find_chromium()
        self._clean_up = ExitStack()
        self.profile = user_data_dir or self._temporary_profile()
        self.profile.mkdir(parents=True, exist_ok=True)
        # A browser that was killed leaves its last address here.
        (self.profile / "DevToolsActivePort").unlink(missing_ok=True)
        self._log = self.profile / "chromium.log"
        flags = [*CHROMIUM_FLAGS, "--remote-debugging-port=0", f"--user-data-dir={self.profile}", *arguments]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the browser that the caller asked for
                [*_dying_with_us(), program, *flags, "about:blank"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self.endpoint = self._await_endpoint()
        except BaseException:
            self.kill()
            raise

    @property
    def running(self) -> bool:
        """Whether the browser process still runs."""
        return self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL the browser with all its processes, as when the power goes; returns when it is dead."""
        if os.name == "posix":
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.kill()
        self._process.wait()

    def terminate(self) -> None:
        """Ask the browser process to end (SIGTERM), as at a log-out; returns when it is dead."""
        self._process.terminate()
        self._process.wait(END_TIMEOUT_S)

    def wait_or_kill(self) -> None:
        """Wait for a process that was told to end; kill it if it does not."""
        try:
            self._process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def clean_up(self) -> None:
        """Kill what still runs and remove a temporary profile."""
        self.kill()
        self._clean_up.close()

    def _temporary_profile(self) -> Path:
        # A dying process may still write into it, so that its removal needs patience.
        folder = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        return Path(self._clean_up.enter_context(folder))

    def _await_endpoint(self) -> str:
        address = self.profile / "DevToolsActivePort"
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self.running:
            lines = address.read_text().splitlines() if address.exists() else []
            if len(lines) == 2:  # the port, then the path
                return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
            time.sleep(0.02)
        said = self._log.read_text(errors="replace").strip().splitlines()
        raise RuntimeError(f"Chromium did not start: {said[-1] if said else 'it said nothing'}")


def _dying_with_us() -> list[str]:
    """Let Linux end the browser with this process: a test run that is killed cleans up nothing itself."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL"] if setpriv else []
