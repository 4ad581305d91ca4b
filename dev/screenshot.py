"""`.venv/bin/python -m dev.screenshot`: make docs/demo.png, the README's picture, from the running demo.

A learner works on the lesson in a real browser, is away for a moment, finishes, and starts once more; the picture shows
that lesson and, beside it, what the platform has received. Takes about a minute. `python3 -m tests` makes the
environment ready.
"""

from base64 import b64encode

from playwright.sync_api import Page, ViewportSize, expect, sync_playwright

from demo.platform import PlatformStandIn
from demo.server import create_app
from demo.serving import serve
from dev.browser import ready_chromium
from dev.console import ROOT, one_line_errors, say
from static.assemble import assemble
from tb_browser.testing.browser import RealBrowser, RealTab

PICTURE = ROOT / "docs" / "demo.png"
HEIGHT = 900
LESSON: ViewportSize = {"width": 640, "height": HEIGHT}
EVENTS: ViewportSize = {"width": 900, "height": HEIGHT}
MARGIN, GAP = 36, 28
FRAMED: ViewportSize = {
    "width": MARGIN * 2 + LESSON["width"] + GAP + EVENTS["width"],
    "height": MARGIN * 2 + HEIGHT,
}
WINDOWS = 4
"""So many arrive before the learner finishes."""

FRAME = f"""<!doctype html><style>
  body {{ display: flex; gap: {GAP}px; margin: 0; padding: {MARGIN}px; background: #e3e8e1; }}
  img {{ border-radius: 14px; box-shadow: 0 1px 2px #23302c33, 0 10px 28px #23302c26; }}
</style><img src="%s"><img src="%s">"""


def main() -> None:
    assemble()
    chromium = ready_chromium()
    platform = PlatformStandIn()
    with (
        serve(create_app(database=":memory:", platform=platform)) as url,
        sync_playwright() as playwright,
        RealBrowser(playwright, executable=chromium) as browser,
    ):
        say("open the lesson")
        lesson = browser.open(url)
        lesson.page.set_viewport_size(LESSON)
        expect(lesson.page.locator("html")).to_have_attribute("data-python", "running", timeout=60_000)
        say(f"work on it until {WINDOWS} windows of time have arrived")
        finish_an_attempt(lesson, platform)
        begin_another(lesson.page)
        picture_of_lesson = data_url(picture_of(lesson.page))
        events = browser.open(f"{url}/events")
        events.page.set_viewport_size(EVENTS)
        # The lesson is hidden now, and its window in progress has left.
        expect(events.page.locator("#runs tr")).to_have_count(2)
        frame = browser.open("about:blank")
        frame.page.set_viewport_size(FRAMED)
        frame.page.set_content(FRAME % (picture_of_lesson, data_url(picture_of(events.page))))
        PICTURE.parent.mkdir(exist_ok=True)
        PICTURE.write_bytes(picture_of(frame.page))
    say(f"{PICTURE.relative_to(ROOT)} has {PICTURE.stat().st_size // 1000} kB")


def finish_an_attempt(tab: RealTab, platform: PlatformStandIn) -> None:
    """Answer, look at something else for a moment, go on and finish."""
    page = tab.page
    page.get_by_role("button", name="Start").click()
    answer(page, "A pizza is cut", "2/4")
    choose(page, "3/4")
    page.wait_for_timeout(4_000)
    tab.hide()
    page.wait_for_timeout(3_000)
    tab.show()
    answer(page, "1/5 + 2/5", "3/5")
    choose(page, "1/6")
    answer(page, "How many eighths", "4/8")
    platform.wait_for(lambda events: len(events) >= WINDOWS, timeout_s=60)
    page.wait_for_timeout(3_000)
    page.get_by_role("button", name="Finish").click()
    expect(page.locator("#status")).to_contain_text("XP recorded")


def begin_another(page: Page) -> None:
    """Start once more and answer what can be seen in the picture."""
    page.get_by_role("button", name="Start").click()
    answer(page, "A pizza is cut", "1/2")
    choose(page, "3/4")
    page.wait_for_timeout(8_000)
    page.evaluate("scrollTo(0, 0)")


def answer(page: Page, question: str, text: str) -> None:
    with page.expect_response("**/api/progress/*"):
        page.get_by_label(question).fill(text)
        page.keyboard.press("Tab")


def choose(page: Page, text: str) -> None:
    with page.expect_response("**/api/progress/*"):
        page.get_by_label(text, exact=True).click()


def picture_of(page: Page) -> bytes:
    page.bring_to_front()
    page.emulate_media(color_scheme="light")
    page.add_style_tag(content="html { scrollbar-width: none }")
    return page.screenshot()


def data_url(png: bytes) -> str:
    return f"data:image/png;base64,{b64encode(png).decode()}"


if __name__ == "__main__":
    with one_line_errors():
        main()
