"""The true length of a session, told by an observer of its own, against what the platform received."""

import json
import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from playwright.sync_api import BrowserContext, CDPSession, Page

from demo.platform_events import PlatformEvent
from tb_browser.testing.browser import RealBrowser
from tb_browser.testing.console import Console
from tests.browser.site import PythonPage, Site

FAST = {"heartbeatMs": 500, "retry": {"firstMs": 100, "maxMs": 400, "settleMs": 1_500}}
"""A heartbeat twice a second, and retries that do not keep a test waiting. `settleMs` outlasts the slow server."""
ONE_WINDOW = {**FAST, "heartbeatMs": 60_000}
"""No heartbeat falls due in a test, unless its random first phase does."""

START = """
from js import performance, Date
from tb_browser import create_client, bearer
if "timeback" not in globals():
    errors = []
    timeback = CLIENT
before = performance.now()
activity = timeback.activity.start(
    id="lesson-1", name="Fractions", course={"subject": "Math", "grade": 3},
    on_error=lambda error, context: errors.append(f"{type(error).__name__}: {error}"), **OPTIONS
)
after = performance.now()
[activity.run_id, before, after, Date.now() - performance.now()]
"""

OBSERVE = """([run, before, after]) => {
    if (!globalThis.truth) {
        const tell = event => {
            if (truth.open !== null) truth.ms += event.timeStamp - truth.open;
            truth.open = null;
            navigator.sendBeacon("/truth", JSON.stringify(truth));
        };
        // Out of the back/forward cache it is visible first, and told of its showing, of an earlier time, afterwards.
        const open = event => {
            if (truth.run && document.visibilityState === "visible") truth.open ??= event.timeStamp;
        };
        addEventListener("pagehide", tell, true);
        addEventListener("pageshow", open, true);
        document.addEventListener("visibilitychange", open, true);
    }
    globalThis.truth = {run, open: after, ms: 0, slack: after - before};
}"""

END = """
before = performance.now()
ending = activity.end()
after = performance.now()
receipt = (await ending).model_dump()
[before, after, receipt]
"""

ROUNDING_MS = 2
"""Windows are whole milliseconds, and the observer reads its clock a little before and after."""


@dataclass(frozen=True)
class Span:
    """A true length that is known to lie between two numbers of milliseconds."""

    least_ms: float
    most_ms: float


@dataclass(frozen=True)
class Account:
    """What the platform received of one run."""

    windows: int
    sum_ms: float
    active_ms: float
    twice_ms: float
    """Time that lies in more than one window, on the windows' own wall clock."""
    gap_ms: float
    """Time between the first window's start and the last one's end that lies in none."""

    def lost_ms(self, truth: Span) -> float:
        """How much is missing at least; 0 if nothing surely is."""
        return max(0.0, truth.least_ms - self.sum_ms)

    def excess_ms(self, truth: Span) -> float:
        """How much too much was counted at least."""
        return max(0.0, self.sum_ms - truth.most_ms)


def flaws(got: Account, truth: Span, *, may_lose_ms: float = 0, uncertain_ms: float = ROUNDING_MS) -> list[str]:
    """Everything that is wrong with what arrived: time that is missing, too much, or there twice."""
    found = {
        f"{got.lost_ms(truth):.0f} ms lost": got.lost_ms(truth) > may_lose_ms + uncertain_ms,
        f"{got.excess_ms(truth):.0f} ms too much": got.excess_ms(truth) > uncertain_ms,
        f"{got.twice_ms:.0f} ms twice": got.twice_ms > 0,
    }
    return [f"{flaw}: {got}, truth {truth}" for flaw, holds in found.items() if holds]


def account(events: Sequence[PlatformEvent]) -> Account:
    """Add up windows; their starts, which the platform is not told, follow from end and length."""
    spans = sorted(_span(event) for event in events)
    twice = gap = 0.0
    until = spans[0][0] if spans else 0.0
    for start, end in spans:
        twice += max(0.0, min(until, end) - start)
        gap += max(0.0, start - until)
        until = max(until, end)
    active = sum(event.active_seconds or 0 for event in events) * 1000
    return Account(len(spans), sum(end - start for start, end in spans), round(active, 3), twice, gap)


def _span(event: PlatformEvent) -> tuple[float, float]:
    length = timedelta(seconds=(event.active_seconds or 0) + (event.inactive_seconds or 0))
    end_ms = round(event.event_time.timestamp() * 1000)
    return end_ms - round(length.total_seconds() * 1000), end_ms


class Lesson(PythonPage):
    """A page with an activity in it and an observer beside it that knows nothing of tb_browser."""

    site: Site

    def __init__(self, page: Page, site: Site, client: str = "create_client()") -> None:
        super().__init__(page, site)
        self._client = client
        self.run_id = ""
        self._began = (0.0, 0.0)
        self._epoch_ms = 0.0

    def begin(self, time: Mapping[str, Any] = FAST, **options: object) -> str:
        """Start an activity and observe it; returns its run_id."""
        literal = json.dumps(json.dumps({"time": time, **options}))
        code = f"import json\nOPTIONS = json.loads({literal})\n" + START.replace("CLIENT", self._client)
        self.run_id, before, after, self._epoch_ms = self.run(code)
        self._began = (before, after)
        self.page.evaluate(OBSERVE, [self.run_id, before, after])
        return self.run_id

    def wait_known(self) -> None:
        """Wait until the page knows whose time it is: what it keeps from then on, any tab of this user may deliver."""
        self.page.wait_for_timeout(100)
        while '"tb_browser/1/open/' not in (stored := self.stored()) or '\\"owner\\":\\"user:' not in stored:
            self.page.wait_for_timeout(50)

    def wait(self, ms: float) -> None:
        """Let the learner learn; Playwright's events come in meanwhile."""
        self.page.wait_for_timeout(ms)

    def end(self) -> Span:
        """End the activity, wait for delivery, and return its true length."""
        (before, after, self.receipt) = self.run(END)
        seen = self.page.evaluate("truth")
        return Span(seen["ms"] + before - seen["open"], seen["ms"] + after - seen["open"] + seen["slack"])

    def length_at(self, earliest_s: float, latest_s: float) -> Span:
        """The true length, if the page died between two times of this machine's clock (`time.time()`)."""
        began_ms = [self._epoch_ms + at_ms for at_ms in self._began]
        return Span(earliest_s * 1000 - began_ms[1], latest_s * 1000 - began_ms[0])

    def length_told(self, timeout_s: float = 10) -> Span:
        """The true length that the observer told as the page was left."""
        deadline = time.monotonic() + timeout_s
        while self.run_id not in self.site.truth:
            if time.monotonic() > deadline:
                raise TimeoutError("the observer told nothing")
            time.sleep(0.005)
        said = self.site.truth[self.run_id]
        return Span(said["ms"], said["ms"] + said["slack"])

    def account(self) -> Account:
        """What the platform received of the current run."""
        return account(self.site.times(self.run_id))

    def until_whole(self, truth: Span, **allowed_ms: float) -> Account:
        """Wait until the platform has received it all; the account then, or after five seconds in vain."""
        deadline = time.monotonic() + 5
        while flaws(self.account(), truth, **allowed_ms) and time.monotonic() < deadline:
            time.sleep(0.01)
        return self.account()

    def settle(self, timeout_s: float = 15) -> dict[str, Any]:
        """Wait until nothing waits any more; returns `activity.stats`."""
        deadline = time.monotonic() + timeout_s
        while (stats := self.stats())["waiting"]:
            if time.monotonic() > deadline:
                raise TimeoutError(f"still waiting: {stats}")
            self.wait(50)
        return stats

    def stats(self) -> dict[str, Any]:
        """`activity.stats` now."""
        return dict(self.run("activity.stats.model_dump()"))

    def errors(self) -> list[str]:
        """What `on_error` was told since the last call."""
        return list(self.run("told, errors[:] = list(errors), []\ntold"))

    def forget_errors(self) -> None:
        """Forget what a test before this one has left."""
        self.run("if 'errors' in globals():\n    errors.clear()")

    def stored(self) -> str:
        """Everything in localStorage, sessionStorage and IndexedDB, as text."""
        return str(self.page.evaluate(DUMP))


DUMP = """async () => {
    const found = [Object.entries(localStorage), Object.entries(sessionStorage)];
    for (const { name } of await indexedDB.databases()) {
        const request = indexedDB.open(name);
        await new Promise((done, failed) => { request.onsuccess = done; request.onerror = failed; });
        for (const store of request.result.objectStoreNames) {
            for (const method of ["getAllKeys", "getAll"]) {
                const all = request.result.transaction(store).objectStore(store)[method]();
                await new Promise(done => { all.onsuccess = done; });
                found.push(all.result);
            }
        }
        request.result.close();
    }
    return JSON.stringify(found);
}"""


def watched(context: BrowserContext, console: Console) -> BrowserContext:
    """Guard a context's console; a failed request is the browser's to tell, and no fault of the page."""
    console.expect("Failed to load resource")
    console.watch(context)
    return context


def kill_renderer(browser: RealBrowser) -> None:
    """SIGKILL the process that runs Python in this browser: of all renderers, the one that has worked most."""
    playwrights = browser.context.browser
    assert playwrights is not None
    session: CDPSession = playwrights.new_browser_cdp_session()
    processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
    renderers = [each for each in processes if each["type"] == "renderer"]
    os.kill(int(max(renderers, key=lambda each: each["cpuTime"])["id"]), signal.SIGKILL)
