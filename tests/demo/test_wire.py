"""The official server, unmodified, does what the spec of the wire says."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from demo.platform import PlatformStandIn, User
from demo.server import create_app
from demo.serving import serve

HEARTBEAT = "/api/timeback/activity/heartbeat"
SUBMIT = "/api/timeback/activity/submit"
ME = "/api/timeback/user/me"
VERIFY = "/api/timeback/user/verify"

Build = Callable[..., dict[str, Any]]


def test_a_heartbeat_is_taken(client: httpx.Client, platform: PlatformStandIn, heartbeat: Build) -> None:
    """A right heartbeat is answered with an empty 204, and one event arrives."""
    response = client.post(HEARTBEAT, json=heartbeat())
    assert (response.status_code, response.content) == (204, b"")
    assert len(platform.events) == 1


def test_a_duplicate_is_told(client: httpx.Client, platform: PlatformStandIn, heartbeat: Build) -> None:
    """The same run and start are answered with 200 and `duplicate`, and count once."""
    client.post(HEARTBEAT, json=heartbeat())
    response = client.post(HEARTBEAT, json=heartbeat(elapsedMs=1))
    assert (response.status_code, response.json()) == (200, {"duplicate": True})
    assert [event.active_seconds for event in platform.events] == [12.0]


def test_a_window_is_known_by_its_millisecond(client: httpx.Client, heartbeat: Build) -> None:
    """Start times that differ below a millisecond are the same window; one millisecond makes another."""
    client.post(HEARTBEAT, json=heartbeat())
    same = client.post(HEARTBEAT, json=heartbeat(startedAt="2025-06-01T12:00:00.000400Z"))
    other = client.post(HEARTBEAT, json=heartbeat(startedAt="2025-06-01T12:00:00.001Z"))
    assert (same.status_code, other.status_code) == (200, 204)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"id": ...}, "id"),
        ({"id": "  "}, "id"),
        ({"name": ""}, "name"),
        ({"course": ...}, "course"),
        ({"course": {"subject": "Math"}}, "course"),
        ({"course": {"subject": "Maths", "grade": 3}}, "course.subject"),
        ({"course": {"subject": "Math", "grade": 13}}, "course.grade"),
        ({"course": {"subject": "Math", "grade": 3.0}}, "course.grade"),
        ({"runId": ...}, "runId"),
        ({"startedAt": "yesterday"}, "startedAt"),
        ({"endedAt": "2025-06-01"}, "endedAt"),
        ({"elapsedMs": 1000.0}, "elapsedMs"),
        ({"elapsedMs": -1}, "elapsedMs"),
        ({"elapsedMs": "12"}, "elapsedMs"),
        ({"pausedMs": ...}, "pausedMs"),
        ({"pausedMs": True}, "pausedMs"),
    ],
)
def test_a_wrong_field_is_named(
    client: httpx.Client,
    platform: PlatformStandIn,
    heartbeat: Build,
    changes: dict[str, object],
    field: str,
) -> None:
    """A missing, blank or wrong field is a 400 that names it, and nothing arrives."""
    response = client.post(HEARTBEAT, json=heartbeat(**changes))
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["details"]["field"]) == (400, "INVALID_PAYLOAD", field)
    assert platform.events == ()


def test_only_uuids_name_runs(client: httpx.Client, heartbeat: Build) -> None:
    """A run_id that is no UUID is refused, though the published documentation allows it."""
    response = client.post(HEARTBEAT, json=heartbeat(runId="assignment-7"))
    assert response.status_code == 400
    assert response.json()["error"]["details"] == {"field": "runId", "message": "Expected UUID"}


def test_malformed_json(client: httpx.Client) -> None:
    """What is no JSON is a 400."""
    response = client.post(HEARTBEAT, content="{")
    assert (response.status_code, response.json()["error"]["code"]) == (400, "INVALID_PAYLOAD")


@pytest.mark.parametrize("body", [[], "text", 7])
def test_json_that_is_no_object(client: httpx.Client, body: object) -> None:
    """JSON of another shape breaks the official server: 502, as if the platform had failed."""
    response = client.post(HEARTBEAT, json=body)
    assert (response.status_code, response.json()["error"]["code"]) == (502, "INTERNAL_ERROR")


def test_an_impossible_date(client: httpx.Client, heartbeat: Build) -> None:
    """A date that only looks like one is a 502 too, not a 400: a client would retry it."""
    response = client.post(HEARTBEAT, json=heartbeat(startedAt="2025-02-30T12:00:00Z"))
    assert (response.status_code, response.json()["error"]["code"]) == (502, "INTERNAL_ERROR")


def test_an_unknown_course(client: httpx.Client, heartbeat: Build) -> None:
    """A course that the server does not have is a 400 of its own code."""
    response = client.post(HEARTBEAT, json=heartbeat(course={"code": "ART-1"}))
    assert (response.status_code, response.json()["error"]["code"]) == (400, "UNKNOWN_COURSE")


def test_the_content_type_is_ignored(client: httpx.Client, heartbeat: Build) -> None:
    """A body sent as text is taken: an exit request needs no preflight."""
    request = client.build_request("POST", HEARTBEAT, json=heartbeat(), headers={"Content-Type": "text/plain"})
    assert client.send(request).status_code == 204


def test_nobody_signed_in(platform: PlatformStandIn) -> None:
    """Without a user everything is a 401, before the body is looked at; `get_email` decides who there is."""
    app = create_app(database=":memory:", platform=platform, get_email=lambda _request: None)
    with serve(app) as base_url, httpx.Client(base_url=base_url) as client:
        assert client.post(HEARTBEAT, content="{").status_code == 401
        assert client.get(ME).status_code == 401
        assert client.get("/api/progress/lesson-1").status_code == 401


@pytest.mark.parametrize("fault", ["unknown", "directory", "token"])
def test_who_is_unknown_and_who_cannot_be_asked_look_alike(
    client_of_new_server: httpx.Client, platform: PlatformStandIn, heartbeat: Build, fault: str
) -> None:
    """An unknown user, a directory that is down and a token service that is down give the same bytes."""
    if fault == "unknown":
        platform.users.clear()
    platform.directory_down = fault == "directory"
    platform.token_service_down = fault == "token"
    response = client_of_new_server.post(HEARTBEAT, json=heartbeat())
    assert response.status_code == 404
    assert response.json() == {
        "error": {"code": "USER_RESOLUTION_FAILED", "message": "Unable to resolve Timeback identity"}
    }


def test_two_users_with_one_address(client: httpx.Client, platform: PlatformStandIn, heartbeat: Build) -> None:
    """An e-mail that two users share is a 409 everywhere."""
    platform.users.append(User("student-2", platform.users[0].email, "Sue", "Student"))
    assert client.post(HEARTBEAT, json=heartbeat()).status_code == 409
    assert client.get(ME).status_code == 409
    assert client.get(VERIFY).status_code == 409


def test_a_failed_delivery_may_be_sent_again(client: httpx.Client, platform: PlatformStandIn, heartbeat: Build) -> None:
    """When the event service fails the answer is 502, the window is not remembered, and a retry counts."""
    platform.fail_events(500)
    refused = client.post(HEARTBEAT, json=heartbeat())
    assert (refused.status_code, refused.json()["error"]["code"]) == (502, "INTERNAL_ERROR")
    assert client.post(HEARTBEAT, json=heartbeat()).status_code == 204
    assert len(platform.events) == 1


def test_a_busy_platform_is_asked_again_by_the_server(
    client: httpx.Client, platform: PlatformStandIn, heartbeat: Build
) -> None:
    """After one 503 the official server itself tries again, a second later."""
    platform.fail_events(503)
    assert client.post(HEARTBEAT, json=heartbeat()).status_code == 204
    assert len(platform.events) == 1


def test_who_is_signed_in(client: httpx.Client, platform: PlatformStandIn, learner: str) -> None:
    """`me` gives the profile with courses and goals, `verify` the id; an unknown user is not verified."""
    assert client.get(ME).json() == {
        "id": "student-1",
        "email": learner,
        "name": "Sam Student",
        "school": {"id": "org-1", "name": "Test School"},
        "grade": 3,
        "courses": [{"id": "course-math-3", "code": "MATH-3", "name": "Math G3"}],
        "goals": {"dailyXp": 20, "dailyLessons": 2},
        "xp": {"today": 0, "all": 0},
    }
    assert client.get(VERIFY).json() == {"verified": True, "timebackId": "student-1"}
    platform.users.clear()
    assert client.get(VERIFY).json() == {"verified": False}
    assert client.get(ME).status_code == 404


def test_a_submission_completes_the_course(client: httpx.Client, platform: PlatformStandIn, run_id: str) -> None:
    """A completion at 100 % is taken with 204 and entered in the gradebook."""
    body = {
        "id": "lesson-1",
        "name": "Fractions",
        "course": {"subject": "Math", "grade": 3},
        "runId": run_id,
        "endedAt": "2025-06-01T12:10:00.000Z",
        "metrics": {"totalQuestions": 10, "correctQuestions": 8, "xpEarned": 12.5, "masteredUnits": 1},
        "pctComplete": 100,
    }
    assert client.post(SUBMIT, json=body).status_code == 204
    [event] = platform.events
    assert (event.kind, event.run_id, event.pct_complete) == ("completed", run_id, 100)
    assert any(result["metadata"].get("isMasteryCompletion") for result in platform.results.values())
