"""The single-session form of `end()`: flush the time, then one completion."""

import json

import pytest

from tb_browser import InvalidInputError, Metrics, UnavailableError, create_client
from tb_browser._ports import Answer, Request, Response
from tb_browser.activity import Activity
from tb_browser.hosts.manual import ManualHost
from tb_browser.transports.memory import MemoryTransport


class World:
    """A started activity, and a server whose answer to a completion can be chosen."""

    def __init__(self) -> None:
        self.host = ManualHost()
        self.status = 204
        self.transport = MemoryTransport(answer=self._answer)
        self.errors = list[tuple[str, str]]()
        client = create_client(host=self.host, transport=self.transport, user_key="somebody")
        self.activity: Activity = client.activity.start(
            id="quiz-1",
            name="Quiz",
            course={"code": "MATH-3"},
            process=True,
            on_error=lambda error, context: self.errors.append((type(error).__name__, context.during)),
        )
        self.host.advance(5_000)

    def _answer(self, request: Request) -> Answer:
        return Response(self.status if request.url.endswith("/activity/submit") else 204)

    @property
    def completions(self) -> list[dict[str, object]]:
        return [json.loads(r.body or b"") for r in self.transport.sent if r.url.endswith("/activity/submit")]


def test_time_first_then_one_completion() -> None:
    """The last window leaves before the completion, which stands on the wire as the server wants it."""
    world = World()
    receipt = world.host.run(world.activity.end(Metrics(xp_earned=12.5, total_questions=10, correct_questions=8)))
    assert receipt.completed
    assert [request.url.rpartition("/")[2] for request in world.transport.sent][-2:] == ["heartbeat", "submit"]
    assert world.completions == [
        {
            "id": "quiz-1",
            "name": "Quiz",
            "course": {"code": "MATH-3"},
            "runId": world.activity.run_id,
            "endedAt": "2025-06-01T12:00:05.000Z",
            "metrics": {"xpEarned": 12.5, "totalQuestions": 10, "correctQuestions": 8},
            "process": True,
        }
    ]


def test_integers_stay_integers() -> None:
    """What is given as a whole number is one on the wire: the server refuses 10.0 for a count."""
    world = World()
    world.host.run(world.activity.end(xp_earned=10, masteredUnits=1, pct_complete=100))
    body = next(r.body for r in world.transport.sent if r.url.endswith("/activity/submit")) or b""
    assert b'"metrics":{"xpEarned":10,"masteredUnits":1},"pctComplete":100' in body


def test_a_failure_is_told_raised_and_can_be_tried_again() -> None:
    """A completion that fails reaches `on_error` and is raised; `end()` again retries it with the same end."""
    world = World()
    world.status = 503
    with pytest.raises(UnavailableError):
        world.host.run(world.activity.end(xp_earned=1))
    assert world.errors == [("UnavailableError", "completion")]
    world.host.advance(60_000)
    world.status = 204
    assert world.host.run(world.activity.end()).completed
    first, second = world.completions
    assert first == second


def test_once_recorded_never_again() -> None:
    """A completion that was taken is not sent again, however often `end()` is called."""
    world = World()
    for _ in range(3):
        world.host.run(world.activity.end(xp_earned=1))
    assert len(world.completions) == 1


def test_without_metrics_there_is_none() -> None:
    """The stateful form records no completion."""
    world = World()
    assert not world.host.run(world.activity.end()).completed
    assert world.completions == []


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"xp_earned": float("nan")}, "xp_earned"),
        ({"xp_earned": float("inf")}, "xp_earned"),
        ({"xp_earned": "12"}, "xp_earned"),
        ({"total_questions": 3}, "xp_earned"),
        ({"xp_earned": 1, "total_questions": 3}, "go together"),
        ({"xp_earned": 1, "total_questions": 3, "correct_questions": 4}, "more correct_questions"),
        ({"xp_earned": 1, "total_questions": 3.0, "correct_questions": 1}, "total_questions"),
        ({"xp_earned": 1, "pct_complete": 101}, "pct_complete"),
        ({"xp_earned": 1, "mastered_unit": 1}, "mastered_units"),
    ],
)
def test_wrong_metrics_end_nothing(fields: dict[str, object], named: str) -> None:
    """Wrong metrics raise an error that names the field, and the activity runs on."""
    world = World()
    with pytest.raises(InvalidInputError, match=named):
        world.host.run(world.activity.end(**fields))
    assert not world.activity.ended
