"""Each life event of the harness does what it says, told by plain JavaScript on the page and by the server."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tb_browser.testing import TimebackServer
from tb_browser.testing.browser import RealBrowser, RealTab
from tb_browser.testing.clock import PageClock
from tb_browser.testing.console import Console

OpenBrowser = Callable[..., RealBrowser]

PAGE = """<!doctype html><title>Plain</title><link rel="icon" href="data:,"><script>
const seen = [], ticks = [];
for (const name of ["visibilitychange", "freeze", "resume"])
    document.addEventListener(name, () => seen.push(`${name} ${document.visibilityState}`));
for (const name of ["pagehide", "pageshow", "online", "offline"])
    addEventListener(name, (event) => seen.push(`${name} ${event.persisted ?? navigator.onLine}`));
setInterval(() => ticks.push(performance.now()), 50);
</script>"""

FETCH = "fetch('/elsewhere').then(answer => answer.status, error => error.name)"
DEFERRED = "fetchLater('/api/timeback/user/verify?later', {activateAfter: 60_000}).activated"


@pytest.fixture
def tab(real_browser: RealBrowser, timeback_server: TimebackServer) -> RealTab:
    """A page without Python that notes what happens to it."""
    timeback_server.page("/elsewhere", "<!doctype html><title>Elsewhere</title>")
    tab = real_browser.open(timeback_server.page("/plain", PAGE))
    tab.page.evaluate("seen.length = 0")
    return tab


def seen(tab: RealTab) -> Any:
    return tab.page.evaluate("seen")


def ticks_within(tab: RealTab, ms: int) -> int:
    """How often the page's own timer of 50 ms fires while so much real time passes."""
    before = tab.page.evaluate("ticks.length")
    tab.page.wait_for_timeout(ms)
    return int(tab.page.evaluate("ticks.length") - before)


def test_hide_and_show(tab: RealTab) -> None:
    """The page is told once each, and while it is hidden its timers are throttled."""
    tab.hide()
    assert seen(tab) == ["visibilitychange hidden"]
    tab.page.wait_for_timeout(1_000)
    assert ticks_within(tab, 2_000) <= 4
    tab.show()
    assert seen(tab) == ["visibilitychange hidden", "visibilitychange visible"]
    assert ticks_within(tab, 1_000) > 10


def test_freeze_and_thaw(tab: RealTab) -> None:
    """While it is frozen not one timer fires; it is told of both."""
    tab.freeze()
    assert seen(tab) == ["visibilitychange hidden", "freeze hidden"]
    assert ticks_within(tab, 1_500) == 0
    tab.thaw()
    tab.show()
    assert seen(tab)[2:] == ["resume hidden", "visibilitychange visible"]
    assert ticks_within(tab, 1_000) > 10


@pytest.mark.parametrize("where", ["about:blank", "/elsewhere"])
def test_go_away_and_come_back(tab: RealTab, timeback_server: TimebackServer, where: str) -> None:
    """The page lived on in the back/forward cache: its variables are there, and it was told."""
    tab.go_away(where if ":" in where else timeback_server.url + where)
    assert tab.page.title() != "Plain"
    tab.come_back()
    assert tab.page.title() == "Plain"
    assert seen(tab)[0] == "pagehide true"
    assert seen(tab)[-1] == "pageshow true"


def test_a_page_that_was_not_kept_alive_is_told_of(
    tab: RealTab, timeback_server: TimebackServer, page_console: Console
) -> None:
    """A page that cannot be kept, as one with an unload handler, makes come_back() fail loudly."""
    page_console.expect("WebSocket connection")
    tab.page.evaluate("() => { navigator.locks.request('held', () => new Promise(() => {})); }")
    tab.page.evaluate("() => { globalThis.socket = new WebSocket(location.origin.replace('http', 'ws')); }")
    tab.page.evaluate("addEventListener('unload', () => {})")
    tab.go_away(f"{timeback_server.url}/elsewhere")
    with pytest.raises(RuntimeError, match="loaded anew"):
        tab.come_back()


def test_cut_the_network(tab: RealTab, timeback_server: TimebackServer, page_console: Console) -> None:
    """Requests fail before they reach the server, the page is told, and afterwards they arrive again."""
    page_console.expect("ERR_INTERNET_DISCONNECTED")
    tab.go_offline()
    assert tab.page.evaluate(FETCH) == "TypeError"
    assert tab.page.evaluate("fetch('/api/timeback/user/verify').catch(error => error.name)") == "TypeError"
    assert timeback_server.requests == []
    tab.go_online()
    assert tab.page.evaluate(FETCH) == 200
    assert seen(tab) == ["offline false", "online true"]


def test_crash(tab: RealTab, timeback_server: TimebackServer) -> None:
    """The renderer is gone without an event; the browser lives on, and sends what was left with it."""
    tab.page.evaluate(f"() => {{ {DEFERRED} }}")
    tab.page.evaluate(
        "addEventListener('pagehide', () => fetch('/api/timeback/user/me?left', {keepalive: true}), true)"
    )
    tab.crash()
    timeback_server.wait_until(lambda: bool(timeback_server.requests), "the deferred request came")
    assert [exchange.path for exchange in timeback_server.requests] == ["/api/timeback/user/verify?later"]
    again = tab.browser.open(f"{timeback_server.url}/elsewhere")
    assert again.page.title() == "Elsewhere"


def test_close(tab: RealTab, timeback_server: TimebackServer) -> None:
    """A tab that is closed is told, and what it sends on its way out arrives."""
    tab.page.evaluate(
        "addEventListener('pagehide', () => fetch('/api/timeback/user/me?left', {keepalive: true}), true)"
    )
    tab.close()
    timeback_server.wait_for_requests(1, "/user/me")


def test_kill(open_real_browser: OpenBrowser, timeback_server: TimebackServer, tmp_path: Path) -> None:
    """No page hears of it and nothing is sent; the profile is there for the next browser."""
    url = timeback_server.page("/plain", PAGE)
    browser = open_real_browser(user_data_dir=tmp_path)
    tab = browser.open(url)
    store = """async (value) => {
        const request = indexedDB.open("plain");
        request.onupgradeneeded = () => request.result.createObjectStore("all");
        await new Promise((done) => { request.onsuccess = done; });
        const act = request.result.transaction("all", "readwrite", {durability: "strict"});
        const got = act.objectStore("all").get("x");
        if (value) act.objectStore("all").put(value, "x");
        await new Promise((done) => { act.oncomplete = done; });
        return got.result;
    }"""
    tab.page.evaluate(store, "kept")
    tab.page.evaluate(f"() => {{ {DEFERRED} }}")
    tab.page.evaluate("addEventListener('pagehide', () => fetch('/api/timeback/user/me', {keepalive: true}), true)")
    browser.kill()
    assert not browser.process.running
    again = open_real_browser(user_data_dir=tmp_path).open(url)
    assert again.page.evaluate(store, None) == "kept"
    assert timeback_server.requests == []


def clocked(real_browser: RealBrowser, server: TimebackServer) -> tuple[RealTab, PageClock]:
    tab = RealTab(real_browser, real_browser.context.new_page())
    clock = PageClock(tab.page)
    tab.page.goto(server.page("/plain", PAGE))
    return tab, clock


READ = "[Date.now(), performance.now(), ticks.length]"


def test_an_hour_passes_in_seconds(real_browser: RealBrowser, timeback_server: TimebackServer) -> None:
    """Both clocks move by exactly an hour, every timer fires as often as it would have, and then all stands still."""
    tab, clock = clocked(real_browser, timeback_server)
    clock.pause()
    wall_ms, mono_ms, ticks = tab.page.evaluate(READ)
    began_s = time.monotonic()
    clock.advance(3_600_000)
    took_s = time.monotonic() - began_s
    assert tab.page.evaluate(READ) == [wall_ms + 3_600_000, pytest.approx(mono_ms + 3_600_000), ticks + 72_000]
    tab.page.wait_for_timeout(200)
    assert tab.page.evaluate(READ)[0] == wall_ms + 3_600_000
    clock.resume()
    assert ticks_within(tab, 500) > 5
    assert took_s < 60


def test_a_sleep_and_a_wall_clock_that_is_set(real_browser: RealBrowser, timeback_server: TimebackServer) -> None:
    """After a sleep timers fire once and not as often as they missed; a set clock leaves the monotonic one alone."""
    tab, clock = clocked(real_browser, timeback_server)
    clock.pause()
    wall_ms, mono_ms, ticks = tab.page.evaluate(READ)
    clock.sleep(3_600_000)
    assert tab.page.evaluate(READ) == [wall_ms + 3_600_000, pytest.approx(mono_ms + 3_600_000), ticks + 1]
    clock.set_wall(-7_200_000)
    clock.advance(1_000)
    assert tab.page.evaluate(READ)[:2] == [wall_ms - 3_599_000, pytest.approx(mono_ms + 3_601_000)]
