"""Who is signed in: the profile, whether Timeback knows them, and where they sign in and out."""

from typing import Any

import pytest

from tb_browser import (
    DeliveryError,
    InvalidInputError,
    NotSignedInError,
    Profile,
    Timeback,
    UnavailableError,
    UnreachableError,
    UserUnresolvedError,
    Verification,
    WrongAddressError,
    create_client,
)
from tb_browser._ports import Answer, NoAnswer, Response
from tb_browser.hosts.manual import ManualHost
from tb_browser.transports.memory import MemoryTransport

FULL = b"""{"id":"student-1","email":"student@example.com","name":"Sam Student",
"school":{"id":"org-1","name":"Test School"},"grade":3,"courses":[{"id":"course-math-3","code":"MATH-3","name":"Math"}],
"goals":{"dailyXp":20,"dailyLessons":2},"xp":{"today":0,"all":12.5},"newer":1}"""


def client(answer: Answer) -> tuple[Timeback, ManualHost, MemoryTransport]:
    host, transport = ManualHost(), MemoryTransport(lambda _request: answer)
    return create_client(host=host, transport=transport), host, transport


def me(answer: Answer) -> Profile:
    timeback, host, _ = client(answer)
    return host.run(timeback.user.me())


def test_a_full_profile() -> None:
    """All that the server tells has a name and a type; what newer servers add is no error."""
    profile = me(Response(200, body=FULL))
    assert (profile.id, profile.name, profile.grade) == ("student-1", "Sam Student", 3)
    assert profile.school is not None
    assert profile.school.name == "Test School"
    assert [course.code for course in profile.courses] == ["MATH-3"]
    assert profile.goals is not None
    assert (profile.goals.daily_xp, profile.goals.daily_accuracy) == (20, None)
    assert profile.xp is not None
    assert profile.xp.all == 12.5


def test_what_is_not_known_is_none() -> None:
    """Absent keys are None, or empty."""
    profile = me(Response(200, body=b'{"id":"s","email":"e@x"}'))
    assert (profile.name, profile.school, profile.courses, profile.xp) == (None, None, (), None)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"verified":true,"timebackId":"student-1"}', Verification(verified=True, timeback_id="student-1")),
        (b'{"verified":false}', Verification(verified=False)),
    ],
)
def test_verification(body: bytes, told: Verification) -> None:
    """Known or not: both are answers."""
    timeback, host, transport = client(Response(200, body=body))
    assert host.run(timeback.user.verify()) == told
    assert [(r.method, r.url) for r in transport.sent] == [("GET", "https://school.example/api/timeback/user/verify")]


def said(code: str) -> bytes:
    return b'{"error":{"code":"%s","message":"Said by the server"}}' % code.encode()


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Response(401, body=said("UNAUTHORIZED")), NotSignedInError),
        (Response(404, body=said("USER_NOT_FOUND")), UserUnresolvedError),
        (Response(404, body=b'{"detail":"Not Found"}'), WrongAddressError),
        (Response(409, body=said("USER_AMBIGUOUS")), DeliveryError),
        (Response(502, body=said("INTERNAL_ERROR")), UnavailableError),
        (Response(200, body=b"<html>Sign in to the network"), WrongAddressError),
        (Response(200, body=b"{}"), WrongAddressError),
        (Response(204), WrongAddressError),
        (NoAnswer("connection refused"), UnreachableError),
    ],
)
def test_every_failure_has_its_error(answer: Answer, kind: type[DeliveryError]) -> None:
    """Each error knows the address that was asked."""
    with pytest.raises(DeliveryError) as caught:
        me(answer)
    assert type(caught.value) is kind
    assert caught.value.url == "https://school.example/api/timeback/user/me"


def test_links_to_sign_in_and_out() -> None:
    """The links are the server's own routes; where to return to is quoted."""
    timeback, _, transport = client(Response(204))
    base = "https://school.example/api/timeback/identity"
    assert timeback.sign_in_url() == f"{base}/signin"
    assert timeback.sign_in_url(return_to="/lessons/1?a=b&c") == f"{base}/signin?returnTo=%2Flessons%2F1%3Fa%3Db%26c"
    assert timeback.sign_out_url() == f"{base}/signout"
    assert transport.sent == []


@pytest.mark.parametrize("wrong", ["", " ", 7])
def test_nowhere_to_return_to(wrong: Any) -> None:
    """What is no address is an error that names the argument."""
    timeback, _, _ = client(Response(204))
    with pytest.raises(InvalidInputError, match="return_to"):
        timeback.sign_in_url(return_to=wrong)


def test_representations_help() -> None:
    """What is printed in a console says what it is."""
    timeback, _, _ = client(Response(204))
    assert repr(timeback.user) == "<User at https://school.example/api/timeback>"
    assert repr(timeback.activity) == "<Activities, running: None>"
