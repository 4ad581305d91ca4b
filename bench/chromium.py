"""The scenarios in real Chromium: tabs really hidden, minimised, frozen, throttled, blocked and cached."""

import time
from collections.abc import Callable, Iterator

from playwright.sync_api import Playwright

from bench.measured import BLOCK, Measured, Row
from tb_browser.testing.browser import RealBrowser, RealTab
from tests.browser.site import Site

HIDDEN_TIMEOUT_MS = 2_000
THROTTLED_S = 75
THROTTLE_EARLY = ("--enable-features=IntensiveWakeUpThrottling:grace_period_seconds/10",)
"""Chromium lets a hidden page's timers run once a minute after 5 minutes; here it is told to do so after 10 s."""


class Chromium:
    """One tab with Python in it, used for one session after another."""

    def __init__(self, browser: RealBrowser, site: Site) -> None:
        self.browser = browser
        self.site = site
        self.tab: RealTab = browser.open(f"{site.url}/python")
        self.version = str(self.tab.page.evaluate("navigator.userAgent.match(/Chrome\\/([\\d.]+)/)[1]"))
        self.page = Measured(self.tab.page.evaluate, site)
        self.page.prepare()

    def scenarios(self) -> dict[str, Callable[[str], Row]]:
        """By name, in the order of the table."""
        return {
            "steady, the page's first session": self.steady,
            "steady, heartbeats of 1 s": self.many_windows,
            "10 tab switches": self.switches,
            "minimised": self.minimised,
            "frozen and thawed": self.frozen,
            "hidden longer than the hidden timeout": self.timed_out,
            "Python blocks the page for 5 s": self.blocked,
            "tab switched while Python blocks": self.switched_while_blocked,
            "navigated away and back (bfcache)": self.cached,
            "pause() and resume(), tab switched meanwhile": self.paused,
            f"hidden for {THROTTLED_S} s, timers throttled": self.throttled,
        }

    def steady(self, name: str) -> Row:
        """Nothing happens."""
        self.page.start()
        time.sleep(5)
        return self.page.end(name)

    def many_windows(self, name: str) -> Row:
        """Many windows, each rounded."""
        self.page.start(heartbeatMs=1_000)
        time.sleep(10)
        return self.page.end(name)

    def switches(self, name: str) -> Row:
        """A learner who looks things up."""
        self.page.start()
        for _ in range(10):
            time.sleep(0.4)
            self.tab.hide()
            time.sleep(0.4)
            self.tab.show()
        return self.page.end(name)

    def minimised(self, name: str) -> Row:
        """The window is minimised, where headless Chromium obeys."""
        session = self.browser.context.new_cdp_session(self.tab.page)
        window = session.send("Browser.getWindowForTarget")["windowId"]

        def bounds(state: str) -> None:
            session.send("Browser.setWindowBounds", {"windowId": window, "bounds": {"windowState": state}})

        self.page.start()
        time.sleep(1)
        bounds("minimized")
        time.sleep(2)
        obeyed = self.tab.visibility == "hidden"
        bounds("normal")
        time.sleep(1)
        session.detach()
        if self.tab.visibility == "hidden":
            self.tab.show()
        return self.page.end(name, "" if obeyed else "minimising hid nothing: headless Chromium has no window to hide")

    def frozen(self, name: str) -> Row:
        """Hidden, frozen by the browser, thawed, seen again."""
        self.page.start()
        time.sleep(1)
        self.tab.freeze()
        time.sleep(3)
        self.tab.thaw()
        time.sleep(0.5)
        self.tab.show()
        time.sleep(1)
        return self.page.end(name)

    def timed_out(self, name: str) -> Row:
        """Hidden for twice the (shortened) hidden timeout."""
        self.page.start(hiddenTimeoutMs=HIDDEN_TIMEOUT_MS)
        time.sleep(1)
        self.tab.hide()
        time.sleep(2 * HIDDEN_TIMEOUT_MS / 1000)
        self.tab.show()
        time.sleep(1)
        return self.page.end(name)

    def blocked(self, name: str) -> Row:
        """Python computes for 5 s, and no timer fires meanwhile."""
        self.page.start()
        time.sleep(1)
        self.page.run(BLOCK.format(seconds=5))
        time.sleep(1)
        return self.page.end(name)

    def switched_while_blocked(self, name: str) -> Row:
        """The tab is hidden while Python computes; the driver's clock tells when."""
        self.page.start()
        time.sleep(1)
        self.page.run(
            "import asyncio\nblocking = asyncio.get_running_loop().call_later(0.1, lambda: exec(BLOCK))\n"
            f"BLOCK = {BLOCK.format(seconds=5)!r}"
        )
        time.sleep(2)
        self.browser.cover()
        hidden_ms = time.time() * 1000
        time.sleep(6)
        told = self.page.evaluate(
            "observer.tally().log.filter(([, what]) => what === 'hidden').map(([ms]) => performance.timeOrigin + ms)"
        )
        self.tab.show()
        time.sleep(1)
        late = f"the browser told the page {max(told) - hidden_ms:.0f} ms after it was hidden" if told else "never told"
        return self.page.end(name, late)

    def cached(self, name: str) -> Row:
        """Another page, and back by the back button; Python lives on."""
        self.page.start()
        self.page.evaluate("globalThis.survived = true")
        time.sleep(1)
        self.tab.page.goto(f"{self.site.url}/events.json")
        time.sleep(2)
        session = self.browser.context.new_cdp_session(self.tab.page)
        history = session.send("Page.getNavigationHistory")
        entry = history["entries"][history["currentIndex"] - 1]["id"]
        session.send("Page.navigateToHistoryEntry", {"entryId": entry})
        self.browser.until(lambda: self._evaluates("Boolean(globalThis.pyodide)"), "the page is back")
        time.sleep(1)
        survived = self._evaluates("globalThis.survived === true")
        return self.page.end(name, "" if survived else "the page was loaded anew")

    def paused(self, name: str) -> Row:
        """A pause that outlasts a tab switch."""
        self.page.start()
        time.sleep(1)
        self.page.pause()
        self.tab.hide()
        time.sleep(1)
        self.tab.show()
        time.sleep(0.5)
        self.page.resume()
        time.sleep(1)
        return self.page.end(name)

    def throttled(self, name: str) -> Row:
        """Hidden so long that Chromium lets timers run once a minute."""
        self.page.start()
        time.sleep(2)
        self.tab.hide()
        time.sleep(THROTTLED_S)
        self.tab.show()
        time.sleep(2)
        row = self.page.end(name)
        return Row(
            *(getattr(row, field) for field in Row.__dataclass_fields__ if field != "remark"),
            remark=f"longest gap between two 1-s timers: {row.longest_gap / 1000:.1f} s",
        )

    def _evaluates(self, expression: str) -> bool:
        try:
            return bool(self.tab.page.evaluate(expression))
        except Exception:  # noqa: BLE001 - between two documents there is nothing to ask
            return False


def measure(playwright: Playwright, site: Site, only: str) -> Iterator[Row]:
    """Every scenario whose name contains `only`."""
    with RealBrowser(playwright, arguments=THROTTLE_EARLY) as browser:
        chromium = Chromium(browser, site)
        for name, scenario in chromium.scenarios().items():
            if only in name:
                yield scenario(name)
