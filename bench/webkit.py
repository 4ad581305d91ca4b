"""The scenarios in WebKitGTK's MiniBrowser, over WebDriver and under Xvfb: what can be driven there."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Playwright

from bench.firefox import measure_driven
from bench.measured import Row
from tests.browser.site import Site

BROWSERS = "*/webkit2gtk-4.*/MiniBrowser"
NEEDED = ("WebKitWebDriver", "Xvfb")
DISPLAY = ":87"
START_S = 20


class WebKit:
    """A MiniBrowser of one's own, with one tab under measurement and another to hide it."""

    def __init__(self) -> None:
        self._clean_up = ExitStack()
        self._start("Xvfb", DISPLAY, "-screen", "0", "1280x800x24")
        port = _free_port()
        self._start("WebKitWebDriver", f"--port={port}")
        self._http = self._clean_up.enter_context(
            httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False)
        )
        self._await_driver()
        options = {"binary": str(_browser()), "args": ["--automation"]}
        created = self._send("POST", "/session", capabilities={"alwaysMatch": {"webkitgtk:browserOptions": options}})
        self.version = created["capabilities"]["browserVersion"]
        self._session = f"/session/{created['sessionId']}"
        self._clean_up.callback(lambda: self._http.delete(self._session))
        self._tab = self._send("GET", f"{self._session}/window")
        self._other = self._send("POST", f"{self._session}/window/new", type="tab")["handle"]
        self.show()

    def close(self) -> None:
        """End the browser, its driver and its display."""
        self._clean_up.close()

    def evaluate(self, expression: str) -> Any:
        """Evaluate JavaScript in the tab, awaiting promises; the value comes back by way of JSON."""
        script = (
            "const done = arguments[arguments.length - 1];"
            f" Promise.resolve({expression}).then((value) => done(JSON.stringify(value ?? null)),"
            " (error) => done(JSON.stringify({ failed: String(error) })));"
        )
        value = json.loads(self._send("POST", f"{self._session}/execute/async", script=script, args=[]))
        if isinstance(value, dict) and "failed" in value:
            raise RuntimeError(value["failed"])
        return value

    def goto(self, url: str) -> None:
        """Load a page in the tab."""
        self._send("POST", f"{self._session}/url", url=url)

    def back(self) -> None:
        """Go back, as by the button."""
        self._send("POST", f"{self._session}/back")

    def hide(self) -> None:
        """Bring the other tab to the front."""
        self._send("POST", f"{self._session}/window", handle=self._other)
        self._send("POST", f"{self._session}/window", handle=self._tab)

    def show(self) -> None:
        """Bring the tab to the front."""
        self._send("POST", f"{self._session}/window", handle=self._tab)

    def _send(self, method: str, path: str, **body: Any) -> Any:
        answer = self._http.request(method, path, json=body if method == "POST" else None).json()["value"]
        if isinstance(answer, dict) and "error" in answer:
            raise RuntimeError(f"{path}: {answer['error']}: {answer.get('message')}")
        return answer

    def _start(self, *command: str) -> None:
        process = subprocess.Popen(  # noqa: S603 - programs that were found
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=_environment()
        )
        self._clean_up.callback(process.wait)
        self._clean_up.callback(process.terminate)

    def _await_driver(self) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            try:
                self._http.get("/status")
            except httpx.TransportError:
                time.sleep(0.1)
            else:
                return
        raise RuntimeError("WebKitWebDriver did not come up")


def _environment() -> dict[str, str]:

    return {**os.environ, "DISPLAY": DISPLAY, "WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1"}


def _browser() -> Path | None:
    return next((path for root in ("/usr/lib", "/usr/libexec") for path in Path(root).glob(BROWSERS)), None)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def measure(_playwright: Playwright, site: Site, only: str) -> Iterator[Row]:
    """In WebKitGTK, if it is there."""
    webkit = WebKit()
    try:
        yield from measure_driven(webkit, site, only)
    finally:
        webkit.close()


def missing() -> str | None:
    """Why it cannot be driven here, if so."""
    lacks = [name for name in NEEDED if not shutil.which(name)] + ([] if _browser() else ["MiniBrowser"])
    return f"skipped: this machine has no {', '.join(lacks)}" if lacks else None
