"""The harness's server and the official one, unmodified, are asked the same and answer the same bytes."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
from starlette.requests import Request

from demo.platform import STUDENT, PlatformStandIn, User
from demo.server import create_app
from demo.serving import serve
from tb_browser.testing.server import TimebackServer
from tb_browser.testing.wire import API, SAM
from tb_browser.testing.wire import User as WireUser

HEARTBEAT, SUBMIT, ME, VERIFY = "/activity/heartbeat", "/activity/submit", "/user/me", "/user/verify"
LOUD_HEADERS = ("content-type", "allow", "location")
EMPTY: Any = ...


@dataclass
class School:
    """Both servers, and the people behind them."""

    official: httpx.Client
    ours: httpx.Client
    platform: PlatformStandIn
    server: TimebackServer

    def ask(self, method: str, route: str, content: object = None, who: str = STUDENT.email) -> httpx.Response:
        """Ask both, insist that they agree in status, body and the headers that matter, and return the answer."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        both = [
            client.request(method, API + route, content=body, headers={"X-Learner": who})
            for client in (self.official, self.ours)
        ]
        official, ours = (self._told(response) for response in both)
        assert ours == official
        return both[0]

    def takes(self) -> tuple[list[Any], list[Any]]:
        """The windows that both have taken, each as (run, end, active s, inactive s)."""
        events = [event for event in self.platform.events if event.kind == "time_spent"]
        theirs = [
            (e.run_id, round(e.event_time.timestamp() * 1000), e.active_seconds, e.inactive_seconds) for e in events
        ]
        windows = self.server.windows()
        return theirs, [(w.run_id, w.ended_at_ms, w.active_ms / 1000, w.inactive_ms / 1000) for w in windows]

    @staticmethod
    def _told(response: httpx.Response) -> tuple[int, dict[str, str], bytes]:
        origin = f"{response.url.scheme}://{response.url.netloc.decode()}"
        headers = {name: response.headers.get(name, "").replace(origin, "") for name in LOUD_HEADERS}
        return response.status_code, headers, response.content


def learner_of(request: Request) -> str | None:
    return request.headers["X-Learner"] or None


@pytest.fixture(scope="module")
def both() -> Iterator[School]:
    platform = PlatformStandIn()
    app = create_app(database=":memory:", platform=platform, get_email=learner_of)
    with serve(app) as official, TimebackServer() as server:
        server.wire.who = lambda headers: headers["x-learner"] or None
        with httpx.Client(base_url=official, timeout=20) as theirs, httpx.Client(base_url=server.url) as ours:
            yield School(theirs, ours, platform, server)


@pytest.fixture
def school(both: School) -> School:
    both.platform.reset()
    both.server.reset()
    both.server.wire.users[:] = [SAM]
    return both


def heartbeat(**changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": "lesson-1",
        "name": "Fractions",
        "course": {"subject": "Math", "grade": 3},
        "runId": str(uuid.uuid4()),
        "startedAt": "2025-06-01T12:00:00.000Z",
        "endedAt": "2025-06-01T12:00:15.000Z",
        "elapsedMs": 12_000,
        "pausedMs": 3_000,
    }
    return {name: value for name, value in (body | changes).items() if value is not ...}


def completion(**changes: Any) -> dict[str, Any]:
    metrics = {"xpEarned": 8, "totalQuestions": 5, "correctQuestions": 4}
    return heartbeat(**({"startedAt": ..., "elapsedMs": ..., "pausedMs": ..., "metrics": metrics} | changes))


COMMON: list[dict[str, Any]] = [
    *({name: value} for name in ("id", "name") for value in (EMPTY, None, "", "  ", 7)),
    *(
        {"course": course}
        for course in (
            EMPTY,
            None,
            {},
            [],
            ["Math"],
            "Math",
            {"subject": "Math"},
            {"grade": 3},
            {"subject": 7, "grade": 3},
            {"subject": "Maths", "grade": 3},
            {"subject": "Math", "grade": "3"},
            {"subject": "Math", "grade": 3.0},
            {"subject": "Math", "grade": True},
            {"subject": "Math", "grade": 13},
            {"subject": "Math", "grade": -1},
            {"subject": "Math", "grade": 4},
            {"code": "MATH-3"},
            {"code": " MATH-3 "},
            {"code": "ART-1"},
            {"code": ""},
            {"code": "  "},
            {"code": 7},
            {"code": "MATH-3", "subject": "Nonsense"},
            {"code": None, "subject": "Math", "grade": 3},
        )
    ),
    *({"runId": run_id} for run_id in (EMPTY, None, "", "assignment-7", 7, str(uuid.uuid4()).upper())),
    *(
        {"endedAt": at}
        for at in (
            EMPTY,
            None,
            7,
            "yesterday",
            "2025-06-01",
            "2025-06-01T12:00:15",
            "2025-06-01T12:00:15z",
            "2025-06-01T14:00:15+02:00",
            "2025-02-30T12:00:00Z",
            "2025-06-01T11:00:00Z",
        )
    ),
]
OF_HEARTBEATS: list[dict[str, Any]] = [
    {},
    {"more": "than asked"},
    *({"startedAt": at} for at in (EMPTY, None, "now", "2025-02-30T12:00:00Z", "2025-06-01T12:00:00.0001234+25:00")),
    *(
        {name: value}
        for name in ("elapsedMs", "pausedMs")
        for value in (EMPTY, None, 0, -1, 1000.0, "12", True, 10**15)
    ),
]
OF_COMPLETIONS: list[dict[str, Any]] = [
    {},
    *({"process": value} for value in (True, False, None, "yes", 1)),
    *({"pctComplete": value} for value in (0, 50, 100, 1e9, -5, None, "all", True)),
    *(
        {"metrics": metrics}
        for metrics in (
            EMPTY,
            None,
            [],
            {},
            {"xpEarned": None},
            {"xpEarned": "8"},
            {"xpEarned": True},
            {"xpEarned": -1.5},
            {"xpEarned": 8, "totalQuestions": 5},
            {"xpEarned": 8, "correctQuestions": 5},
            {"xpEarned": 8, "totalQuestions": 4, "correctQuestions": 5},
            {"xpEarned": 8, "totalQuestions": 5.0, "correctQuestions": 5},
            {"xpEarned": 8, "totalQuestions": -5, "correctQuestions": -5},
            {"xpEarned": 8, "masteredUnits": True},
            {"xpEarned": 8, "masteredUnits": 2},
        )
    ),
]


def test_heartbeats_of_every_shape(school: School) -> None:
    """Right and wrong in every field: the same answer, and the same windows are taken."""
    for changes in COMMON + OF_HEARTBEATS:
        school.ask("POST", HEARTBEAT, heartbeat(**changes))
    theirs, ours = school.takes()
    assert ours == theirs
    assert len(ours) > 10


def test_completions_of_every_shape(school: School) -> None:
    """Right and wrong in every field: the same answer, and as many completions are taken."""
    for changes in COMMON + OF_COMPLETIONS:
        school.ask("POST", SUBMIT, completion(**changes))
    taken = [event.run_id for event in school.platform.events]
    assert [each.run_id for each in school.server.completions] == taken
    assert len(taken) > 10


@pytest.mark.parametrize("route", [HEARTBEAT, SUBMIT])
@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe\xff", b"[]", b'"text"', b"7", b"null", b"true"])
def test_bodies_that_are_no_object(school: School, route: str, body: bytes) -> None:
    """What is no JSON is a 400, JSON of another shape a 502."""
    assert school.ask("POST", route, body).status_code in (400, 502)


def test_windows_are_known_by_run_and_millisecond(school: School) -> None:
    """A repetition is told as a duplicate, whatever else is in it; the run's letters count, a microsecond does not."""
    run_id = str(uuid.uuid4())
    starts = ["12:00:00.000Z", "12:00:00.000400Z", "12:00:00.001Z", "12:00:00.0015Z", "12:00:01Z", "14:00:01+02:00"]
    answers = [school.ask("POST", HEARTBEAT, heartbeat(runId=run_id, startedAt=f"2025-06-01T{s}")) for s in starts]
    assert [answer.status_code for answer in answers] == [204, 200, 204, 200, 204, 200]
    school.ask("POST", HEARTBEAT, heartbeat(runId=run_id.upper()))
    school.ask("POST", HEARTBEAT, heartbeat(runId=run_id, elapsedMs=1))
    theirs, ours = school.takes()
    assert ours == theirs
    assert len(school.server.duplicates(run_id)) == 4


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
@pytest.mark.parametrize(
    "route",
    [
        HEARTBEAT,
        SUBMIT,
        ME,
        VERIFY,
        "/identity/signin",
        "/identity/callback",
        "/identity/signout",
        "/user",
        "/user/me/",
    ],
)
def test_methods_and_routes(school: School, method: str, route: str) -> None:
    """What is not there, and what is there for another method."""
    school.ask(method, route, heartbeat() if route != SUBMIT else completion())


@pytest.mark.parametrize("route", [HEARTBEAT, SUBMIT, ME, VERIFY])
def test_who_asks(school: School, route: str) -> None:
    """Nobody, somebody unknown, and an e-mail that two share."""
    method, body = (
        ("POST", {HEARTBEAT: heartbeat, SUBMIT: completion}[route]) if route in (HEARTBEAT, SUBMIT) else ("GET", dict)
    )
    assert school.ask(method, route, body(), who="").status_code == 401
    assert school.ask(method, route, b"{", who="").status_code == 401
    school.ask(method, route, body(), who="nobody@example.com")
    school.platform.users.append(User("student-2", STUDENT.email, "Sue", "Student"))
    school.server.wire.users.append(WireUser("student-2", STUDENT.email, "Sue Student"))
    assert school.ask(method, route, body()).status_code == 409


def test_profiles(school: School) -> None:
    """What is unknown about a user is left out."""
    assert school.ask("GET", ME).json()["goals"] == {"dailyXp": 20, "dailyLessons": 2}
    school.platform.users[:] = [replace(STUDENT, given_name="", family_name="", grade=0, course_ids=())]
    school.server.wire.users[:] = [replace(SAM, name=None, grade=0, courses=())]
    assert "goals" not in school.ask("GET", ME).json()


def test_a_platform_that_fails(school: School) -> None:
    """The directory down and the event service down: nothing is taken, and a repetition is no duplicate."""
    again = heartbeat()
    school.platform.directory_down = school.server.wire.directory_down = True
    for method, route, body in (
        ("POST", HEARTBEAT, again),
        ("POST", SUBMIT, completion()),
        ("GET", ME, 0),
        ("GET", VERIFY, 0),
    ):
        school.ask(method, route, body)
    school.platform.directory_down = school.server.wire.directory_down = False
    school.platform.fail_events(500, times=2)
    school.server.wire.events_down = True
    school.ask("POST", HEARTBEAT, again)
    school.ask("POST", SUBMIT, completion())
    school.server.wire.events_down = False
    assert school.ask("POST", HEARTBEAT, again).status_code == 204
    theirs, ours = school.takes()
    assert ours == theirs
    assert len(ours) == 1
