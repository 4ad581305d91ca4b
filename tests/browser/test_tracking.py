"""What the platform behind the official server received from a page that tracks time, in real Chromium."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Playwright

from tb_browser.testing.browser import CHROMIUM_FLAGS, RealBrowser, find_chromium
from tb_browser.testing.console import Console
from tests.browser.site import PythonPage, Site

FAST = {"heartbeatMs": 1_000}


@pytest.fixture
def python(real_browser: RealBrowser, site: Site) -> PythonPage:
    """A page with Python in a tab that can really be hidden."""
    return PythonPage(real_browser.context.new_page(), site).open()


def test_start_heartbeats_end(python: PythonPage, site: Site) -> None:
    """From start to end the platform receives every millisecond once, in heartbeats, and no completion."""
    run_id = python.start(time=FAST)
    site.wait_for_times(run_id, 3)
    receipt = python.run("(await activity.end()).model_dump()")
    assert receipt["delivered"]
    assert receipt["waiting"] == 0
    assert python.run("errors") == []
    assert round(site.active_s(run_id) * 1000) in range(receipt["activeMs"], receipt["activeMs"] + 2)
    assert site.inactive_s(run_id) == 0
    assert {event.kind for event in site.platform.events_of(run_id)} == {"time_spent"}
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", run_id)


def test_nothing_after_the_end(python: PythonPage, site: Site) -> None:
    """After `end()` no timer, listener or request is left."""
    run_id = python.start(time={"heartbeatMs": 200})
    python.run("await activity.end()")
    count = len(site.times(run_id))
    python.page.evaluate("new Promise(done => setTimeout(done, 600))")
    python.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    assert len(site.times(run_id)) == count
    assert python.page.evaluate("Object.keys(localStorage).filter(k => k.startsWith('tb_browser/1/'))") == []


def test_resume_with_the_same_run(python: PythonPage, real_browser: RealBrowser, site: Site) -> None:
    """A new page that passes the saved run_id goes on with the same run."""
    run_id = python.start(time=FAST)
    python.run("await activity.end()")
    python.page.close()
    later = PythonPage(real_browser.context.new_page(), site).open()
    assert later.start(runId=run_id, time=FAST) == run_id
    before = len(site.times(run_id))
    later.run("await activity.end()")
    assert len(site.times(run_id)) > before


def test_hidden_tab_splits_active_from_inactive(python: PythonPage, real_browser: RealBrowser, site: Site) -> None:
    """A tab that is really hidden counts inactive time; its last active window left as it was hidden."""
    run_id = python.start(time={"heartbeatMs": 60_000})
    python.page.evaluate(
        """() => {
            globalThis.seen = [[performance.now(), document.visibilityState]];
            document.addEventListener("visibilitychange",
                event => seen.push([event.timeStamp, document.visibilityState]), true);
        }"""
    )
    python.page.evaluate("new Promise(done => setTimeout(done, 500))")
    real_browser.cover()
    site.platform.wait_for(lambda _events: site.active_s(run_id) > 0)
    python.page.evaluate("new Promise(done => setTimeout(done, 1500))")
    python.page.bring_to_front()
    python.page.evaluate("new Promise(done => setTimeout(done, 300))")
    python.run("await activity.end()")
    seen = python.page.evaluate("seen")
    assert [state for _, state in seen] == ["visible", "hidden", "visible"]
    hidden_s = (seen[2][0] - seen[1][0]) / 1000
    assert hidden_s > 1.4
    assert site.inactive_s(run_id) == pytest.approx(hidden_s, abs=0.05)
    assert python.run("errors") == []


def test_starts_inactive_on_a_hidden_page(python: PythonPage, real_browser: RealBrowser, site: Site) -> None:
    """`start()` on a page that is hidden begins inactive."""
    real_browser.cover()
    real_browser.until(lambda: python.page.evaluate("document.visibilityState") == "hidden", "the page is hidden")
    run_id = python.start(time=FAST)
    python.page.evaluate("new Promise(done => setTimeout(done, 1100))")
    python.run("await activity.end()")
    assert site.active_s(run_id) == 0
    assert site.inactive_s(run_id) > 1


def test_time_false_sends_nothing(python: PythonPage, site: Site) -> None:
    """With `time=False` there is no heartbeat, no listener, and no time sent at the end."""
    python.page.evaluate(
        """() => {
            globalThis.added = [];
            for (const target of [document, window]) {
                const add = target.addEventListener;
                target.addEventListener = function (name, ...rest) {
                    added.push(name); return add.call(this, name, ...rest);
                };
            }
        }"""
    )
    requests = list[str]()
    python.page.on("request", lambda request: requests.append(request.url))
    run_id = python.start(time=False)
    python.page.evaluate("new Promise(done => setTimeout(done, 1200))")
    receipt = python.run("(await activity.end()).model_dump()")
    assert receipt["activeMs"] == 0
    assert requests == []
    assert python.page.evaluate("added") == []
    assert site.times(run_id) == []


def test_time_tracking_adds_the_listeners_that_time_false_lacks(python: PythonPage) -> None:
    """The watch on listeners above is no blind one: with time on it sees them come, and `end()` takes each away."""
    python.page.evaluate(
        """() => {
            globalThis.balance = {};
            for (const target of [document, window]) {
                const { addEventListener: add, removeEventListener: remove } = target;
                target.addEventListener = function (name, ...rest) {
                    balance[name] = (balance[name] ?? 0) + 1; return add.call(this, name, ...rest);
                };
                target.removeEventListener = function (name, ...rest) {
                    balance[name] -= 1; return remove.call(this, name, ...rest);
                };
            }
        }"""
    )
    python.start(time={"idleTimeoutMs": 60_000})
    during = python.page.evaluate("balance")
    assert during["visibilitychange"] == 1
    assert during["pagehide"] == 1
    assert during["keydown"] == 1
    python.run("await timeback.aclose()")
    assert set(python.page.evaluate("balance").values()) == {0}


def test_one_activity_at_a_time(python: PythonPage) -> None:
    """A second `start()` raises an error that names what runs; the first one goes on."""
    python.start()
    error = python.run(
        """
        try:
            timeback.activity.start(id="lesson-2", name="Other", course={"code": "MATH-3"})
        except Exception as error:
            found = [type(error).__name__, str(error)]
        found
        """
    )
    assert error[0] == "ActivityInProgressError"
    assert "'lesson-1'" in error[1]
    assert python.run("timeback.activity.current is activity")


def test_pause_and_resume(python: PythonPage, site: Site) -> None:
    """`pause()` and `resume()` split the time, and tell the page's callbacks."""
    run_id = python.start(time={"heartbeatMs": 60_000})
    python.run(
        """
        import asyncio
        activity.pause()
        paused = activity.is_paused
        await asyncio.sleep(0.4)
        activity.resume()
        await activity.end()
        """
    )
    assert python.run("paused")
    assert 0.39 < site.inactive_s(run_id) < 0.6


@pytest.fixture
def context(playwright: Playwright, console: Console) -> Iterator[BrowserContext]:
    """A browser that Playwright launches: leaving a page needs no tab that is really hidden."""
    with playwright.chromium.launch(executable_path=find_chromium(), args=list(CHROMIUM_FLAGS)) as browser:
        context = browser.new_context()
        console.watch(context)
        yield context


@pytest.mark.parametrize("way", ["close", "navigate", "reload", "back"])
def test_leaving_delivers_the_last_window(way: str, context: BrowserContext, site: Site) -> None:
    """However the page is left, the window in progress arrives: each way, six times, each to the millisecond."""
    for _ in range(6):
        python = PythonPage(context.new_page(), site)
        if way == "back":
            python.page.goto(f"{site.url}/events.json")
        python.open()
        run_id = python.start(time={"heartbeatMs": 60_000})
        python.page.evaluate("new Promise(done => setTimeout(done, 120))")
        tracked_ms = python.run("activity.total_active_ms")
        if way == "close":
            python.page.close()
        elif way == "navigate":
            python.page.goto(f"{site.url}/events.json")
        elif way == "reload":
            python.page.reload()
        else:
            python.page.go_back()
        site.wait_for_times(run_id, 1)
        assert tracked_ms - 1 <= site.active_s(run_id) * 1000 < tracked_ms + 500
        if way != "close":
            python.page.close()
