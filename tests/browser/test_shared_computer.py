"""A computer that students share: nobody sends another one's time, and nothing personal lies in storage."""

import pytest

from demo.platform_directory import STUDENT
from tb_browser.testing.browser import RealBrowser
from tests.browser import faulty
from tests.browser.faulty import OTHER_STUDENT, FaultySite
from tests.browser.truth import Lesson, Span, flaws

USER_KEY = "anna-8231@school.example"
TOKEN = "eyJhbGciOi.secret-token.nobody"  # noqa: S105 - it opens nothing
PERSONAL = (STUDENT.id, STUDENT.email, STUDENT.given_name, STUDENT.family_name)
CLIENTS = {
    "verified by the server": "create_client()",
    "named by a user_key": f"create_client(user_key={USER_KEY!r}, auth=bearer(lambda: {TOKEN!r}))",
}


def left_behind(browser: RealBrowser, site: FaultySite, client: str) -> tuple[Lesson, Span, str]:
    """A lesson whose windows could not leave before the page was closed; with all that storage held then."""
    lesson = Lesson(browser.context.new_page(), site, client).open()
    lesson.begin()
    lesson.wait_known()
    with site.faulty(faulty.STATUS_503):
        lesson.wait(1_200)
        stored = lesson.stored()
        lesson.page.close()
        truth = lesson.length_told()
    assert lesson.account().lost_ms(truth) > 0
    return lesson, truth, stored


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
def test_nothing_personal_is_stored(client: str, troubled_browser: RealBrowser, faulty_site: FaultySite) -> None:
    """With windows waiting in it, raw storage holds the activity and times, and no person and no token."""
    lesson, _, stored = left_behind(troubled_browser, faulty_site, client)
    assert lesson.run_id in stored
    assert '\\"owner\\":\\"user:' in stored
    for secret in (USER_KEY, TOKEN, *PERSONAL):
        assert secret.casefold() not in stored.casefold()


def test_another_student_on_the_same_browser(troubled_browser: RealBrowser, faulty_site: FaultySite) -> None:
    """What one student left is neither sent nor lost while another one works; it arrives at the first one's return."""
    first, truth, _ = left_behind(troubled_browser, faulty_site, "create_client()")
    before = first.account()
    faulty_site.email = OTHER_STUDENT.email
    other = Lesson(troubled_browser.context.new_page(), faulty_site).open()
    other.begin()
    other.wait_known()
    other.wait(1_500)
    other_truth = other.end()
    stats = other.settle()
    assert (stats["recovered"], stats["lost"]) == (0, {})
    assert first.account() == before
    assert flaws(other.account(), other_truth) == []
    assert {event.email for event in faulty_site.times(other.run_id)} == {OTHER_STUDENT.email}
    other.page.close()

    faulty_site.email = STUDENT.email
    back = Lesson(troubled_browser.context.new_page(), faulty_site).open()
    back.begin()
    assert flaws(first.until_whole(truth), truth) == []
    back.end()
    assert back.settle()["lost"] == {}
    assert {event.email for event in faulty_site.times(first.run_id)} == {STUDENT.email}
