"""The single-session form of `end()`: flush the time, then one completion."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tb_browser import (
    Course,
    InvalidInputError,
    Metrics,
    RejectedError,
    Retry,
    TimeSpent,
    TimeTracking,
    UnavailableError,
    create_client,
)
from tb_browser._ports import Answer, NoAnswer, Request, Response
from tb_browser.activity import Activity
from tb_browser.transports.memory import MemoryTransport
from tests.driven import LuckyHost
from tests.pure.test_arguments import FromJavaScript, JsNull


class World:
    """A started activity, and a server whose answer to a completion can be chosen."""

    def __init__(self, *, time: bool = True) -> None:
        self.host = LuckyHost()  # no heartbeat falls within the first 15 s
        self.status = 204
        self.gone = False
        self.transport = MemoryTransport(answer=self._answer)
        self.errors = list[tuple[str, str]]()
        self.client = create_client(host=self.host, transport=self.transport, user_key="somebody")
        self.activity: Activity = self.client.activity.start(
            id="quiz-1",
            name="Quiz",
            course={"code": "MATH-3"},
            process=True,
            time=None if time else False,
            on_error=lambda error, context: self.errors.append((type(error).__name__, context.during)),
        )
        self.host.advance(5_000)

    def _answer(self, request: Request) -> Answer:
        if self.gone:
            return NoAnswer("connection reset")
        return Response(self.status if request.url.endswith("/activity/submit") else 204)

    @property
    def completions(self) -> list[dict[str, Any]]:
        return self.bodies("submit")

    @property
    def windows(self) -> list[tuple[int, int]]:
        """(active, inactive) milliseconds of every window that was sent."""
        return [(body["elapsedMs"], body["pausedMs"]) for body in self.bodies("heartbeat")]

    def bodies(self, route: str) -> list[dict[str, Any]]:
        sent = [*self.transport.sent, *self.transport.blocking]
        return [json.loads(r.body or b"") for r in sent if r.url.endswith(f"/activity/{route}")]


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


def test_metrics_are_given_one_way() -> None:
    """A whole and its parts at once would leave one of them out: an error, and nothing ends."""
    world = World()
    with pytest.raises(InvalidInputError, match="metrics: it is given, and mastered_units besides"):
        world.host.run(world.activity.end(Metrics(xp_earned=1), mastered_units=2))
    assert not world.activity.ended


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
        ({"xp_earned": "12"}, "xp_earned: input should be a valid number, got '12'. Give a number"),
        ({"xp_earned": True}, "xp_earned: .*got True. Give a number"),
        ({"xp_earned": None}, "xp_earned: .*got None. Give a number"),
        ({"xp": 12}, "xp: there is no such key. Did you mean 'xp_earned'"),
        ({"xp_earned": 1, "xpEarned": 1}, "xp_earned: it is given in both spellings. Give xp_earned alone"),
        ({"total_questions": 3}, "xp_earned"),
        ({"xp_earned": 1, "total_questions": 3}, "correct_questions: it is missing.* Give both, or neither"),
        ({"xp_earned": 1, "correct_questions": 3}, "total_questions: it is missing.* Give both, or neither"),
        ({"xp_earned": 1, "total_questions": 3, "correct_questions": 4}, "correct_questions: .*got 4 of 3"),
        ({"xp_earned": 1, "total_questions": True, "correct_questions": True}, "total_questions: .*got True"),
        ({"xp_earned": 1, "total_questions": 3.0, "correct_questions": 1}, "total_questions"),
        ({"xp_earned": 1, "pct_complete": 101}, "pct_complete: .*Give a number from 0 to 100"),
        ({"xp_earned": 1, "pct_complete": "50"}, "pct_complete: .*Give a number from 0 to 100"),
        ({"xp_earned": 1, "mastered_unit": 1}, "mastered_units"),
        ({"xp_earned": 1, "pct_complete": float("nan")}, "pct_complete"),
        ({"xp_earned": 1, "mastered_units": -1}, "mastered_units"),
        ({"xp_earned": 1, "time": 5_000}, "time"),
        ({"xp_earned": 1, "time": {"active_ms": 1.5}}, "time.active_ms"),
        ({"xp_earned": 1, "time": {"active_ms": -1}}, "time.active_ms"),
        ({"xp_earned": 1, "time": {"active_ms": True}}, "time.active_ms"),
        ({"xp_earned": 1, "time": {"active_ms": 1_748_779_200_000}}, "time.active_ms: .*a session's length"),
        ({"xp_earned": 1, "time": {"activeMs": 1, "pausedMs": 1}}, "time.paused_ms"),
    ],
)
def test_wrong_metrics_end_nothing(fields: dict[str, object], named: str) -> None:
    """Wrong metrics raise an error that names the field, and the activity runs on."""
    world = World()
    with pytest.raises(InvalidInputError, match=named):
        world.host.run(world.activity.end(**fields))
    assert not world.activity.ended


@pytest.mark.parametrize(
    ("model", "fields", "message"),
    [
        (Metrics, {"xp_earned": "1"}, r"^xp_earned: input should be a valid number, got '1'\. Give a number"),
        (Metrics, {"xp_earned": 1, "pct": 5}, r"^pct: there is no such key\. Did you mean 'pct_complete'"),
        (Metrics, {"xp_earned": 1, "total_questions": 2}, r"^correct_questions: it is missing"),
        (Metrics, {"xp_earned": 1, "time": {"activeMs": -1}}, r"^time\.active_ms: .*0 or more"),
        (TimeSpent, {"active_ms": 1.5}, r"^active_ms: "),
        (Course, {"subject": "Math"}, r"^Course: it needs exactly one of two forms.*`subject` and `grade`"),
        (TimeTracking, {"retry": {"firstMs": 0}}, r"^retry\.first_ms: .*above 0"),
        (Retry, {"ambiguous": "maybe"}, r'^ambiguous: .*"drop"'),
    ],
)
def test_what_is_made_by_hand_is_explained_too(
    model: Callable[..., object], fields: dict[str, object], message: str
) -> None:
    """A model that a user makes raises our error, as the mapping in its place would."""
    with pytest.raises(InvalidInputError, match=message):
        model(**fields)


@pytest.mark.parametrize("field", ["time", "masteredUnits"])
def test_objects_from_javascript_among_the_fields(field: str) -> None:
    """What converts itself is taken at any depth, and `null` is nothing, also beside Python's own values."""
    world = World(time=False)
    value: Any = FromJavaScript({"activeMs": 6_000}) if field == "time" else JsNull()
    receipt = world.host.run(world.activity.end({"xp_earned": 1, field: value}))
    assert receipt.active_ms == (6_000 if field == "time" else 0)
    again: Any = world.host.run(world.activity.end(**{"xp_earned": 1, field: value}))
    assert (again, world.completions[0]["metrics"]) == (receipt, {"xpEarned": 1})


def test_what_was_wrong_can_be_corrected() -> None:
    """After a refusal other metrics may be given; the completion keeps its end, so that it is no new attempt."""
    world = World()
    world.status = 400
    with pytest.raises(RejectedError):
        world.host.run(world.activity.end(xp_earned=1))
    world.host.advance(60_000)
    world.status = 204
    assert world.host.run(world.activity.end({"xpEarned": 2})).completed
    refused, taken = world.completions
    assert refused["endedAt"] == taken["endedAt"]
    assert taken["metrics"] == {"xpEarned": 2}


def test_the_given_time_replaces_the_tracked_one() -> None:
    """The last window makes the session's time what was given, and ends where the session ends."""
    world = World()
    world.host.advance(60_000)
    reported = sum(active for active, _ in world.windows)
    receipt = world.host.run(world.activity.end(xp_earned=1, time={"activeMs": 300_000, "inactiveMs": 7}))
    assert reported > 0
    assert sum(active for active, _ in world.windows) == receipt.active_ms == 300_000
    assert sum(inactive for _, inactive in world.windows) == receipt.inactive_ms == 7
    starts = [body["startedAt"] for body in world.bodies("heartbeat")]
    assert len(set(starts)) == len(starts)
    assert world.bodies("heartbeat")[-1]["endedAt"] == "2025-06-01T12:01:05.000Z"
    assert "time" not in str(world.completions)


def test_the_given_time_is_all_there_is_without_tracking() -> None:
    """With time=False one window brings what the app has measured itself; once, however often end() is called."""
    world = World(time=False)
    metrics = Metrics(xp_earned=1, time=TimeSpent(active_ms=4_000))
    world.status = 503
    with pytest.raises(UnavailableError):
        world.host.run(world.activity.end(metrics))
    world.status = 204
    receipt = world.host.run(world.activity.end(metrics))
    assert world.windows == [(4_000, 0)]
    assert (receipt.active_ms, receipt.delivered, receipt.completed) == (4_000, True, True)


def test_a_window_that_lies_on_another_one_is_a_window_of_its_own() -> None:
    """The server knows a window by its start: the last one never begins where an earlier one began."""
    world = World()
    world.host.run(world.activity.flush())
    world.host.run(world.activity.end(xp_earned=1, time={"active_ms": 10_000}))
    assert [body["startedAt"][-7:] for body in world.bodies("heartbeat")] == ["00.000Z", "59.999Z"]


def test_reported_time_is_not_taken_back() -> None:
    """Less than what was reported already, or another time after the end, is an error; nothing ends by it."""
    world = World()
    world.host.run(world.activity.flush())
    with pytest.raises(InvalidInputError, match=r"time\.active_ms: 5000 ms are reported already, got 4999"):
        world.host.run(world.activity.end(xp_earned=1, time={"active_ms": 4_999}))
    assert not world.activity.ended
    world.host.run(world.activity.end())
    with pytest.raises(InvalidInputError, match="has ended"):
        world.host.run(world.activity.end(xp_earned=1, time={"active_ms": 60_000}))
    assert world.host.run(world.activity.end(xp_earned=1)).completed


def test_the_blocking_form_does_the_same() -> None:
    """`end_sync()` has delivered and recorded when it returns, and later calls return the same result."""
    world = World()
    receipt = world.activity.end_sync(xp_earned=1)
    assert (receipt.delivered, receipt.completed, receipt.active_ms) == (True, True, 5_000)
    assert [request.url.rpartition("/")[2] for request in world.transport.blocking] == ["heartbeat", "submit"]
    assert world.activity.end_sync() == world.host.run(world.activity.end()) == receipt
    assert len(world.completions) == 1


def test_the_blocking_form_fails_the_same() -> None:
    """A completion that fails is told and raised, and either form can try it again."""
    world = World()
    world.status = 503
    with pytest.raises(UnavailableError):
        world.activity.end_sync(xp_earned=1)
    assert world.errors == [("UnavailableError", "completion")]
    world.status = 204
    assert world.host.run(world.activity.end()).completed
    first, second = world.completions
    assert first == second


def test_the_blocking_form_risks_no_window_on_a_dead_server() -> None:
    """After a window that was not answered, something harmless is asked first; the next one is kept without doubt."""
    world = World()
    world.gone = True
    world.host.run(world.activity.flush())
    world.host.advance(1)
    assert world.activity.end_sync().waiting == 2
    assert [request.url.rpartition("/")[2] for request in world.transport.blocking] == ["verify"]
    world.gone = False
    world.host.advance(40_000)
    world.host.run(world.client.flush())
    assert world.windows == [(5_000, 0), (1, 0), (5_000, 0)]


def test_a_with_block_ends_the_activity() -> None:
    """Plain `with` delivers on the way out, also out of an error."""
    world = World()
    with pytest.raises(LookupError), world.activity:
        raise LookupError
    assert world.activity.ended
    assert world.windows == [(5_000, 0)]


def test_leaving_a_block_repeats_no_completion() -> None:
    """A completion that failed inside a block is tried again on request only: a second try might be a second one."""
    world = World()
    world.status = 503

    async def lesson() -> None:
        async with world.activity:
            with pytest.raises(UnavailableError):
                await world.activity.end(xp_earned=1)

    world.host.run(lesson())
    with world.activity:
        assert world.activity.ended
    assert (len(world.completions), len(world.errors)) == (1, 1)
