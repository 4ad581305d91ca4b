"""The notebook's badge by itself: what a person at the keyboard, with a screen reader, in light or dark has of it."""

import json
from typing import Any, Literal

import pytest
from playwright.sync_api import Page, expect

from tb_browser.notebook import Badge
from tb_browser.testing.browser import RealBrowser

PAGE = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><title>Badge</title>
<style>:root {{ color-scheme: light dark }} body {{ background: Canvas; color: CanvasText }} {css}</style>
<main></main>
<script type="module">
  import badge from "/badge.js";
  const state = {state}, calls = {{}}, asked = globalThis.asked = [];
  const model = {{
    get: (name) => state[name],
    send: (message) => asked.push(message),
    on: (name, call) => (calls[name] ??= []).push(call),
    off() {{}},
  }};
  globalThis.show = (shown) => {{
    Object.assign(state.shown, shown);
    calls["change:shown"].forEach((call) => call());
  }};
  badge.initialize({{ model }});
  badge.render({{ model, el: document.querySelector("main") }});
  document.title = "ready";
</script>"""

SHOWN = {
    "name": "Fractions",
    "state": "running",
    "active_ms": 65_000,
    "visibility_known": True,
    "delivered_at": None,
    "waiting": 0,
    "trouble": None,
}

CONTRAST = """element => {
  const parts = (colour) => {
    const canvas = new OffscreenCanvas(1, 1).getContext("2d");
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map((value) => value / 255);
  };
  const light = (colour) => parts(colour)
    .map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
    .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
  const [a, b] = [getComputedStyle(element).color, getComputedStyle(document.body).backgroundColor].map(light);
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}"""
"""How WCAG 2.2 measures it, section 1.4.3."""


@pytest.fixture
def page(real_browser: RealBrowser) -> Page:
    """A page with a badge of a lesson that runs, by the very module that a notebook loads."""
    state: dict[str, Any] = {"key": "badge-1", "channel": "tb_browser/badge-1", "shown": SHOWN, "kept": {}}
    page = real_browser.context.new_page()
    page.route("**/badge.js", lambda route: route.fulfill(body=Badge._esm, content_type="text/javascript"))
    text = PAGE.format(css=Badge._css, state=json.dumps(state))
    page.route("**/badge.html", lambda route: route.fulfill(body=text, content_type="text/html"))
    page.goto("http://127.0.0.1:1/badge.html")
    expect(page).to_have_title("ready")
    return page


def test_a_screen_reader_hears_what_the_badge_is_and_how_it_stands(page: Page) -> None:
    """A named group, a timer that is not read out every second, a status that is, and a button."""
    expect(page.locator("main")).to_match_aria_snapshot("""
      - 'group "Learning time: Fractions"':
        - timer: /1:0\\d/
        - status: running
        - text: not delivered yet
        - button "Pause"
    """)


def test_the_keyboard_pauses_and_resumes(page: Page) -> None:
    """Tab reaches the button, which shows that it has the focus; Enter and the space bar press it."""
    page.keyboard.press("Tab")
    button = page.get_by_role("button", name="Pause")
    expect(button).to_be_focused()
    assert button.evaluate("element => getComputedStyle(element).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    page.evaluate("show({state: 'paused'})")
    expect(page.get_by_role("button", name="Resume")).to_be_focused()
    page.keyboard.press("Space")
    assert page.evaluate("asked.filter(({ask}) => ask)") == [{"ask": "pause"}, {"ask": "resume"}]


def test_the_badge_says_what_is_unknown_and_what_went_wrong(page: Page) -> None:
    """Visibility that no page tells of, windows that wait, trouble, a kernel that does not answer, and the end."""
    badge, status = page.locator(".tb-badge"), page.get_by_role("status")
    page.evaluate("show({visibility_known: false, waiting: 2})")
    expect(status).to_have_text("running, visibility unknown")
    expect(badge).to_contain_text("not delivered yet, 2 waiting")
    page.evaluate("show({trouble: 'not signed in'})")
    expect(badge).to_contain_text("not signed in")
    expect(status).to_have_text("busy", timeout=6_000)
    page.evaluate("show({state: 'ended'})")
    expect(status).to_have_text("ended, visibility unknown")
    expect(page.get_by_role("button")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_can_be_read(page: Page, scheme: Literal["light", "dark"]) -> None:
    """Every text of the badge stands out from the page by 7 : 1 or more."""
    page.emulate_media(color_scheme=scheme)
    for part in page.locator(".tb-badge > *").all():
        assert part.evaluate(CONTRAST) >= 7
