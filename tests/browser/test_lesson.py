"""The demo's lesson, by keyboard alone, in real Chromium: what a learner sees, and what the platform received."""

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from demo.platform_events import PlatformEvent
from dev.console import ROOT
from tb_browser.testing.browser import RealBrowser
from tb_browser.testing.console import Console
from tests.browser.site import Site, running_site
from tests.browser.static_server import StaticServer

PYTHON_STARTS_MS = 60_000
MANY_TABS = 40
NO_AUTOFILL = "--disable-features=AutofillServerCommunication"
"""Chromium itself asks a server about every form that it sees."""


@pytest.fixture
def school(assets: Path) -> Iterator[Site]:  # noqa: ARG001 - the pages load what is assembled
    """A demo of this test's own: its learner has no progress yet."""
    with running_site() as site:
        yield site


class Learner:
    """Somebody who works on the lesson without a mouse."""

    def __init__(self, page: Page, site: Site) -> None:
        self.page = page
        self.status = page.locator("#status")
        self.timer = page.get_by_role("timer")
        page.goto(site.url)
        self.wait_for_python()

    def wait_for_python(self) -> None:
        """Wait until the lesson can be worked on."""
        expect(self.page.locator("html")).to_have_attribute("data-python", "running", timeout=PYTHON_STARTS_MS)

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def press(self, name: str) -> None:
        self.tab_to(self.button(name))
        self.page.keyboard.press("Enter")

    def write(self, question: str, answer: str) -> None:
        """Write an answer and go on, which is when it is saved."""
        self.tab_to(self.page.get_by_label(question))
        self.page.keyboard.type(answer)
        with self.page.expect_response("**/api/progress/*"):
            self.page.keyboard.press("Tab")

    def choose(self, question: str, answer: str) -> None:
        """Go to a group of choices and through it by the arrow keys."""
        choices = self.page.get_by_role("group", name=question).get_by_role("radio")
        self.tab_to(choices.first)
        with self.page.expect_response("**/api/progress/*"):
            self.page.keyboard.press("Space")
        while not choices.and_(self.page.get_by_label(answer, exact=True)).is_checked():
            with self.page.expect_response("**/api/progress/*"):
                self.page.keyboard.press("ArrowRight")

    def tab_to(self, wanted: Locator) -> None:
        """Press Tab until the keyboard's focus is there, and can be seen to be."""
        expect(wanted).to_be_enabled()
        for _ in range(MANY_TABS):
            if wanted.evaluate("element => element.matches(':focus')"):
                assert wanted.evaluate("element => getComputedStyle(element).outlineStyle") == "solid"
                return
            self.page.keyboard.press("Tab")
        pytest.fail(f"Tab never reaches {wanted}")

    def work_a_second(self) -> None:
        """Work until the timer on the page has counted a second."""
        expect(self.timer).not_to_have_text("0:00", timeout=15_000)


def spans(events: Sequence[PlatformEvent]) -> list[tuple[datetime, datetime]]:
    """When the time of each event was spent, in order."""
    return sorted((event.event_time - _length(event), event.event_time) for event in events)


def _length(event: PlatformEvent) -> timedelta:
    return timedelta(seconds=(event.active_seconds or 0) + (event.inactive_seconds or 0))


def test_a_lesson_over_two_visits(
    school: Site, static_server: StaticServer, open_browser: Callable[..., RealBrowser]
) -> None:
    """Start, answer, leave, come back, finish: one run, its time in disjoint windows, and one completion."""
    browser = open_browser(arguments=[*static_server.proxy_arguments, NO_AUTOFILL])
    learner = Learner(browser.context.new_page(), school)
    expect(learner.status).to_have_text("Ready when you are.")
    expect(learner.timer).to_have_text("0:00")

    learner.press("Start")
    learner.work_a_second()
    learner.write("A pizza is cut", "1/2")
    learner.choose("Which fraction is larger?", "3/4")
    learner.press("Leave")
    expect(learner.status).to_have_text("See you soon.")
    first_visit = school.platform.events
    (run_id,) = {event.run_id for event in first_visit}
    assert run_id is not None

    learner.page.reload()
    learner.wait_for_python()
    expect(learner.status).to_have_text("Welcome back: your answers are still here.")
    expect(learner.page.get_by_label("A pizza is cut")).to_have_value("1/2")
    expect(learner.page.get_by_label("3/4", exact=True)).to_be_checked()
    expect(learner.button("Start")).to_be_hidden()
    learner.press("Resume")
    learner.work_a_second()
    learner.write("1/5 + 2/5", "3/10")
    learner.choose("Which fraction is equal to 1/3?", "2/6")
    learner.write("How many eighths", " 4 / 8 ")
    learner.press("Finish")
    expect(learner.status).to_have_text("4 of 5 right: 8 XP recorded. Start again for a new attempt.")

    events = school.platform.events
    assert {event.run_id for event in events} == {run_id}
    assert {event.activity_id for event in events} == {"lesson-1"}
    (completion,) = (event for event in events if event.kind == "completed")
    assert completion.metrics == {"xpEarned": 8, "totalQuestions": 5, "correctQuestions": 4, "masteredUnits": 1}
    assert completion.attempt == 1
    assert completion.active_seconds is None

    times = school.times(run_id)
    visits = spans(times)
    assert all(ended <= next_started for (_, ended), (next_started, _) in pairwise(visits))
    assert all(event in times for event in first_visit)
    assert sum(event.active_seconds or 0 for event in first_visit) > 1
    assert school.active_s(run_id) > 2
    assert school.active_s(run_id) <= (visits[-1][1] - visits[0][0]).total_seconds()
    assert school.inactive_s(run_id) == 0

    learner.page.get_by_role("link", name="What Timeback received").press("Enter")
    expect(learner.status).to_have_text(f"Events that have arrived: {len(events)}.")
    expect(learner.page.locator("#runs tr")).to_have_count(1)
    expect(learner.page.locator("#runs tr")).to_contain_text(run_id[:8])
    expect(learner.page.locator("#events tr")).to_have_count(len(events))
    expect(learner.page.locator("#events tr").first).to_contain_text("4 of 5, 8 XP, attempt 1")
    assert static_server.foreign == []


def test_a_server_that_is_gone(assets: Path, real_browser: RealBrowser, console: Console) -> None:  # noqa: ARG001
    """When the server goes away, the lesson and the list of events say so, and the lesson stays usable."""
    console.expect("ERR_CONNECTION_REFUSED")
    with running_site() as site:
        listing = real_browser.context.new_page()
        listing.goto(f"{site.url}/events")
        learner = Learner(real_browser.context.new_page(), site)
        learner.press("Start")
        learner.work_a_second()
    learner.page.get_by_label("A pizza is cut").fill("1/2")
    learner.page.keyboard.press("Tab")
    expect(learner.page.get_by_role("alert")).to_have_text("The server cannot be reached. Please try again.")
    learner.press("Leave")
    expect(learner.page.get_by_role("alert")).to_be_visible()
    expect(learner.button("Resume").or_(learner.button("Start"))).to_be_enabled()
    listing.bring_to_front()
    expect(listing.locator("#status")).to_contain_text("The server does not answer")


def test_a_part_that_does_not_come(school: Site, real_browser: RealBrowser, console: Console) -> None:
    """When Python cannot start, the page says which part is missing and what to do, instead of waiting for ever."""
    console.expect("ERR_FAILED|Failed to fetch")
    page = real_browser.context.new_page()
    page.route("**/pyodide.asm.wasm", lambda route: route.abort())
    page.goto(school.url)
    expect(page.get_by_role("alert")).to_contain_text("Python did not start", timeout=PYTHON_STARTS_MS)
    expect(page.get_by_role("alert")).to_contain_text("Reload the page")
    expect(page.locator("#status")).to_have_text("The exercises could not start.")


def test_the_page_of_the_readme(school: Site, real_browser: RealBrowser) -> None:
    """The whole page that the README prints counts from when it could first be seen, and delivers that."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (html,) = re.findall(r"```html\n(<!doctype html>.*?)```", readme, flags=re.DOTALL)
    page = real_browser.context.new_page()
    page.route("**/fractions.html", lambda route: route.fulfill(body=html, content_type="text/html"))
    page.goto(f"{school.url}/fractions.html")
    expect(page.locator("#time")).to_have_text(re.compile(r"\d+ s"), timeout=PYTHON_STARTS_MS)
    seconds = "performance.now() / 1000"
    before_s = page.evaluate(seconds)
    page.get_by_role("button", name="Done").click()
    school.platform.wait_for(lambda events: sum(event.active_seconds or 0 for event in events) > before_s - 0.5)
    after_s = page.evaluate(seconds)
    (run_id,) = {event.run_id for event in school.platform.events}
    assert run_id is not None
    assert school.active_s(run_id) < after_s
    assert school.inactive_s(run_id) < 0.5
