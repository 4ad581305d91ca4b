"""The live activity: what a page's Python sees of it, from `start()` to `end()`."""

import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tb_browser import (
    Activity,
    ActivityEndedError,
    ActivityInProgressError,
    CallbackError,
    Course,
    ErrorContext,
    Receipt,
    Timeback,
    TimebackError,
    UnavailableError,
    create_client,
)
from tb_browser._ports import Answer, Request, Response, Signal
from tb_browser.backlog import page_lock
from tb_browser.transports.memory import MemoryTransport
from tests.driven import LuckyHost

BEGIN = datetime(2025, 6, 1, 12, tzinfo=UTC)


class World:
    """A driven page with a client in it."""

    def __init__(self, **options: Any) -> None:
        self.host = LuckyHost()
        self.transport = MemoryTransport(can_guard=False)
        self.client: Timeback = create_client(host=self.host, transport=self.transport, user_key="student", **options)

    def start(self, id: str = "fractions-1", **options: Any) -> Activity:  # noqa: A002 - as the API has it
        options.setdefault("course", {"subject": "Math", "grade": 3})
        activity = self.client.activity.start(id=id, name="Fractions", **options)
        self.host.settle()
        return activity

    def end(self, activity: Activity) -> Receipt:
        return self.host.run(activity.end())

    @property
    def is_silent(self) -> bool:
        """Nothing asked, nothing watched, nothing planned, nothing stored."""
        begun = [self.host._timers, self.host._tellers, self.host._online_calls, self.host._work]
        return not any(
            [
                *begun,
                *self.host.held_names.values(),
                self.transport.sent,
                self.transport.on_exit,
                *self.host.storage.keys(),
            ]
        )

    @property
    def received(self) -> list[dict[str, Any]]:
        """Every heartbeat that was sent, in order."""
        return [json.loads(request.body) for request in self.transport.sent if request.body]


@pytest.fixture
def world() -> World:
    return World()


class TestStart:
    """`start()` is synchronous, and there is one activity at a time."""

    def test_it_is_as_started(self, world: World) -> None:
        """What was given can be read, and the start is an aware UTC datetime."""
        activity = world.start(run_id="saved")
        assert (activity.id, activity.name, activity.run_id) == ("fractions-1", "Fractions", "saved")
        assert activity.course == Course(subject="Math", grade=3)
        assert activity.started_at == BEGIN
        assert activity.started_at.utcoffset() == timedelta(0)
        assert (activity.is_paused, activity.ended) == (False, False)

    def test_time_counts_from_the_call(self, world: World) -> None:
        """Not a millisecond is lost between `start()` and the first heartbeat, and nothing has to be awaited."""
        world.start()
        world.host.advance(15_000)
        (heartbeat,) = world.received
        assert heartbeat["startedAt"] == "2025-06-01T12:00:00.000Z"
        assert (heartbeat["elapsedMs"], heartbeat["pausedMs"]) == (15_000, 0)

    def test_current_is_what_runs(self, world: World) -> None:
        """`current` is None, then the activity, then None again."""
        assert world.client.activity.current is None
        activity = world.start()
        assert world.client.activity.current is activity
        world.end(activity)
        assert world.client.activity.current is None

    def test_a_second_start_names_the_running_one(self, world: World) -> None:
        """While one runs, `start()` raises an error that says which one and what to do; the first one goes on."""
        activity = world.start(run_id="run-1")
        with pytest.raises(ActivityInProgressError, match=r"fractions-1.*run-1.*end\(\)") as caught:
            world.start("decimals-1")
        assert (caught.value.running_id, caught.value.running_run_id) == ("fractions-1", "run-1")
        world.host.advance(15_000)
        assert activity.total_active_ms == 15_000
        assert len(world.received) == 1

    def test_after_the_end_the_next_may_start(self, world: World) -> None:
        """Ended without waiting for delivery is ended: the next one starts, and shares no time with the first."""
        first = world.start()
        world.host.advance(5_000)
        finishing = first.end()
        second = world.start("decimals-1")
        world.host.advance(2_000)
        world.host.run(finishing)
        world.end(second)
        spans = [(beat["id"], beat["startedAt"], beat["endedAt"]) for beat in world.received]
        assert sorted(spans) == [
            ("decimals-1", "2025-06-01T12:00:05.000Z", "2025-06-01T12:00:07.000Z"),
            ("fractions-1", "2025-06-01T12:00:00.000Z", "2025-06-01T12:00:05.000Z"),
        ]

    def test_a_run_is_resumed_with_its_run_id(self, world: World) -> None:
        """Two sessions with one `run_id` are one run: their windows carry it, and their times add up."""
        first = world.start()
        world.host.advance(4_000)
        world.end(first)
        world.host.advance(60_000)
        second = world.start(run_id=first.run_id)
        world.host.advance(3_000)
        world.end(second)
        assert {beat["runId"] for beat in world.received} == {first.run_id}
        assert [beat["elapsedMs"] for beat in world.received] == [4_000, 3_000]
        assert second.total_active_ms == 3_000

    def test_on_a_hidden_page_it_begins_inactive(self, world: World) -> None:
        """Nobody looks: time is inactive until somebody does."""
        world.host.hidden = True
        activity = world.start()
        world.host.advance(4_000)
        world.host.tell(Signal.SHOWN)
        world.host.advance(2_000)
        assert (activity.total_active_ms, activity.total_inactive_ms) == (2_000, 4_000)
        assert not activity.is_paused

    def test_since_navigation_counts_what_was_before_python(self, world: World) -> None:
        """With `since="navigation"` the time in which Python was still loading counts too, split by visibility."""
        world.host.advance(9_000)
        world.host.history = [(0.0, True), (2_000.0, False), (5_000.0, True)]
        activity = world.start(since="navigation")
        assert (activity.total_active_ms, activity.total_inactive_ms) == (6_000, 3_000)
        assert activity.started_at == BEGIN

    def test_since_navigation_counts_once(self, world: World) -> None:
        """What an earlier activity of this page has counted, the next one does not count again."""
        world.host.history = [(0.0, True)]
        first = world.start(since="navigation")
        world.host.advance(7_000)
        world.end(first)
        world.host.advance(1_000)
        second = world.start(since="navigation")
        assert second.total_active_ms == 1_000


class TestWithoutTime:
    """`time=False`: the server reports the time; the page must not."""

    def test_nothing_is_asked_watched_planned_or_stored(self, world: World) -> None:
        """From start to end: no request, no listener, no timer, no storage, and no time."""
        activity = world.start(time=False)
        assert world.is_silent
        activity.pause()
        activity.resume()
        world.host.advance(3_600_000)
        world.host.tell(Signal.HIDDEN)
        world.host.tell(Signal.SHOWN)
        flushed = world.host.run(activity.flush())
        ended = world.end(activity)
        assert world.is_silent
        assert flushed == ended
        assert ended == Receipt(delivered=True, run_id=activity.run_id, active_ms=0, inactive_ms=0, waiting=0)
        assert (activity.total_active_ms, activity.total_inactive_ms, activity.elapsed_ms) == (0, 0, 0)
        assert activity.stats.closed == 0

    def test_it_is_one_activity_all_the_same(self, world: World) -> None:
        """It is `current`, it refuses a second start, and it can be paused."""
        calls = list[str]()
        activity = world.start(
            time=False, on_pause=lambda: calls.append("pause"), on_resume=lambda: calls.append("resume")
        )
        assert world.client.activity.current is activity
        with pytest.raises(ActivityInProgressError):
            world.start()
        for _ in range(2):
            activity.pause()
        assert activity.is_paused
        for _ in range(2):
            activity.resume()
        assert calls == ["pause", "resume"]


class TestTotals:
    """What can be read at any moment."""

    def test_they_are_right_between_ticks(self, world: World) -> None:
        """At every millisecond, not only when a timer has fired; the window in progress is part of them."""
        activity = world.start()
        for ms, total, window in ((1, 1, 1), (333, 334, 334), (14_000, 14_334, 14_334), (5_000, 19_334, 4_334)):
            world.host.advance(ms)
            assert (activity.total_active_ms, activity.elapsed_ms) == (total, window)

    def test_paused_and_hidden_time_is_inactive(self, world: World) -> None:
        """Active and inactive time together are the time since the start."""
        activity = world.start()
        world.host.advance(1_500)
        activity.pause()
        world.host.advance(2_250)
        activity.resume()
        world.host.advance(3_000)
        world.host.tell(Signal.HIDDEN)
        world.host.advance(700)
        assert (activity.total_active_ms, activity.total_inactive_ms) == (4_500, 2_950)

    def test_reading_changes_nothing(self, world: World) -> None:
        """A display that reads the totals sixty times a second sends and stores nothing more."""
        activity = world.start()
        world.host.advance(500)
        before = dict.fromkeys(world.host.storage.keys()), len(world.host._timers)
        for _ in range(100):
            assert activity.total_active_ms == 500
        assert (dict.fromkeys(world.host.storage.keys()), len(world.host._timers)) == before

    def test_active_time_never_goes_back(self, world: World) -> None:
        """Time that turns out to have been idle makes the total stand still, not shrink."""
        activity = world.start(time={"idle_timeout_ms": 10_000})
        world.host.input_ms = 0.0
        shown = list[int]()
        for _ in range(40):
            world.host.advance(500)
            shown.append(activity.total_active_ms)
        assert shown == sorted(shown)
        assert activity.total_inactive_ms == 20_000

    def test_a_clock_that_is_set_changes_nothing(self, world: World) -> None:
        """The wall clock moves by an hour, the totals do not."""
        activity = world.start()
        world.host.advance(5_000)
        world.host.set_wall(-3_600_000)
        world.host.advance(5_000)
        assert activity.total_active_ms == 10_000
        assert world.end(activity).active_ms == 10_000

    def test_it_says_what_it_is(self, world: World) -> None:
        """A representation for people who debug."""
        activity = world.start(run_id="run-1")
        world.host.advance(1_000)
        assert repr(activity) == "<Activity 'fractions-1' run run-1 running, 1000 ms active>"
        activity.pause()
        assert "paused" in repr(activity)
        world.end(activity)
        assert "ended" in repr(activity)
        assert "https://school.example/api/timeback" in repr(world.client)


class TestPause:
    """`pause()` and `resume()`, and who is told."""

    def told(self, world: World, **options: Any) -> tuple[Activity, list[str]]:
        calls = list[str]()
        activity = world.start(
            on_pause=lambda: calls.append("pause"), on_resume=lambda: calls.append("resume"), **options
        )
        return activity, calls

    def test_by_the_page(self, world: World) -> None:
        """Asking once or twice pauses once and tells once."""
        activity, calls = self.told(world)
        for _ in range(2):
            activity.pause()
        assert activity.is_paused
        for _ in range(2):
            activity.resume()
        assert not activity.is_paused
        assert calls == ["pause", "resume"]

    def test_hiding_is_no_pause(self, world: World) -> None:
        """A look at another tab tells nobody."""
        activity, calls = self.told(world)
        world.host.tell(Signal.HIDDEN)
        world.host.advance(500_000)
        assert not activity.is_paused
        world.host.tell(Signal.SHOWN)
        assert calls == []

    def test_hidden_for_ten_minutes_is_a_pause(self, world: World) -> None:
        """After the hidden timeout the activity is paused until somebody comes back; heartbeats stop meanwhile."""
        activity, calls = self.told(world)
        world.host.tell(Signal.HIDDEN)
        world.host.advance(600_000)
        assert (calls, activity.is_paused) == (["pause"], True)
        sent = len(world.transport.sent)
        world.host.advance(3_600_000)
        assert len(world.transport.sent) == sent
        assert world.host._timers == []
        world.host.tell(Signal.SHOWN)
        assert (calls, activity.is_paused) == (["pause", "resume"], False)
        world.host.advance(1_000)
        receipt = world.end(activity)
        assert (receipt.active_ms, receipt.inactive_ms) == (1_000, 600_000)

    def test_a_pause_outlives_the_tabs_coming_and_going(self, world: World) -> None:
        """What was asked for stays until it is taken back, and nobody is told in between."""
        activity, calls = self.told(world)
        activity.pause()
        world.host.tell(Signal.HIDDEN)
        world.host.advance(700_000)
        world.host.tell(Signal.SHOWN)
        assert (activity.is_paused, calls) == (True, ["pause"])
        activity.resume()
        assert calls == ["pause", "resume"]

    @pytest.mark.parametrize("time", [None, False])
    def test_after_the_end_it_is_an_error(self, world: World, time: Any) -> None:
        """`pause()`, `resume()` and `flush()` after `end()` raise an error that says how to go on."""
        activity = world.start(run_id="run-1", time=time)
        world.end(activity)
        for call in (activity.pause, activity.resume, lambda: world.host.run(activity.flush())):
            with pytest.raises(ActivityEndedError, match=r"after end\(\).*run_id='run-1'"):
                call()


class TestFlushAndEnd:
    """Closing the window now, and the last one."""

    def test_flush_delivers_now_and_goes_on(self, world: World) -> None:
        """`flush()` closes the window at this very moment; the next one begins there."""
        activity = world.start()
        world.host.advance(3_000)
        receipt = world.host.run(activity.flush())
        assert receipt == Receipt(delivered=True, run_id=activity.run_id, active_ms=3_000, inactive_ms=0, waiting=0)
        world.host.advance(2_000)
        world.end(activity)
        assert [(beat["startedAt"][-7:], beat["elapsedMs"]) for beat in world.received] == [
            ("00.000Z", 3_000),
            ("03.000Z", 2_000),
        ]

    def test_flush_of_nothing_sends_nothing(self, world: World) -> None:
        """A window without time is not sent."""
        activity = world.start()
        assert world.host.run(activity.flush()).delivered
        assert world.transport.sent == []

    def test_end_records_no_completion(self, world: World) -> None:
        """`end()` sends the last window and nothing else: the run stays open."""
        activity = world.start()
        world.host.advance(3_000)
        receipt = world.end(activity)
        assert [request.url.rpartition("/")[2] for request in world.transport.sent] == ["heartbeat"]
        assert receipt == Receipt(delivered=True, run_id=activity.run_id, active_ms=3_000, inactive_ms=0, waiting=0)

    def test_end_is_idempotent(self, world: World) -> None:
        """A second and a third `end()` return the first one's result and send nothing."""
        activity = world.start()
        world.host.advance(3_000)
        first = world.end(activity)
        world.host.advance(10_000)
        assert world.end(activity) == first
        assert world.end(activity) is world.end(activity)
        assert len(world.transport.sent) == 1
        assert activity.total_active_ms == 3_000

    def test_time_ends_with_the_call(self, world: World) -> None:
        """Time stops when `end()` is called, not when its result is awaited."""
        activity = world.start()
        world.host.advance(3_000)
        finishing = activity.end()
        world.host.advance(10_000)
        assert activity.ended
        assert world.host.run(finishing).active_ms == 3_000

    def test_end_leaves_nothing_behind(self, world: World) -> None:
        """No timer, no listener of the page, no claim of the run, no checkpoint; only the page's own lock."""
        activity = world.start()
        world.host.advance(3_000)
        world.end(activity)
        assert (world.host._timers, world.host.watching, list(world.host.storage.keys())) == ([], 0, [])
        held = [name for name, holders in world.host.held_names.items() if holders]
        assert held == [page_lock(world.client._delivery._backlog.page)]
        world.host.run(world.client.aclose())
        assert not any(world.host.held_names.values())

    def test_nothing_counts_after_the_end(self, world: World) -> None:
        """Whatever the page does then, nothing is sent and no total moves."""
        activity = world.start()
        world.host.advance(3_000)
        world.end(activity)
        for signal in (Signal.HIDDEN, Signal.FROZEN, Signal.THAWED, Signal.SHOWN):
            world.host.tell(signal)
            world.host.advance(20_000)
        assert len(world.transport.sent) == 1
        assert world.transport.on_exit == []
        assert (activity.total_active_ms, activity.total_inactive_ms) == (3_000, 0)

    def test_async_with_ends_on_the_way_out(self, world: World) -> None:
        """Also when the block raises; its error goes on."""

        async def lesson() -> None:
            async with world.start():
                world.host.advance(3_000)
                raise LookupError

        with pytest.raises(LookupError):
            world.host.run(lesson())
        assert [beat["elapsedMs"] for beat in world.received] == [3_000]
        assert world.client.activity.current is None

    def test_a_client_in_a_block_ends_what_runs(self, world: World) -> None:
        """`async with create_client()` ends the activity and lets go of everything."""

        async def page() -> None:
            async with world.client:
                world.start()
                world.host.advance(3_000)

        world.host.run(page())
        assert [beat["elapsedMs"] for beat in world.received] == [3_000]
        assert (world.host._timers, world.host.watching, world.host._online_calls) == ([], 0, [])

    def test_two_ends_at_once_agree(self, world: World) -> None:
        """Two tasks that end the same activity get one result, and one window is sent."""
        activity = world.start()
        world.host.advance(3_000)
        first, second = activity.end(), activity.end()
        assert world.host.run(second) == world.host.run(first)
        assert len(world.transport.sent) == 1


class TestCallbacks:
    """Sync or async; one that raises is reported and never fatal."""

    def test_on_flush_tells_each_delivered_window(self, world: World) -> None:
        """`on_flush` gets the active milliseconds of every window as it arrives, zero included."""
        heard = list[int]()
        activity = world.start(on_flush=heard.append)
        world.host.advance(20_000)
        activity.pause()
        world.host.advance(25_000)
        world.end(activity)
        assert heard == [15_000, 5_000, 0]

    def test_they_may_be_async(self, world: World) -> None:
        """An awaitable result is awaited in the background."""
        heard = list[str]()

        def async_callback(name: str) -> Any:
            async def callback(*_args: object) -> None:
                await NOTHING
                heard.append(name)

            return callback

        world.transport.answer = refusing
        activity = world.start(**{name: async_callback(name) for name in ("on_error", "on_pause", "on_resume")})
        activity.pause()
        activity.resume()
        world.host.advance(15_100)
        world.host.settle()
        assert heard[:3] == ["on_pause", "on_resume", "on_error"]

    @pytest.mark.parametrize("is_async", [False, True])
    def test_one_that_raises_is_reported(self, world: World, is_async: bool) -> None:
        """Its error reaches `on_error` with its cause and name, and time goes on."""
        told = list[tuple[TimebackError, ErrorContext]]()

        def sync_callback(*_args: object) -> None:
            raise LookupError("mine")

        async def async_callback(*_args: object) -> None:
            raise LookupError("mine")

        callback = async_callback if is_async else sync_callback
        activity = world.start(
            on_error=lambda error, context: told.append((error, context)), on_pause=callback, on_flush=callback
        )
        activity.pause()
        world.host.advance(15_000)
        assert [(type(error), context.during) for error, context in told] == [(CallbackError, "callback")] * 2
        assert [str(error).split()[2] for error, _ in told] == ["on_pause", "on_flush"]
        assert all(isinstance(error.__cause__, LookupError) for error, _ in told)
        assert activity.total_inactive_ms == 15_000
        assert activity.stats.delivered == 1

    def test_on_error_that_raises_is_logged(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        """There is nobody left to tell: a line in the log, and time goes on."""

        def on_error(_error: TimebackError, _context: ErrorContext) -> None:
            raise LookupError("mine")

        world.transport.answer = lambda _request: Response(400)
        activity = world.start(on_error=on_error)
        with caplog.at_level(logging.WARNING, "tb_browser"):
            world.host.advance(15_000)
        assert "on_error" in caplog.text
        assert "LookupError: mine" in caplog.text
        assert activity.total_active_ms == 15_000

    def test_without_on_error_a_loss_is_logged(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        """Never silence: what is lost for good and nobody listens to is in the log."""
        world.transport.answer = lambda _request: Response(400, body=b'{"error":{"message":"Unknown course"}}')
        world.start()
        with caplog.at_level(logging.WARNING, "tb_browser"):
            world.host.advance(15_000)
        assert "Unknown course" in caplog.text

    def test_on_error_is_told_what_and_where(self, world: World) -> None:
        """The error is typed and knows whether it is worth trying again; the context names the activity."""
        told = list[tuple[TimebackError, ErrorContext]]()
        world.transport.answer = refusing
        activity = world.start(run_id="run-1", on_error=lambda error, context: told.append((error, context)))
        world.host.advance(15_000)
        ((error, context),) = told
        assert isinstance(error, UnavailableError)
        assert error.retryable
        assert context == ErrorContext("heartbeat", "fractions-1", "run-1")
        assert activity.stats.last_error == str(error)

    def test_a_callback_may_end_the_activity(self, world: World) -> None:
        """A page that ends the activity from `on_flush` gets what it asked for, and nothing breaks."""

        async def on_flush(_active_ms: float) -> None:
            await activity.end()

        activity = world.start(on_flush=on_flush)
        world.host.advance(60_000)
        assert activity.ended
        assert activity.total_active_ms == 15_000
        assert (world.host._timers, world.host.watching) == ([], 0)

    def test_a_callback_may_end_the_activity_at_once(self, world: World) -> None:
        """The same from `on_pause`, in the middle of handling a signal."""
        activity = world.start(on_pause=lambda: finishing.append(activity.end()))
        finishing = list[Any]()
        world.host.advance(3_000)
        activity.pause()
        world.host.run(finishing[0])
        assert activity.ended
        assert [beat["elapsedMs"] for beat in world.received] == [3_000]
        assert (world.host._timers, world.host.watching, list(world.host.storage.keys())) == ([], 0, [])


class Nothing:
    """Awaited, it is done at once."""

    def __await__(self) -> Any:
        return iter(())


NOTHING = Nothing()


def refusing(_request: Request) -> Answer:
    return Response(503, {"retry-after": "3600"})
