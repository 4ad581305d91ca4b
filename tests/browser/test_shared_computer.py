"""A computer that students share: nobody sends another one's time, and nothing personal lies in storage."""

import pytest

from demo.platform_directory import STUDENT
from tb_browser.testing import status
from tb_browser.testing.browser import RealBrowser
from tests.browser.site import OTHER_STUDENT, Site
from tests.browser.truth import Lesson, Span, flaws

USER_KEY = "anna-8231@school.example"
TOKEN = "eyJhbGciOi.secret-token.nobody"  # noqa: S105 - it opens nothing
PERSONAL = (STUDENT.id, STUDENT.email, STUDENT.given_name, STUDENT.family_name)
CLIENTS = {
    "verified by the server": "create_client()",
    "named by a user_key": f"create_client(user_key={USER_KEY!r}, auth=bearer(lambda: {TOKEN!r}))",
}


def left_behind(browser: RealBrowser, site: Site, client: str) -> tuple[Lesson, Span, str]:
    """A lesson whose windows could not leave before the page was closed; with all that storage held then."""
    lesson = Lesson(browser.context.new_page(), site, client).open()
    lesson.begin()
    lesson.wait_known()
    with site.server.faulty(status(503, "UNAVAILABLE")):
        lesson.wait(1_200)
        stored = lesson.stored()
        lesson.page.close()
        truth = lesson.length_told()
    assert lesson.account().lost_ms(truth) > 0
    return lesson, truth, stored


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
def test_nothing_personal_is_stored(client: str, troubled_browser: RealBrowser, site: Site) -> None:
    """With windows waiting in it, raw storage holds the activity and times, and no person and no token."""
    lesson, _, stored = left_behind(troubled_browser, site, client)
    assert lesson.run_id in stored
    assert '\\"owner\\":\\"user:' in stored
    for secret in (USER_KEY, TOKEN, *PERSONAL):
        assert secret.casefold() not in stored.casefold()


def test_another_student_on_the_same_browser(troubled_browser: RealBrowser, site: Site) -> None:
    """What one student left is neither sent nor lost while another one works; it arrives at the first one's return."""
    first, truth, _ = left_behind(troubled_browser, site, "create_client()")
    before = first.account()
    site.email = OTHER_STUDENT.email
    other = Lesson(troubled_browser.context.new_page(), site).open()
    other.begin()
    other.wait_known()
    other.wait(1_500)
    other_truth = other.end()
    stats = other.settle()
    assert (stats["recovered"], stats["lost"]) == (0, {})
    assert first.account() == before
    assert flaws(other.account(), other_truth) == []
    assert {event.email for event in site.times(other.run_id)} == {OTHER_STUDENT.email}
    other.page.close()

    site.email = STUDENT.email
    back = Lesson(troubled_browser.context.new_page(), site).open()
    back.begin()
    assert flaws(first.until_whole(truth), truth) == []
    back.end()
    assert back.settle()["lost"] == {}
    assert {event.email for event in site.times(first.run_id)} == {STUDENT.email}
