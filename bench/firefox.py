"""The scenarios in Firefox, over WebDriver BiDi: what can be driven there."""

import json
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from playwright.sync_api import Playwright

from bench.bidi import Bidi
from bench.measured import BLOCK, Measured, Row
from tests.browser.site import Site

NAMES = ("firefox-esr", "firefox")


class Firefox:
    """A Firefox of one's own, with one tab under measurement and another to hide it."""

    def __init__(self, program: str) -> None:
        self._clean_up = ExitStack()
        profile = self._clean_up.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        self._process = subprocess.Popen(  # noqa: S603 - the browser that was found
            [program, "--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._clean_up.callback(self._process.wait)
        self._clean_up.callback(self._process.terminate)
        self._bidi = Bidi(self._address() + "/session")
        self.version = self._bidi.send("session.new", capabilities={})["capabilities"]["browserVersion"]
        self.tab: str = self._bidi.send("browsingContext.getTree")["contexts"][0]["context"]
        self._other: str = self._bidi.send("browsingContext.create", type="tab")["context"]
        self.show()

    def close(self) -> None:
        """End the browser."""
        self._bidi.close()
        self._clean_up.close()

    def evaluate(self, expression: str) -> Any:
        """Evaluate JavaScript in the tab, awaiting promises; the value comes back by way of JSON."""
        answer = self._bidi.send(
            "script.evaluate",
            expression=f"Promise.resolve({expression}).then((value) => JSON.stringify(value ?? null))",
            target={"context": self.tab},
            awaitPromise=True,
        )
        if answer["type"] == "exception":
            raise RuntimeError(answer["exceptionDetails"]["text"])
        return json.loads(answer["result"]["value"])

    def goto(self, url: str) -> None:
        """Load a page in the tab."""
        self._bidi.send("browsingContext.navigate", context=self.tab, url=url, wait="complete")

    def back(self) -> None:
        """Go back, as by the button."""
        self._bidi.send("browsingContext.traverseHistory", context=self.tab, delta=-1)

    def hide(self) -> None:
        """Bring the other tab to the front."""
        self._bidi.send("browsingContext.activate", context=self._other)

    def show(self) -> None:
        """Bring the tab to the front."""
        self._bidi.send("browsingContext.activate", context=self.tab)

    def _address(self) -> str:
        assert self._process.stderr is not None  # noqa: S101 - it is a pipe, see above
        for line in self._process.stderr:
            if found := re.search(r"ws://\S+", line):
                return found[0]
        raise RuntimeError("Firefox did not say where it listens")


def measure_driven(browser: Any, site: Site, only: str) -> Iterator[Row]:
    """The scenarios that any browser with tabs and a history can be driven through."""
    browser.goto(f"{site.url}/python")
    page = Measured(browser.evaluate, site)
    page.prepare()

    def steady(name: str) -> Row:
        page.start()
        time.sleep(5)
        return page.end(name)

    def switches(name: str) -> Row:
        page.start()
        seen = 0
        for _ in range(5):
            time.sleep(0.5)
            browser.hide()
            time.sleep(0.5)
            seen += browser.evaluate("document.visibilityState") == "hidden"
            browser.show()
        return page.end(name, "" if seen == 5 else f"the page was hidden {seen} times of 5")

    def blocked(name: str) -> Row:
        page.start()
        time.sleep(1)
        page.run(BLOCK.format(seconds=5))
        time.sleep(1)
        return page.end(name)

    def cached(name: str) -> Row:
        page.start()
        page.evaluate("globalThis.survived = true")
        time.sleep(1)
        browser.goto(f"{site.url}/events.json")
        time.sleep(2)
        browser.back()
        time.sleep(1)
        if not page.evaluate("globalThis.survived === true"):
            return page.lost(name, "the page was loaded anew: no bfcache; what had left by then is compared")
        return page.end(name)

    scenarios = {
        "steady, the page's first session": steady,
        "5 tab switches": switches,
        "Python blocks the page for 5 s": blocked,
        "navigated away and back": cached,
    }
    for name, scenario in scenarios.items():
        if only in name:
            yield scenario(name)


def measure(_playwright: Playwright, site: Site, only: str) -> Iterator[Row]:
    """In Firefox, if there is one."""
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        return
    firefox = Firefox(program)
    try:
        yield from measure_driven(firefox, site, only)
    finally:
        firefox.close()


def missing() -> str | None:
    """Why it cannot be driven here, if so."""
    return None if any(map(shutil.which, NAMES)) else "skipped: no firefox or firefox-esr on this machine"
