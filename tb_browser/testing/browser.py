"""A browser whose tabs really are hidden, frozen, left, cut off, closed, crashed and killed.

A browser that Playwright launches pretends that every page is focused and visible. This one is started by ourselves,
and Playwright only connects to it, so the page's life is Chromium's own: real `visibilitychange`, real throttling and a
real bfcache.

    with RealBrowser(playwright) as browser:
        tab = browser.open("http://127.0.0.1:8000/")
        tab.hide()
        tab.show()
        browser.kill()

Every method returns when its effect has happened, and raises TimeoutError if it does not happen.
"""

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from playwright.sync_api import CDPSession, Page, Playwright
from playwright.sync_api import Error as PlaywrightError

from tb_browser.testing.chromium import CHROMIUM_FLAGS, ChromiumNotFoundError, ChromiumProcess, find_chromium

__all__ = ["CHROMIUM_FLAGS", "ChromiumNotFoundError", "RealBrowser", "RealTab", "find_chromium"]

EFFECT_TIMEOUT_S = 10
POLL_MS = 10

WATCH_LIFECYCLE = """() => {
    if (globalThis.__tbLifecycle) return;
    const seen = globalThis.__tbLifecycle = {frozen: 0, resumed: 0};
    document.addEventListener("freeze", () => { seen.frozen += 1; });
    document.addEventListener("resume", () => { seen.resumed += 1; });
}"""


class RealBrowser:
    """A Chromium of one's own, with one context that is its profile; `context` is Playwright's.

    `user_data_dir` keeps the profile (storage, cookies) for a later RealBrowser; without it the profile is temporary.
    `arguments` are further command-line switches. Raises ChromiumNotFoundError if the machine has no Chromium.
    """

    def __init__(
        self,
        playwright: Playwright,
        *,
        executable: Path | None = None,
        user_data_dir: Path | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        self.process = ChromiumProcess(executable=executable, user_data_dir=user_data_dir, arguments=arguments)
        try:
            # no_defaults: otherwise Playwright turns its emulation of focus on here too.
            self._browser = playwright.chromium.connect_over_cdp(self.process.endpoint, no_defaults=True)
            self.context = self._browser.contexts[0]
            self._cover = self.context.pages[0] if self.context.pages else self.context.new_page()
            self._tell_of_crashes()
        except BaseException:
            self.process.clean_up()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self, url: str) -> "RealTab":
        """Open a tab in front of all others, which this hides, and load `url`."""
        tab = RealTab(self, self.context.new_page())
        tab.page.goto(url)
        return tab

    def cover(self) -> None:
        """Bring an empty tab to the front, as a person does who goes on to read something else."""
        if self._cover.is_closed():
            self._cover = self.context.new_page()
        self._cover.bring_to_front()

    def until(self, holds: Callable[[], bool], what: str, timeout_s: float = EFFECT_TIMEOUT_S) -> None:
        """Wait until `holds()`, letting Playwright's events in meanwhile; raises TimeoutError naming `what`."""
        deadline = time.monotonic() + timeout_s
        while not holds():
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {timeout_s:.0f} s in vain until {what}")
            self._cover.wait_for_timeout(POLL_MS)

    def close(self) -> None:
        """Close the browser in good order, its profile written; its pages may be told nothing."""
        if self.process.running:
            with suppress(PlaywrightError):  # it may be gone before it answers
                _send(self._browser.new_browser_cdp_session(), "Browser.close")
        self._end()

    def kill(self) -> None:
        """SIGKILL every process of the browser: no page hears of it, and nothing more is sent.

        The profile keeps what IndexedDB has committed. What localStorage was given last is lost, even after seconds:
        Chromium writes it late.
        """
        self.process.kill()
        self._end()

    def terminate(self) -> None:
        """Send SIGTERM to the browser, as a log-out does."""
        self.process.terminate()
        self._end()

    def _tell_of_crashes(self) -> None:
        """Write how each tab crashed to stderr, where a test that fails shows it: Playwright knows only that it did."""

        def tell(crash: dict[str, object]) -> None:
            sys.stderr.write(f"a tab has {crash['status']}, exit code or signal {crash['errorCode']}\n")

        session = self._browser.new_browser_cdp_session()
        session.on("Target.targetCrashed", tell)
        _send(session, "Target.setDiscoverTargets", discover=True)

    def _end(self) -> None:
        self.process.wait_or_kill()
        self._browser.close()
        self.process.clean_up()


class RealTab:
    """A tab of a RealBrowser; `page` is Playwright's page.

    In a hidden tab, `page.wait_for_function` and all that waits for a rendered frame never ends; `page.evaluate` works.
    """

    def __init__(self, browser: RealBrowser, page: Page) -> None:
        self.browser = browser
        self.page = page

    @property
    def visibility(self) -> str:
        """The page's own `document.visibilityState`: "visible" or "hidden"."""
        return str(self.page.evaluate("document.visibilityState"))

    def wait(self, ms: float) -> None:
        """Let real time pass."""
        self.page.wait_for_timeout(ms)

    def hide(self) -> None:
        """Bring another tab to the front."""
        self.browser.cover()
        self.browser.until(lambda: self.visibility == "hidden", "the tab is hidden")

    def show(self) -> None:
        """Bring this tab to the front."""
        self.page.bring_to_front()
        self.browser.until(lambda: self.visibility == "visible", "the tab is visible")

    def freeze(self) -> None:
        """Hide the tab and freeze it, as Chromium does to save energy: its timers and tasks stand still."""
        self.hide()
        self._change_lifecycle("frozen", "frozen")

    def thaw(self) -> None:
        """Let a frozen tab run on; it stays hidden."""
        self._change_lifecycle("active", "resumed")

    def go_away(self, url: str = "about:blank") -> None:
        """Navigate to another page; the browser may keep this one alive in its back/forward cache."""
        self.page.evaluate("globalThis.__tbAway = true")
        self.page.goto(url)

    def come_back(self) -> None:
        """Go back to the page that `go_away()` left, alive as it was.

        Raises RuntimeError if the browser did not keep it alive and has loaded it anew.
        """
        self.page.go_back(wait_until="commit")
        if not self.page.evaluate("globalThis.__tbAway === true"):
            raise RuntimeError("the browser did not keep the page alive: it was loaded anew")

    def go_offline(self) -> None:
        """Cut the network: requests fail, and the page is told that it is offline. Open connections end."""
        self._set_offline(True)

    def go_online(self) -> None:
        """Give the network back."""
        self._set_offline(False)

    def close(self) -> None:
        """Close the tab as a person does: `pagehide`, `visibilitychange`, gone."""
        self.page.close()

    def crash(self) -> None:
        """End the tab's renderer at once, as when memory runs out; the browser lives on."""
        crashed = False

        def note(_page: Page) -> None:
            nonlocal crashed
            crashed = True

        self.page.once("crash", note)
        # The protocol's own Page.crash never answers, which blocks Playwright. Chromium runs this address in the page's
        # renderer without leaving the page, so that no event of leaving it fires either.
        with suppress(PlaywrightError):
            self.page.goto("chrome://crash")
        self.browser.until(lambda: crashed, "the tab has crashed")

    def _change_lifecycle(self, state: Literal["frozen", "active"], event: str) -> None:
        self.page.evaluate(WATCH_LIFECYCLE)
        before = self._seen(event)
        session = self.page.context.new_cdp_session(self.page)
        _send(session, "Page.setWebLifecycleState", state=state)
        self.browser.until(lambda: self._seen(event) > before, f"the tab is {event}")
        session.detach()

    def _set_offline(self, offline: bool) -> None:
        self.page.context.set_offline(offline)
        self.browser.until(lambda: self.page.evaluate("navigator.onLine") is not offline, "the network has changed")

    def _seen(self, event: str) -> int:
        return int(self.page.evaluate("event => globalThis.__tbLifecycle[event]", event))


def _send(session: CDPSession, method: str, **params: str | bool) -> None:
    session.send(method, params)  # pyright: ignore[reportUnknownMemberType] - Playwright leaves the dict's types open
