"""Two tabs of one student on one origin: every window arrives once, whoever sends it, and no moment counts twice."""

from playwright.sync_api import CDPSession

from tb_browser.testing import status
from tb_browser.testing.browser import RealBrowser
from tests.browser.site import Site
from tests.browser.truth import Lesson, flaws


def open_lesson(browser: RealBrowser, site: Site) -> Lesson:
    """A lesson in a tab of its own, in front of all others."""
    return Lesson(browser.context.new_page(), site).open()


def test_a_tab_that_lives_takes_over_from_one_that_is_gone(troubled_browser: RealBrowser, site: Site) -> None:
    """Both tabs gather windows in an outage, one is closed: the other delivers both runs whole, each window once."""
    staying = open_lesson(troubled_browser, site)
    going = open_lesson(troubled_browser, site)
    going.begin()
    going.wait_known()
    with site.server.faulty(status(503, "UNAVAILABLE")):
        going.wait(900)
        going.page.close()
        truth = going.length_told()
        staying.begin()
        staying.wait(900)
    staying_truth = staying.end()
    assert flaws(going.until_whole(truth), truth) == []
    stats = staying.settle()
    assert stats["recovered"] >= 1
    assert stats["lost"] == {}
    assert flaws(staying.account(), staying_truth) == []
    assert going.account().gap_ms == staying.account().gap_ms == 0
    assert site.server.in_flight_twice() == []


def test_a_tab_leaves_alone_what_another_one_keeps(troubled_browser: RealBrowser, site: Site) -> None:
    """After an outage two living tabs deliver their own windows: none is asked for twice, none is taken over."""
    first, second = (open_lesson(troubled_browser, site) for _ in range(2))
    for lesson in (first, second):
        lesson.begin()
        lesson.wait_known()
    with site.server.faulty(status(503, "UNAVAILABLE")):
        second.wait(1_500)
    truths = [first.end(), second.end()]
    for lesson in (first, second):
        stats = lesson.settle()
        assert (stats["recovered"], stats["duplicates"], stats["lost"]) == (0, 0, {})
        assert site.server.in_flight_twice() == []
    for lesson, truth in zip((first, second), truths, strict=True):
        account = lesson.account()
        assert flaws(account, truth) == []
        assert account.gap_ms == 0


def test_one_run_in_two_tabs_counts_where_it_is_seen(troubled_browser: RealBrowser, site: Site) -> None:
    """The second start() with a run that is open elsewhere says so; only the tab in sight counts active time."""
    first = open_lesson(troubled_browser, site)
    first.begin()
    first.wait_known()
    first.wait(700)
    second = open_lesson(troubled_browser, site)  # hides the first
    seen_ms = first.run("activity.total_active_ms")
    second.begin(runId=first.run_id)
    second.wait(1_200)
    in_second = second.end()
    first.end()
    told = [text.partition(":")[0] for text in second.errors()]
    assert told == ["SameRunElsewhereError"]
    assert first.errors() == []
    assert first.settle()["lost"] == second.settle()["lost"] == {}
    assert first.run("activity.total_active_ms") == seen_ms
    active_ms = first.account().active_ms
    assert seen_ms + in_second.least_ms - 3 <= active_ms <= seen_ms + in_second.most_ms + 3


def test_one_run_in_two_windows_side_by_side_counts_once(troubled_browser: RealBrowser, site: Site) -> None:
    """Both windows are in sight, for a while: active time is the time on the clock, not twice that."""
    first = open_lesson(troubled_browser, site)
    first.begin()
    first.wait_known()
    with troubled_browser.context.expect_page() as opened:
        new_window(troubled_browser, f"{site.url}/python")
    second = Lesson(opened.value, site)
    second.wait_ready()
    assert first.page.evaluate("document.visibilityState") == "visible"
    assert second.page.evaluate("document.visibilityState") == "visible"
    second.begin(runId=first.run_id)
    second.wait(2_000)
    second.end()
    truth = first.end()
    for lesson in (first, second):
        assert lesson.settle()["lost"] == {}
    active_ms = first.account().active_ms
    assert truth.least_ms - 3 <= active_ms <= truth.most_ms + SECOND_START_MS


SECOND_START_MS = 150
"""Until the browser has told the second window that the run is counted elsewhere, it counts: a few milliseconds."""


def new_window(browser: RealBrowser, url: str) -> None:
    """Open a window beside the one there is."""
    playwrights = browser.context.browser
    assert playwrights is not None
    session: CDPSession = playwrights.new_browser_cdp_session()
    session.send("Target.createTarget", {"url": url, "newWindow": True})
