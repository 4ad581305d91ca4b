"""What the platform received, against the true length of the session, whatever goes wrong on the way."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
from playwright.sync_api import Playwright

from tb_browser.testing import (
    CUT_OFF,
    GARBAGE,
    HANG,
    HTML,
    NO_HTTP,
    RESET_AFTER,
    RESET_BEFORE,
    Fault,
    slow,
    status,
    too_many,
)
from tb_browser.testing.browser import RealBrowser
from tb_browser.testing.console import Console
from tests.browser.site import Site
from tests.browser.truth import (
    FAST,
    ONE_WINDOW,
    Lesson,
    Span,
    flaws,
    kill_renderer,
    watched,
)

type OpenBrowser = Callable[..., RealBrowser]

CHECKPOINT_MS = 1_000
"""How old a checkpoint may be."""
KILL_MS = 2_000
"""What a killed browser may lose: a checkpoint's age, and what had not yet reached the disk."""
LATE_MS = 150
"""How late timers may be on a machine that does other things too, and how long a crash may take to happen."""

FOR_A_WHILE = [
    slow(),
    HANG,
    RESET_BEFORE,
    RESET_AFTER,
    HTML,
    GARBAGE,
    NO_HTTP,
    CUT_OFF,
    status(404),
    too_many(),
    status(500, "INTERNAL_ERROR"),
    status(503, "UNAVAILABLE"),
]


@pytest.fixture(scope="module")
def booted(playwright: Playwright, whole_site: Site) -> Iterator[tuple[Lesson, Console]]:
    """One page with Python for all faults that leave the page alone."""
    with RealBrowser(playwright) as browser:
        console = Console()
        context = watched(browser.context, console)
        yield Lesson(context.new_page(), whole_site).open(), console


@pytest.fixture
def lesson(booted: tuple[Lesson, Console], site: Site) -> Iterator[Lesson]:
    """The shared page; each test starts its own run in it, and leaves nothing waiting."""
    lesson, console = booted
    assert lesson.site is site
    lesson.forget_errors()
    yield lesson
    assert console.unexpected() == []


@pytest.fixture
def browser(troubled_browser: RealBrowser) -> RealBrowser:
    """A browser of this test's own."""
    return troubled_browser


def through(lesson: Lesson, outage: AbstractContextManager[object], *, lasting_ms: float = 900) -> Span:
    """Live through a session with a fault in its middle, to the end."""
    lesson.begin()
    lesson.wait(300)
    with outage:
        lesson.wait(lasting_ms)
    lesson.wait(200)
    return lesson.end()


class TestServer:
    """The page lives on while the server fails."""

    @pytest.mark.parametrize("fault", FOR_A_WHILE, ids=lambda fault: fault.name.replace(" ", "-"))
    def test_a_fault_for_a_while_loses_and_doubles_nothing(self, fault: Fault, lesson: Lesson) -> None:
        """All time arrives, once; no window is ever in flight twice; `on_error` hears of it at most once a kind."""
        truth = through(lesson, lesson.site.server.faulty(fault))
        stats = lesson.settle()
        assert flaws(lesson.account(), truth) == []
        assert lesson.account().gap_ms == 0
        assert lesson.site.server.in_flight_twice() == []
        assert stats["lost"] == {}
        assert len(lesson.errors()) <= 1

    def test_the_official_servers_own_refusals(self, lesson: Lesson) -> None:
        """Its 401 holds the windows until somebody is signed in; its 404 and 502 for a platform that is down pass."""
        site = lesson.site
        lesson.begin()
        site.platform.directory_down = True
        lesson.wait(700)
        site.platform.directory_down = False
        lesson.settle()
        site.platform.fail_events(500, times=2)
        lesson.wait(1_000)
        site.email = None
        lesson.wait(1_000)
        refused = [each.answer for each in site.heartbeats(lesson.run_id)]
        site.email = "student@example.com"
        truth = lesson.end()
        assert flaws(lesson.account(), truth) == []
        assert lesson.settle()["lost"] == {}
        assert {404, 502} <= set(refused)
        assert refused.count(401) == 1
        told = [text.partition(":")[0] for text in lesson.errors()]
        assert told == ["UserUnresolvedError", "UnavailableError", "NotSignedInError"]

    def test_the_official_server_hanging_on_the_platform(self, lesson: Lesson) -> None:
        """While the platform behind the server hangs, nothing piles up; when it answers, all has arrived once."""
        platform = lesson.site.platform
        lesson.begin()
        lesson.wait(300)
        platform.hang()
        lesson.wait(1_000)
        assert len([each for each in lesson.site.heartbeats(lesson.run_id) if each.ended_s is None]) == 1
        platform.answer()
        truth = lesson.end()
        assert flaws(lesson.account(), truth) == []
        assert lesson.settle()["lost"] == {}
        assert lesson.errors() == []

    def test_a_server_that_is_down_and_comes_back(self, lesson: Lesson) -> None:
        """Connections are refused: what closes meanwhile is joined, and all of it arrives when the server is back."""
        truth = through(lesson, lesson.site.server.down(), lasting_ms=2_500)
        stats = lesson.settle()
        assert flaws(lesson.account(), truth) == []
        assert stats["lost"] == {}
        assert stats["joined"] >= 1
        assert [text.partition(":")[0] for text in lesson.errors()] == ["UnreachableError"]

    def test_a_server_that_is_started_anew(self, lesson: Lesson) -> None:
        """A server that has forgotten what it took is given nothing twice."""
        truth = through(lesson, lesson.site.stopped_server())
        assert lesson.settle()["lost"] == {}
        assert flaws(lesson.account(), truth) == []

    def test_retry_after_is_obeyed(self, lesson: Lesson) -> None:
        """A 429 that asks for a second gets it."""
        lesson.begin()
        lesson.wait(300)
        with lesson.site.server.faulty(too_many()):
            lesson.wait(900)
        lesson.wait(1_500)  # an end() would not wait for what the server has asked for
        lesson.end()
        beats = lesson.site.heartbeats(lesson.run_id)
        refused = next(i for i, each in enumerate(beats) if each.answer == 429)
        assert beats[refused].ended_s is not None
        ended_s = beats[refused].ended_s
        assert ended_s is not None
        assert beats[refused + 1].began_s - ended_s >= 0.99
        lesson.settle()
        lesson.errors()

    def test_offline_and_back(self, lesson: Lesson) -> None:
        """Without a network nothing is asked; on `online` what waited leaves at once, once."""
        context = lesson.page.context
        lesson.begin()
        lesson.wait(300)
        context.set_offline(True)
        asked = len(lesson.site.server.requests)
        lesson.wait(1_500)
        assert len(lesson.site.server.requests) == asked
        context.set_offline(False)
        lesson.wait(200)
        truth = lesson.end()
        assert lesson.settle()["lost"] == {}
        assert flaws(lesson.account(), truth) == []

    def test_what_may_have_arrived_is_not_sent_again_after_four_minutes(self, lesson: Lesson) -> None:
        """Of an outage that outlasts the server's memory only the window in flight is given up, counted and told."""
        lesson.begin()
        lesson.wait(700)
        with lesson.site.server.faulty(RESET_BEFORE):
            lesson.wait(1_200)
            truth = lesson.end()
            lesson.page.evaluate(MOVE_CLOCK, 300_000)
        lesson.run("await timeback.flush()")
        stats = lesson.settle()
        lesson.page.evaluate(MOVE_CLOCK, 0)
        assert stats["lost"] == {"ambiguous": 1}
        assert flaws(lesson.account(), truth, may_lose_ms=FAST["heartbeatMs"] + 50) == []
        assert lesson.account().gap_ms > 0
        assert any("LostError" in text for text in lesson.errors())


MOVE_CLOCK = """ms => {
    globalThis.realNow ??= Date.now.bind(Date);
    Date.now = () => realNow() + ms;
}"""


class TestClock:
    @pytest.mark.parametrize("hours", [-1, 1])
    def test_a_clock_that_is_wrong_all_the_time_changes_no_duration(self, hours: int, lesson: Lesson) -> None:
        """Wrong by an hour, either way: every millisecond arrives, an hour off."""
        lesson.page.evaluate(MOVE_CLOCK, hours * 3_600_000)
        lesson.begin()
        lesson.wait(1_200)
        truth = lesson.end()
        stats = lesson.settle()
        lesson.page.evaluate(MOVE_CLOCK, 0)
        assert stats["lost"] == {}
        assert flaws(lesson.account(), truth) == []
        assert lesson.account().gap_ms == 0
        off_h = (lesson.site.times(lesson.run_id)[-1].event_time.timestamp() - time.time()) / 3600
        assert off_h == pytest.approx(hours, abs=0.01)

    def test_a_clock_that_is_set_while_learning(self, lesson: Lesson) -> None:
        """Set back it changes nothing; set forwards it looks like sleep, which costs at most a second (rule 8)."""
        lesson.begin()
        lesson.wait(700)
        lesson.page.evaluate(MOVE_CLOCK, -3_600_000)
        lesson.wait(700)
        lesson.page.evaluate(MOVE_CLOCK, 0)
        lesson.wait(700)
        truth = lesson.end()
        assert lesson.settle()["lost"] == {}
        assert flaws(lesson.account(), truth, may_lose_ms=CHECKPOINT_MS) == []


class TestLeaving:
    """Nothing is lost and nothing is double, and it arrives before anybody comes back."""

    def test_away_and_back_in_the_history(self, browser: RealBrowser, site: Site) -> None:
        """Back, forward, by a link and back again: the page lives on in the cache, and only time in sight counts."""
        page = browser.context.new_page()
        page.goto(f"{site.url}/elsewhere")
        lesson = Lesson(page, site).open()
        lesson.begin(ONE_WINDOW)
        away_and_home = (
            (lambda: page.go_back(wait_until="commit"), lambda: page.go_forward(wait_until="commit")),
            (lambda: page.goto(f"{site.url}/elsewhere"), lambda: page.go_back(wait_until="commit")),
        )
        for away, home in away_and_home:
            lesson.wait(700)
            away()
            truth = lesson.length_told()
            assert flaws(lesson.until_whole(truth), truth) == []
            lesson.wait(500)
            site.truth.clear()
            home()
            assert page.evaluate("globalThis.truth?.open > 0"), "the page came out of the back/forward cache"
        lesson.wait(300)
        truth = lesson.end()
        lesson.settle()
        assert flaws(lesson.account(), truth) == []
        assert lesson.errors() == []

    def test_reload_then_close(self, browser: RealBrowser, site: Site) -> None:
        """The last window leaves as the page is reloaded or closed; the next visit adds and doubles nothing."""
        lesson = Lesson(browser.context.new_page(), site).open()
        lesson.begin()
        lesson.wait(1_300)
        lesson.page.reload(wait_until="commit")
        reloaded_truth = lesson.length_told()
        assert flaws(lesson.until_whole(reloaded_truth), reloaded_truth) == []
        after = Lesson(lesson.page, site)
        after.wait_ready()
        after.begin()
        after.wait(1_300)
        after.page.close()
        closed_truth = after.length_told()
        assert flaws(after.until_whole(closed_truth), closed_truth) == []
        later = Lesson(browser.context.new_page(), site).open()
        later.begin()
        later.wait(1_800)
        assert later.settle()["lost"] == {}
        later_truth = later.end()
        for each, truth in ((lesson, reloaded_truth), (after, closed_truth), (later, later_truth)):
            assert flaws(each.account(), truth) == []
            assert each.account().gap_ms == 0

    def test_closed_while_the_server_is_down(self, browser: RealBrowser, site: Site) -> None:
        """A page that is closed in an outage keeps its windows for the next visit, which delivers all of them."""
        later = Lesson(browser.context.new_page(), site).open()
        lesson = Lesson(browser.context.new_page(), site).open()
        lesson.begin()
        lesson.wait_known()
        with site.server.faulty(status(503, "UNAVAILABLE")):
            lesson.wait(900)
            lesson.page.close()
            truth = lesson.length_told()
        assert lesson.account().lost_ms(truth) > 0
        later.begin()
        assert flaws(lesson.until_whole(truth), truth) == []
        assert lesson.account().gap_ms == 0
        later.end()
        assert later.stats()["recovered"] >= 1


class TestDying:
    """What is lost when nobody gets the chance to say goodbye."""

    def test_a_crashed_tab_reports_before_the_next_visit(self, browser: RealBrowser, site: Site) -> None:
        """The browser sends a crashed tab's guard: at most a second is lost, and the next visit doubles nothing."""
        tab = browser.open("about:blank")
        lesson = Lesson(tab.page, site).open()
        lesson.begin(ONE_WINDOW)
        lesson.wait(1_800)
        earliest_s = time.time()
        tab.crash()
        truth = lesson.length_at(earliest_s, time.time())
        may_lose_ms = CHECKPOINT_MS + LATE_MS
        assert flaws(lesson.until_whole(truth, may_lose_ms=may_lose_ms), truth, may_lose_ms=may_lose_ms) == []
        later = Lesson(browser.context.new_page(), site).open()
        later.begin()
        browser.until(lambda: bool(later.stats()["recovered"]), "the next visit has taken over")
        stats = later.settle()
        later.end()
        assert (stats["recovered"], stats["duplicates"], stats["lost"]) == (1, 1, {})
        assert flaws(lesson.account(), truth, may_lose_ms=may_lose_ms) == []

    @pytest.mark.parametrize("end", ["close", "crash"])
    def test_an_end_during_a_long_computation(self, end: str, browser: RealBrowser, site: Site) -> None:
        """Python blocks the page, so that no handler runs: the guard reports what there was before it began."""
        lesson = Lesson(browser.context.new_page(), site).open()
        lesson.begin(ONE_WINDOW)
        lesson.wait(1_600)
        busy_since_s = time.time()
        lesson.page.evaluate("setTimeout(() => pyodide.runPython('import time\\nwhile True: time.sleep(1)'))")
        time.sleep(0.7)
        earliest_s = time.time()
        if end == "close":
            lesson.page.close()
        else:
            kill_renderer(browser)
        truth = lesson.length_at(earliest_s, time.time())
        computed_ms = (time.time() - busy_since_s) * 1000
        may_lose_ms = computed_ms + CHECKPOINT_MS + LATE_MS
        assert flaws(lesson.until_whole(truth, may_lose_ms=may_lose_ms), truth, may_lose_ms=may_lose_ms) == []

    def test_a_killed_browser_comes_back(
        self, open_browser: OpenBrowser, console: Console, site: Site, tmp_path: Path
    ) -> None:
        """After SIGKILL the next start on the profile delivers all but two seconds, and doubles nothing.

        Once in good order, with windows delivered and removed; once with windows waiting for a server that fails.
        """
        console.expect("Failed to load resource")
        killed = list[tuple[Lesson, Span]]()
        for fault in (status(503, "UNAVAILABLE"), None, None):
            browser = open_browser(user_data_dir=tmp_path)
            lesson = Lesson(browser.context.new_page(), site).open()
            lesson.begin()
            lesson.wait_known()
            with site.server.faulty(fault) if fault else nullcontext():
                lesson.wait(2_600)
                stats = lesson.stats()
                earliest_s = time.time()
                browser.kill()
                killed.append((lesson, lesson.length_at(earliest_s, time.time())))
            assert stats["lost"] == {}
            for each, truth in killed[:-1]:
                assert flaws(each.account(), truth, may_lose_ms=KILL_MS) == []
                assert each.account().gap_ms == 0


class TestStorage:
    """Storage that does not do its duty costs guarantees, and nothing else."""

    def test_full(self, browser: RealBrowser, site: Site) -> None:
        """With no room left on this origin all is delivered, also what waits for a server that is away."""
        page = browser.context.new_page()
        page.goto(f"{site.url}/elsewhere")
        # From before the first use on: IndexedDB remembers for a while how much room there was.
        quota = {"origin": site.url, "quotaSize": 1}
        page.context.new_cdp_session(page).send("Storage.overrideQuotaForOrigin", quota)
        lesson = Lesson(page, site).open()
        lesson.begin()
        lesson.wait(1_000)
        truth = lesson.end()
        assert flaws(lesson.account(), truth) == []
        truth = through(lesson, site.server.faulty(status(503, "UNAVAILABLE")))
        stats = lesson.settle()
        assert flaws(lesson.account(), truth) == []
        assert stats["lost"] == {}
        assert [text.partition(":")[0] for text in lesson.errors()] == ["UnavailableError"]

    def test_blocked(self, open_browser: OpenBrowser, console: Console, site: Site, tmp_path: Path) -> None:
        """With cookies and site data blocked all is delivered, at the end and on leaving."""
        console.expect("Failed to load resource")
        preferences = {"profile": {"default_content_setting_values": {"cookies": 2}}}
        (tmp_path / "Default").mkdir()
        (tmp_path / "Default" / "Preferences").write_text(json.dumps(preferences))
        page = open_browser(user_data_dir=tmp_path).context.new_page()
        page.goto(f"{site.url}/elsewhere")
        assert page.evaluate("() => { try { return !localStorage } catch { return true } }"), "it is blocked"
        lesson = Lesson(page, site).open()
        truth = through(lesson, site.server.faulty(status(503, "UNAVAILABLE")))
        lesson.settle()
        assert flaws(lesson.account(), truth) == []
        lesson.begin()
        lesson.wait(700)
        page.close()
        truth = lesson.length_told()
        assert flaws(lesson.until_whole(truth), truth) == []

    def test_corrupt(self, browser: RealBrowser, site: Site) -> None:
        """Garbage in storage is set aside and counted; nothing else changes."""
        page = browser.context.new_page()
        page.goto(f"{site.url}/elsewhere")
        page.evaluate(SPOIL)
        lesson = Lesson(page, site).open()
        lesson.begin()
        lesson.wait(900)
        truth = lesson.end()
        assert lesson.settle()["lost"] == {"corrupt": 4}
        assert flaws(lesson.account(), truth) == []
        assert [text.partition(":")[0] for text in lesson.errors()] == ["LostError"]
        lesson.begin()
        lesson.wait(300)
        lesson.end()
        assert lesson.stats()["lost"] == {}, "it is told once"

    def test_a_database_of_somebody_else(self, browser: RealBrowser, site: Site) -> None:
        """A database of our name that is of a later version is done without."""
        page = browser.context.new_page()
        page.goto(f"{site.url}/elsewhere")
        page.evaluate("new Promise(done => { indexedDB.open('tb_browser', 9).onsuccess = done; }).then(() => null)")
        lesson = Lesson(page, site).open()
        truth = through(lesson, site.server.faulty(status(503, "UNAVAILABLE")))
        lesson.settle()
        assert flaws(lesson.account(), truth) == []


SPOIL = """async () => {
    const request = indexedDB.open("tb_browser", 1);
    request.onupgradeneeded = () => request.result.createObjectStore("entries");
    await new Promise(done => { request.onsuccess = done; });
    const store = request.result.transaction("entries", "readwrite").objectStore("entries");
    store.put("no JSON {", "tb_browser/1/window/run/1");
    store.put('{"window": [1, -2, 3]}', "tb_browser/1/window/run/2");
    store.put({an: "object"}, "tb_browser/1/window/run/3");
    store.put("[]", "tb_browser/1/open/tab/page");
    store.put("something of a later version", "tb_browser/2/window/run/1");
    await new Promise(done => { store.transaction.oncomplete = done; });
    request.result.close();
}"""
