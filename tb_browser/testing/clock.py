"""A page's clocks, driven: an hour passes in seconds, and Python's clocks follow."""

from collections.abc import Callable

from playwright.sync_api import Page

__all__ = ["PageClock"]

STEP_MS = 1_000


class PageClock:
    """Drives `Date`, `performance.now()` and every timer of one page, and with them `time`, `asyncio` and tb_browser.

    It must be made before the page is loaded: installed later it would reset `performance.now()`. Time runs as usual
    until the first `advance()`, and stands still from then on until `resume()`. `settled` is called after every step,
    and returns when the next may come: the network runs no faster than usual, so requests must come back first.
    """

    def __init__(self, page: Page, settled: Callable[[], None] = lambda: None) -> None:
        self._page = page
        self._settled = settled
        self._stands = False
        page.clock.install()

    def now_ms(self) -> float:
        """The page's wall clock, in milliseconds since 1970."""
        return float(self._page.evaluate("Date.now()"))

    def pause(self) -> None:
        """Let time stand still; up to a second more passes on the page until it does."""
        if not self._stands:
            self._page.clock.pause_at((self.now_ms() + STEP_MS) / 1000)
            self._stands = True

    def advance(self, ms: int, *, step_ms: int = STEP_MS) -> None:
        """Let this much time pass, a step at a time; each takes some 10 ms of real time.

        JavaScript's timers fire at their own times within a step; Python's loop runs only between steps, so what waits
        in it (`asyncio.sleep`) is up to a step late. tb_browser takes steps of 30 s and more for a machine that slept.
        """
        self.pause()
        while ms > 0:
            self._page.clock.run_for(min(ms, step_ms))
            self._settled()
            ms -= step_ms

    def sleep(self, ms: int) -> None:
        """Jump as a machine does that slept: time has passed, and every timer that fell due fires once, late."""
        self.pause()
        self._page.clock.fast_forward(ms)
        self._settled()

    def set_wall(self, by_ms: float) -> None:
        """Set the wall clock forwards or backwards; the monotonic one goes on."""
        self._page.clock.set_system_time((self.now_ms() + by_ms) / 1000)

    def resume(self) -> None:
        """Let time run as usual again, as waiting for a delivery needs it."""
        self._page.clock.resume()
        self._stands = False
