"""The app's own API keeps progress, grades, and records each run once."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from demo.lessons import LESSONS, as_fraction, grade
from demo.platform import PlatformStandIn
from demo.server import create_app
from demo.serving import serve

PROGRESS = "/api/progress/lesson-1"
RIGHT = {"q1": "2/4", "q2": "3/4", "q3": "3/5", "q4": "2/6", "q5": "4/8"}


def fresh() -> str:
    return str(uuid.uuid4())


def test_at_first_there_is_nothing(client: httpx.Client) -> None:
    """Before the first visit there is no run, no answer and no result."""
    expected = {"run_id": None, "answers": {}, "completed": False, "last_result": None}
    assert client.get(PROGRESS).json() == expected


def test_a_run_is_kept_with_its_answers(client: httpx.Client, run_id: str) -> None:
    """What was posted comes back, and a later answer replaces an earlier one."""
    client.post(PROGRESS, json={"run_id": run_id})
    client.post(PROGRESS, json={"answers": {"q1": "1/3", "q2": "2/3"}})
    client.post(PROGRESS, json={"answers": {"q1": "1/2"}})
    progress = client.get(PROGRESS).json()
    assert (progress["run_id"], progress["answers"]) == (run_id, {"q1": "1/2", "q2": "2/3"})
    assert progress["completed"] is False


def test_progress_survives_the_server(platform: PlatformStandIn, tmp_path: Path, run_id: str) -> None:
    """Progress is in the database: a server started later goes on with it."""
    database = tmp_path / "progress.sqlite3"
    with serve(create_app(database=database, platform=platform)) as base_url:
        httpx.post(base_url + PROGRESS, json={"run_id": run_id})
    with serve(create_app(database=database, platform=platform)) as base_url:
        assert httpx.get(base_url + PROGRESS).json()["run_id"] == run_id


def test_each_learner_has_their_own(client: httpx.Client, run_id: str) -> None:
    """One learner's progress is not another's, and neither may use the other's run."""
    sue = {"X-Learner": f"sue-{run_id}@example.com"}
    client.post(PROGRESS, json={"run_id": run_id})
    assert client.get(PROGRESS, headers=sue).json()["run_id"] is None
    assert client.post(PROGRESS, headers=sue, json={"run_id": run_id}).status_code == 409


def test_the_page_gets_no_answers(client: httpx.Client) -> None:
    """The lesson is sent with its questions, its course and its choices, never with an answer."""
    lesson = client.get("/api/lessons/lesson-1").json()
    assert lesson["course"] == {"subject": "Math", "grade": 3}
    assert all(set(question) == {"id", "text", "choices"} for question in lesson["questions"])


def test_finishing_grades_and_records(client: httpx.Client, platform: PlatformStandIn, run_id: str) -> None:
    """The stored answers are graded; one completion with the run reaches the platform, and no time."""
    client.post(PROGRESS, json={"run_id": run_id, "answers": RIGHT | {"q3": "3/10"}})
    progress = client.post(PROGRESS, json={"finish": True}).json()
    assert progress["last_result"] == {"run_id": run_id, "correct": 4, "total": 5, "xp_earned": 8}
    assert (progress["run_id"], progress["answers"], progress["completed"]) == (None, {}, True)
    [event] = platform.events
    assert (event.kind, event.run_id, event.activity_id, event.attempt) == (
        "completed",
        run_id,
        "lesson-1",
        1,
    )
    assert event.metrics == {"totalQuestions": 5, "correctQuestions": 4, "xpEarned": 8, "masteredUnits": 1}
    assert event.pct_complete == 25


def test_a_new_attempt_gets_a_fresh_run(client: httpx.Client, platform: PlatformStandIn) -> None:
    """After the end a new run starts empty and is the second attempt; the old run cannot be used again."""
    first, second = fresh(), fresh()
    client.post(PROGRESS, json={"run_id": first, "finish": True})
    assert client.post(PROGRESS, json={"run_id": first}).status_code == 409
    progress = client.post(PROGRESS, json={"run_id": second}).json()
    assert (progress["run_id"], progress["answers"], progress["completed"]) == (second, {}, False)
    assert progress["last_result"]["run_id"] == first
    client.post(PROGRESS, json={"finish": True})
    assert [(event.run_id, event.attempt) for event in platform.events] == [(first, 1), (second, 2)]


def test_many_finish_at_once(client: httpx.Client, platform: PlatformStandIn, run_id: str) -> None:
    """However many requests finish a run at once, one completion is recorded and all get its result."""
    client.post(PROGRESS, json={"run_id": run_id, "answers": RIGHT})

    def finish(_: int) -> httpx.Response:
        return client.post(PROGRESS, json={"answers": RIGHT, "finish": True})

    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(finish, range(24)))
    assert {response.status_code for response in responses} == {200}
    assert {response.json()["last_result"]["run_id"] for response in responses} == {run_id}
    assert [event.run_id for event in platform.events] == [run_id]


def test_a_finish_that_is_sent_again(client: httpx.Client, platform: PlatformStandIn, run_id: str) -> None:
    """When the answer to a finish was lost, sending it again gives the result and records nothing."""
    body = {"run_id": run_id, "answers": RIGHT, "finish": True}
    first, second = client.post(PROGRESS, json=body), client.post(PROGRESS, json=body)
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json() == second.json()
    assert len(platform.events) == 1


@pytest.mark.parametrize("fault", ["events", "directory", "token"])
def test_a_failed_record_leaves_the_run_open(
    client_of_new_server: httpx.Client, platform: PlatformStandIn, run_id: str, fault: str
) -> None:
    """When Timeback does not take the completion the answer is a 502 that says so; a retry works."""
    client_of_new_server.post(PROGRESS, json={"run_id": run_id, "answers": RIGHT})
    platform.fail_events(500, times=int(fault == "events"))
    platform.directory_down = fault == "directory"
    platform.token_service_down = fault == "token"
    refused = client_of_new_server.post(PROGRESS, json={"finish": True})
    assert refused.status_code == 502
    assert "try again" in refused.json()["detail"]
    assert client_of_new_server.get(PROGRESS).json()["run_id"] == run_id
    platform.directory_down = platform.token_service_down = False
    assert client_of_new_server.post(PROGRESS, json={"finish": True}).json()["completed"] is True
    assert len(platform.events) == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"run_id": "lesson-1-attempt-1"}, "run_id"),
        ({"run_id": 7}, "run_id"),
        ({"answers": ["1/2"]}, "answers"),
        ({"answers": {"q1": 0.5}}, "q1"),
        ({"answers": {"q9": "1/2"}}, "q9"),
        ({"answers": {"q1": "1" * 41}}, "q1"),
        ({"finish": False}, "finish"),
        ({"runId": "x"}, "runId"),
    ],
)
def test_a_wrong_body_is_told_its_field(client: httpx.Client, run_id: str, body: dict[str, Any], field: str) -> None:
    """A wrong body is a 422 that names the field, and changes nothing."""
    before = client.post(PROGRESS, json={"run_id": run_id}).json()
    response = client.post(PROGRESS, json=body)
    assert response.status_code == 422
    assert field in response.json()["detail"][0]["loc"]
    assert client.get(PROGRESS).json() == before


@pytest.mark.parametrize("body", [{}, [], None])
def test_a_body_that_says_nothing(client: httpx.Client, body: object) -> None:
    """A body without any of the three is a 422."""
    assert client.post(PROGRESS, json=body).status_code == 422


@pytest.mark.parametrize("body", [{"answers": {"q1": "1/2"}}, {"finish": True}])
def test_what_needs_an_open_run(client: httpx.Client, body: dict[str, Any]) -> None:
    """Answers and a finish without a run are a 409 that says what to post first."""
    response = client.post(PROGRESS, json=body)
    assert response.status_code == 409
    assert "run_id" in response.json()["detail"]


def test_only_one_run_is_open(client: httpx.Client, run_id: str) -> None:
    """While a run is open the same one may be posted again, another one is a 409 that names the open one."""
    client.post(PROGRESS, json={"run_id": run_id})
    assert client.post(PROGRESS, json={"run_id": run_id}).status_code == 200
    response = client.post(PROGRESS, json={"run_id": fresh()})
    assert response.status_code == 409
    assert run_id in response.json()["detail"]


def test_an_unknown_lesson(client: httpx.Client) -> None:
    """A lesson that does not exist is a 404 that names the ones that do."""
    response = client.get("/api/progress/lesson-9")
    assert response.status_code == 404
    assert "lesson-1" in response.json()["detail"]


@pytest.mark.parametrize(
    "answer", ["", "half", "1/0", "-1/2", "0.5", "1e9", "1/2/3", "\u00bd", "12345/2", "\u0661/\u0662"]
)
def test_what_is_no_fraction_is_wrong(answer: str) -> None:
    """Anything but digits, and a slash between them, is a wrong answer, never an error."""
    assert as_fraction(answer) is None
    assert grade(LESSONS["lesson-1"], {"q1": answer}).correct == 0


def test_grading_is_by_value() -> None:
    """2/4 is as good as 1/2, with or without spaces."""
    assert grade(LESSONS["lesson-1"], {"q1": " 2 / 4 "}).correct == 1
    assert grade(LESSONS["lesson-1"], RIGHT).correct == 5
