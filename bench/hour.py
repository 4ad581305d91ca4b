"""An hour's session in real Chromium, with Playwright's own clock control: both clocks of the page are driven.

The observer reads the same driven clock. It is stepped by a second at a time: one big step fires Python's loop too
rarely. After each heartbeat the driver waits until it has been delivered, since the network does not run faster.
"""

import time
from collections.abc import Callable, Iterator

from playwright.sync_api import Playwright

from bench.measured import Measured, Row
from tb_browser.testing.browser import RealBrowser, RealTab
from tests.browser.site import Site

MINUTE_S = 60
HOUR_MS = 3_600_000


class DrivenHour:
    """A tab whose clock stands still unless it is stepped."""

    def __init__(self, browser: RealBrowser, site: Site) -> None:
        self.tab = RealTab(browser, browser.context.new_page())
        self.tab.page.clock.install()
        self.tab.page.goto(f"{site.url}/python")
        self.page = Measured(self.tab.page.evaluate, site)
        self.page.prepare()
        self.tab.page.clock.pause_at(self._wall_ms() / 1000 + 1)

    def hour(self, name: str, happenings: dict[int, Callable[[], None]]) -> Row:
        """One session of an hour, with what happens at which second."""
        self.page.start()
        for second in range(HOUR_MS // 1000):
            if second in happenings:
                happenings[second]()
            self.tab.page.clock.run_for(1_000)
            if second % 5 == 0:
                self._deliver()
        # end() waits for its delivery by timers, which stand still unless the clock runs.
        self.tab.page.clock.resume()
        return self.page.end(name)

    def set_wall_clock(self, by_ms: float) -> None:
        """Set the wall clock alone; the monotonic one goes on."""
        self.tab.page.clock.set_system_time((self._wall_ms() + by_ms) / 1000)

    def hide(self) -> None:
        """Really hide the tab."""
        self.tab.hide()

    def show(self) -> None:
        """Really show the tab."""
        self.tab.show()

    def _wall_ms(self) -> float:
        return float(self.tab.page.evaluate("Date.now()"))

    def _deliver(self) -> None:
        deadline = time.monotonic() + 5
        while self.page.run("activity.stats.waiting") and time.monotonic() < deadline:
            time.sleep(0.01)


def measure(playwright: Playwright, site: Site, only: str) -> Iterator[Row]:
    """The hour, undisturbed and disturbed."""
    scenarios: dict[str, Callable[[DrivenHour], dict[int, Callable[[], None]]]] = {
        "an hour, undisturbed": lambda _tab: {},
        "an hour, hidden for 3 min, wall clock + 1 h, - 2 h, hidden again": lambda tab: {
            10 * MINUTE_S: tab.hide,
            13 * MINUTE_S: tab.show,
            20 * MINUTE_S: lambda: tab.set_wall_clock(HOUR_MS),
            35 * MINUTE_S: lambda: tab.set_wall_clock(-2 * HOUR_MS),
            50 * MINUTE_S: tab.hide,
            52 * MINUTE_S: tab.show,
        },
    }
    for name, happenings in scenarios.items():
        if only in name:
            with RealBrowser(playwright) as browser:
                tab = DrivenHour(browser, site)
                yield tab.hour(name, happenings(tab))
