"""Python in a PyScript worker: what the platform received, against an observer in the page that Python cannot see."""

import json
import time
from typing import Any

import pytest
from playwright.sync_api import Page

from tb_browser.testing.browser import RealBrowser, RealTab
from tests.browser.site import OBSERVE_LIFE, Site

NEAR_MS = 60
"""A loaded machine lets this much pass between a moment and our note of it."""

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Worker</title><link rel="icon" href="data:,">
<link rel="stylesheet" href="/static/pyscript/core.css">
<script>
  globalThis.said = {};
  globalThis.python = new BroadcastChannel("test");
  python.onmessage = ({data}) => Object.assign(said, data);
</script>
RELAY
<script type="module" src="/static/pyscript/core.js"></script>
</head><body>
<script type="py" worker config='{"interpreter": "/static/pyodide/pyodide.mjs", "packages": ["tb-browser"]}'>
import asyncio, json, logging, js
from tb_browser import create_client

channel = js.BroadcastChannel.new("test")
def say(**said):
    channel.postMessage(js.JSON.parse(json.dumps(said)))
def now():
    return js.performance.timeOrigin + js.performance.now()
class Notes(logging.Handler):
    def emit(self, record):
        say(warning=record.getMessage())
logging.getLogger("tb_browser").addHandler(Notes())
logging.getLogger("tb_browser").propagate = False

timeback = create_client()
activity = timeback.activity.start(
    id="lesson-1", name="Fractions", course={"subject": "Math", "grade": 3}, **json.loads('OPTIONS'),
    on_error=lambda error, context: say(error=str(error)),
)
def block(ms):
    say(blocking=True)
    until = now() + ms
    while now() < until:
        pass
async def end():
    ended = now()
    receipt = await activity.end()
    say(ended=ended, receipt=receipt.model_dump(), stats=activity.stats.model_dump())
asked = asyncio.Queue()
channel.onmessage = lambda event: asked.put_nowait(str(event.data))
say(run=activity.run_id, started=now(), isolated=bool(js.self.crossOriginIsolated))
while True:
    command = await asked.get()
    if command == "end":
        await end()
    else:
        block(float(command))
        say(blocking=False)
</script>
</body></html>
"""

RELAY = """<script type="module">
  import { hooks } from "/static/pyscript/core.js";
  import { relay } from "/static/page.js";
  relay({ hooks });
</script>"""


@pytest.fixture(params=[False, True], ids=["plain", "isolated"])
def isolated(request: pytest.FixtureRequest) -> bool:
    """Whether the page is cross-origin isolated, so that its worker sees the page through proxies."""
    return bool(request.param)


class WorkerPage:
    """A page whose Python runs in a worker."""

    def __init__(
        self, browser: RealBrowser, site: Site, *, isolated: bool = False, relay: str = RELAY, **options: Any
    ) -> None:
        self.site = site
        page = browser.context.new_page()
        page.add_init_script(OBSERVE_LIFE)
        headers = {"content-type": "text/html"}
        if isolated:
            headers |= {"cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp"}
        text = PAGE.replace("RELAY", relay).replace("OPTIONS", json.dumps(options))
        page.route(f"{site.url}/worker", lambda route: route.fulfill(body=text, headers=headers))
        self.tab = RealTab(browser, page)
        page.goto(f"{site.url}/worker")
        self.run_id = str(self.heard("run"))
        self.started_ms = float(self.heard("started"))
        assert self.heard("isolated") is isolated

    @property
    def page(self) -> Page:
        return self.tab.page

    def heard(self, name: str, timeout_s: float = 30) -> Any:
        """What the worker said under this name, once it has."""
        deadline = time.monotonic() + timeout_s
        while (said := self.page.evaluate("name => said[name]", name)) is None:
            assert time.monotonic() < deadline, f"the worker never said {name}: {self.page.evaluate('said')}"
            self.page.wait_for_timeout(20)
        return said

    def ask(self, command: str | float) -> None:
        self.page.evaluate("command => python.postMessage(command)", str(command))

    def leave(self) -> tuple[list[tuple[float, bool]], float]:
        """Close the tab; what its observer told: changes of visibility, and when it was left."""
        told = len(self.site.told)
        self.tab.close()
        deadline = time.monotonic() + 5
        while len(self.site.told) == told:
            assert time.monotonic() < deadline, "the observer told nothing"
            time.sleep(0.01)
        life = self.site.told[-1]
        return [(at, visible) for at, visible in life["seen"]], life["left"]

    def wait_for_ms(self, ms: float) -> None:
        """Wait until so much time has arrived, or five seconds in vain."""
        deadline = time.monotonic() + 5
        while self.counted_ms < ms - NEAR_MS and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.3)  # what is sent twice comes a little later

    @property
    def counted_ms(self) -> float:
        return self.active_ms + self.inactive_ms

    @property
    def active_ms(self) -> float:
        return self.site.active_s(self.run_id) * 1000

    @property
    def inactive_ms(self) -> float:
        return self.site.inactive_s(self.run_id) * 1000


def near(ms: float) -> Any:
    return pytest.approx(ms, abs=NEAR_MS)


def test_a_worker_counts_what_the_page_lived(real_browser: RealBrowser, site: Site, isolated: bool) -> None:
    """Started, hidden, shown, closed: every millisecond arrives once, up to the closing of the tab."""
    worker = WorkerPage(real_browser, site, isolated=isolated, time={"heartbeatMs": 2_000})
    worker.page.wait_for_timeout(1_200)
    worker.tab.hide()
    worker.page.wait_for_timeout(900)
    worker.tab.show()
    worker.page.wait_for_timeout(2_500)
    ((hidden_ms, _), (shown_ms, _)), left_ms = worker.leave()
    worker.wait_for_ms(left_ms - worker.started_ms)
    assert worker.active_ms == near(hidden_ms - worker.started_ms + left_ms - shown_ms)
    assert worker.inactive_ms == near(shown_ms - hidden_ms)


def test_a_tab_that_is_closed_while_python_works_reports_up_to_then(
    real_browser: RealBrowser, site: Site, isolated: bool
) -> None:
    """A computation blocks the worker, the tab is hidden, shown and closed meanwhile: all of it arrives."""
    worker = WorkerPage(real_browser, site, isolated=isolated, time={"heartbeatMs": 60_000})
    worker.ask(60_000)
    assert worker.heard("blocking") is True
    worker.page.wait_for_timeout(1_000)
    worker.tab.hide()
    worker.page.wait_for_timeout(800)
    worker.tab.show()
    worker.page.wait_for_timeout(1_000)
    ((hidden_ms, _), (shown_ms, _)), left_ms = worker.leave()
    worker.wait_for_ms(left_ms - worker.started_ms)
    assert worker.active_ms == near(hidden_ms - worker.started_ms + left_ms - shown_ms)
    assert worker.inactive_ms == near(shown_ms - hidden_ms)


def test_events_during_a_computation_count_at_their_own_times(real_browser: RealBrowser, site: Site) -> None:
    """Python was busy when the tab was hidden and shown: afterwards both are charged when they happened."""
    worker = WorkerPage(real_browser, site, time={"heartbeatMs": 60_000})
    worker.ask(4_000)
    worker.page.wait_for_timeout(500)
    worker.tab.hide()
    worker.page.wait_for_timeout(1_000)
    worker.tab.show()
    while worker.heard("blocking"):
        worker.page.wait_for_timeout(50)
    worker.ask("end")
    ended_ms = worker.heard("ended")
    (hidden_ms, _), (shown_ms, _) = worker.page.evaluate("life.seen")
    assert worker.heard("stats")["lost"] == {}
    assert worker.active_ms == near(hidden_ms - worker.started_ms + ended_ms - shown_ms)
    assert worker.inactive_ms == near(shown_ms - hidden_ms)


def test_after_the_end_the_page_sends_nothing(real_browser: RealBrowser, site: Site) -> None:
    """What was ended is not sent once more when the tab is closed."""
    worker = WorkerPage(real_browser, site)
    worker.page.wait_for_timeout(500)
    worker.ask("end")
    ended_ms = worker.heard("ended")
    assert worker.heard("receipt")["delivered"]
    worker.page.wait_for_timeout(500)
    worker.leave()
    worker.wait_for_ms(0)
    assert worker.active_ms == near(ended_ms - worker.started_ms)


def test_a_worker_without_the_pages_part_says_what_it_cannot_know(real_browser: RealBrowser, site: Site) -> None:
    """Whether the page is seen is unknown: a warning says so, and hidden time counts as active, as in plain Python."""
    worker = WorkerPage(real_browser, site, relay="")
    assert "no page tells it" in worker.heard("warning")
    worker.tab.hide()
    worker.page.wait_for_timeout(800)
    worker.ask("end")
    ended_ms = worker.heard("ended")
    worker.heard("stats")
    assert worker.active_ms == near(ended_ms - worker.started_ms)
    assert worker.inactive_ms == 0
