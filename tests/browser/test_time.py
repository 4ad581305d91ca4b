"""Time as real Chromium tells it: the page's first moments, freezes, the bfcache, busy Python, idle learners."""

import base64
import io
import json
import time
import wave
from typing import Any

import pytest
from playwright.sync_api import Page, Route

from tb_browser.testing.browser import RealBrowser, RealTab
from tests.browser.site import PythonPage, Site

ONE_WINDOW = {"heartbeatMs": 60_000}
NEAR_MS = 60
"""A loaded machine lets this much pass between a moment and our note of it."""

WATCH = """
globalThis.seen = [[0, document.visibilityState]];
document.addEventListener(
    "visibilitychange", (event) => seen.push([event.timeStamp, document.visibilityState]), true);
// On leaving, this comes first, and the page is still visible.
window.addEventListener("pagehide", (event) => { globalThis.leftMs = event.timeStamp; }, true);
"""

START = """
import json, js
from tb_browser import create_client
told = []
timeback = create_client()
started_ms = js.performance.now()
activity = timeback.activity.start(
    id="lesson-1", name="Fractions", course={{"subject": "Math", "grade": 3}},
    on_pause=lambda: told.append("pause"), on_resume=lambda: told.append("resume"),
    **json.loads({options!r})
)
[activity.run_id, started_ms]
"""

BLOCK_5_S = """
import js
began_ms = js.performance.now()
while js.performance.now() < began_ms + 5_000:
    pass
[began_ms, js.performance.now()]
"""


def opened(tab_page: Page, site: Site) -> PythonPage:
    """A page with Python that notes every change of its visibility from its first script on."""
    tab_page.add_init_script(WATCH)
    return PythonPage(tab_page, site).open()


def start(python: PythonPage, **options: object) -> tuple[str, float]:
    """Start an activity; its run_id, and when it was asked to start, on the page's clock."""
    run_id, started_ms = python.run(START.format(options=json.dumps(options)))
    return run_id, started_ms


def wait(python: PythonPage, ms: int) -> None:
    """Let real time pass in the page, whatever its visibility."""
    python.page.evaluate("ms => new Promise(done => setTimeout(done, ms))", ms)


def end(python: PythonPage) -> float:
    """End the activity, and return when, on the page's clock."""
    return float(python.run("import js\nended_ms = js.performance.now()\nawait activity.end()\nended_ms"))


def active_ms(site: Site, run_id: str) -> float:
    return site.active_s(run_id) * 1000


def inactive_ms(site: Site, run_id: str) -> float:
    return site.inactive_s(run_id) * 1000


def near(ms: float) -> Any:
    return pytest.approx(ms, abs=NEAR_MS)


def test_the_first_window_opens_when_the_page_could_be_read(real_browser: RealBrowser, site: Site) -> None:
    """With since="navigation" the seconds before Python had booted are active, from the first moment on."""
    python = PythonPage(real_browser.context.new_page(), site).open()
    run_id, started_ms = start(python, since="navigation", time=ONE_WINDOW)
    ended_ms = end(python)
    assert started_ms > 500
    assert active_ms(site, run_id) == near(ended_ms)


def test_a_reload_counts_no_moment_twice(real_browser: RealBrowser, site: Site) -> None:
    """With since="navigation" a reloaded page's window opens when the page before it had gone."""
    python = opened(real_browser.context.new_page(), site)
    run_id, started_ms = start(python, time=ONE_WINDOW)
    started_at_ms = python.page.evaluate("performance.timeOrigin") + started_ms
    wait(python, 300)
    python.page.reload(wait_until="commit")
    python.wait_ready()
    start(python, since="navigation", time=ONE_WINDOW, runId=run_id)
    ended_ms = end(python)
    unloaded_ms = python.page.evaluate("performance.getEntriesByType('navigation')[0].unloadEventEnd")
    ended_at_ms = python.page.evaluate("performance.timeOrigin") + ended_ms
    before, after = sorted(1000 * (event.active_seconds or 0) for event in site.wait_for_times(run_id, 2))
    assert before > 290
    assert after == near(ended_ms - unloaded_ms)
    assert before + after < ended_at_ms - started_at_ms + 2


def test_a_page_opened_behind_others_counts_from_its_first_showing(real_browser: RealBrowser, site: Site) -> None:
    """Opened in a hidden tab and shown before Python had booted: active from then on, inactive before."""
    tab = RealTab(real_browser, real_browser.context.new_page())
    tab.page.add_init_script(WATCH)
    python_asked_for = list[Route]()

    def hold(route: Route) -> None:
        python_asked_for.append(route)

    tab.page.route("**/pyodide.asm.wasm", hold)
    tab.hide()
    tab.page.goto(f"{site.url}/python", wait_until="commit")
    tab.page.wait_for_timeout(400)
    tab.show()
    real_browser.until(lambda: bool(python_asked_for), "the page asks for Python")
    python_asked_for[0].continue_()
    python = PythonPage(tab.page, site)
    python.wait_ready()
    run_id = python.start(since="navigation", time=ONE_WINDOW)
    ended_ms = end(python)
    (_, first), (shown_ms, then) = python.page.evaluate("seen")
    assert (first, then) == ("hidden", "visible")
    assert inactive_ms(site, run_id) == near(shown_ms)
    assert active_ms(site, run_id) == near(ended_ms - shown_ms)


def test_a_frozen_page_starts_clean(real_browser: RealBrowser, site: Site) -> None:
    """Frozen and thawed: Python lives on, and no moment from the freeze to the showing is counted."""
    tab = RealTab(real_browser, real_browser.context.new_page())
    python = opened(tab.page, site)
    run_id, started_ms = start(python, time=ONE_WINDOW)
    wait(python, 300)
    tab.freeze()
    time.sleep(1)
    tab.thaw()
    tab.show()
    wait(python, 300)
    ended_ms = end(python)
    hidden_ms, shown_ms = (at_ms for at_ms, _ in python.page.evaluate("seen.slice(1)"))
    assert shown_ms - hidden_ms > 1_000
    assert active_ms(site, run_id) == near(ended_ms - shown_ms + hidden_ms - started_ms)
    assert inactive_ms(site, run_id) < shown_ms - hidden_ms - 900


def test_a_page_from_the_bfcache_starts_clean(real_browser: RealBrowser, site: Site) -> None:
    """Navigated away and back: Python and its activity live on, and nothing is counted in between."""
    python = opened(real_browser.context.new_page(), site)
    run_id, started_ms = start(python, time=ONE_WINDOW)
    wait(python, 300)
    python.page.goto(f"{site.url}/events.json")
    site.wait_for_times(run_id, 1)
    python.page.wait_for_timeout(1_000)
    python.page.go_back(wait_until="commit")
    python.wait_ready()
    assert python.run("activity.run_id") == run_id
    assert not python.run("activity.is_paused")
    wait(python, 300)
    ended_ms = end(python)
    left_ms, back_ms = python.page.evaluate("[leftMs, seen.at(-1)[0]]")
    assert back_ms - left_ms > 1_000
    assert active_ms(site, run_id) == near(ended_ms - back_ms + left_ms - started_ms)
    assert inactive_ms(site, run_id) < NEAR_MS


def test_busy_python_is_active(real_browser: RealBrowser, site: Site) -> None:
    """5 s in which Python blocks the page are active, and are known to be work and no sleep; waiting is not work."""
    python = opened(real_browser.context.new_page(), site)
    run_id, started_ms = start(python, time={"heartbeatMs": 1_000})
    wait(python, 500)
    began_ms, done_ms = python.run(BLOCK_5_S)
    wait(python, 500)
    assert python.run(f"activity._host.was_busy({began_ms}, {done_ms})")
    assert not python.run(f"activity._host.was_busy({started_ms}, {began_ms})")
    ended_ms = end(python)
    assert active_ms(site, run_id) == near(ended_ms - started_ms)
    assert inactive_ms(site, run_id) == 0


def test_python_is_known_to_have_been_busy_one_turn_later(real_browser: RealBrowser, site: Site) -> None:
    """A computation that ends the activity in the same breath is known to be work as soon as its task is over."""
    python = opened(real_browser.context.new_page(), site)
    python.start(time=ONE_WINDOW)
    after = (
        "\nended_ms = js.performance.now()\nawait activity._host.turn()\nactivity._host.was_busy(began_ms, ended_ms)"
    )
    assert python.run(BLOCK_5_S + after)


def test_sleep_of_the_machine_is_charged_to_nobody(real_browser: RealBrowser, site: Site) -> None:
    """A visible page whose timers all come an hour late slept: the hour is neither active nor inactive."""
    page = real_browser.context.new_page()
    page.clock.install()
    python = PythonPage(page, site).open()
    run_id = python.start(time=ONE_WINDOW)
    page.clock.run_for(5_000)
    page.clock.fast_forward(3_600_000)
    for _ in range(5):
        page.clock.run_for(1_000)
    python.run("await activity.end()")
    assert 9_000 < active_ms(site, run_id) < 20_000
    assert inactive_ms(site, run_id) == 0


def test_hidden_for_too_long_pauses(real_browser: RealBrowser, site: Site) -> None:
    """Beyond the hidden timeout nothing is counted; `on_pause` tells of it, and `on_resume` of the return."""
    tab = RealTab(real_browser, real_browser.context.new_page())
    python = opened(tab.page, site)
    run_id, started_ms = start(python, time={**ONE_WINDOW, "hiddenTimeoutMs": 1_000})
    wait(python, 300)
    tab.hide()
    assert python.run("told") == []
    wait(python, 3_000)
    assert python.run("told") == ["pause"]
    assert python.run("activity.is_paused")
    tab.show()
    wait(python, 300)
    assert python.run("told") == ["pause", "resume"]
    ended_ms = end(python)
    hidden_ms, shown_ms = (at_ms for at_ms, _ in python.page.evaluate("seen.slice(1)"))
    assert active_ms(site, run_id) == near(ended_ms - shown_ms + hidden_ms - started_ms)
    assert inactive_ms(site, run_id) == near(1_000)


def silence(seconds: int) -> str:
    """A WAV of silence as a data: URL."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(8_000)
        sound.writeframes(b"\x80" * 8_000 * seconds)
    return "data:audio/wav;base64," + base64.b64encode(file.getvalue()).decode()


def test_an_idle_learner_is_inactive_since_the_last_input(real_browser: RealBrowser, site: Site) -> None:
    """Idle time is back-dated to the last real input, and ends with the next one."""
    python = opened(real_browser.context.new_page(), site)
    python.page.evaluate(
        """() => {
            globalThis.inputs = [];
            for (const name of ["keydown", "pointermove"])
                addEventListener(name, (event) => inputs.push([event.timeStamp, name]), true);
        }"""
    )
    run_id, started_ms = start(python, time={**ONE_WINDOW, "idleTimeoutMs": 1_000})
    wait(python, 600)
    python.page.keyboard.press("ArrowDown")
    wait(python, 2_500)
    python.page.mouse.move(100, 100)
    wait(python, 400)
    ended_ms = end(python)
    (pressed_ms, _), (moved_ms, name), *_ = python.page.evaluate("inputs")
    assert name == "pointermove"
    assert active_ms(site, run_id) == near(ended_ms - moved_ms + pressed_ms - started_ms)
    assert inactive_ms(site, run_id) == near(moved_ms - pressed_ms)


def test_who_listens_is_active(real_browser: RealBrowser, site: Site) -> None:
    """Sound that plays keeps a listener active without any input; a muted loop is decoration and does not."""
    python = opened(real_browser.context.new_page(), site)
    python.page.mouse.click(50, 50)
    python.page.evaluate(
        "url => { globalThis.sound = new Audio(url); document.body.append(sound); return sound.play(); }", silence(20)
    )
    timing = {**ONE_WINDOW, "idleTimeoutMs": 3_000}
    run_id, started_ms = start(python, time=timing)
    wait(python, 4_500)
    assert not python.page.evaluate("sound.paused")
    ended_ms = end(python)
    assert active_ms(site, run_id) == near(ended_ms - started_ms)

    python.page.evaluate("sound.muted = sound.loop = true")
    python.run("await timeback.aclose()")
    run_id, started_ms = start(python, time=timing)
    wait(python, 4_500)
    assert not python.page.evaluate("sound.paused")
    ended_ms = end(python)
    assert active_ms(site, run_id) < NEAR_MS
    assert inactive_ms(site, run_id) == near(ended_ms - started_ms)
