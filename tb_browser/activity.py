"""The live activity: feeds signals to the tracker, performs its effects, answers its user."""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Self

from tb_browser import models
from tb_browser._arguments import as_mapping, from_js, validated
from tb_browser._callbacks import Callbacks, ErrorContext
from tb_browser._ledger import Window
from tb_browser._outbox import Entry
from tb_browser._ports import Host, Signal, Stop
from tb_browser._tracker import FROZEN, HIDDEN, LATE_MS, Closed, Effect, Leaves, Paused, Phase, Timing, Totals, Tracker
from tb_browser.delivery import Delivery
from tb_browser.errors import (
    ActivityEndedError,
    DeliveryError,
    InvalidInputError,
    LossReason,
    SameRunElsewhereError,
    TimebackError,
)
from tb_browser.models import Completion, Course, Metrics, Receipt, StartOptions, Stats, TimeSpent

_METRICS_REMEDY: Final = "Give Metrics(xp_earned=…), or a mapping of its fields."
_NOTHING: Final = Totals(0.0, 0.0, 0.0, 0.0)


class Activity:
    """One session of a run, from `start()` to `end()`. Made by `timeback.activity.start()`.

    Source: api.md, Activity; time.md for what counts as active.
    """

    def __init__(self, options: StartOptions, host: Host, delivery: Delivery, not_before_ms: float) -> None:
        self._options = options
        self._wire = models.ActivityRef(id=options.id, name=options.name, course=options.course, run_id=options.run_id)
        self._host = host
        self._delivery = delivery
        self._callbacks = Callbacks(
            host,
            {
                "on_error": options.on_error,
                "on_pause": options.on_pause,
                "on_resume": options.on_resume,
                "on_flush": options.on_flush,
            },
        )
        self._counts = Counter[str]()
        self._lost = Counter[LossReason]()
        self._last_error: str | None = None
        self._told_elsewhere = False
        self._receipt: Receipt | None = None
        self._completion: Completion | None = None
        self._given_time: TimeSpent | None = None
        self._windows = list[Window]()
        self._finishing = asyncio.Lock()
        self._ended = False
        self._closed = False
        self._end_ms = 0.0
        self._paused = False
        self._shown_active_ms = 0
        self._stop_timer: Stop | None = None
        self._stop_watch: Stop | None = None
        self._stop_claim: Stop | None = None
        self._tracker: Tracker | None = None
        now = host.now()
        self._started_at_ms = int(now.wall_ms)
        self._fed_ms = now.mono_ms
        if options.time is not None:
            self._begin(options.time, not_before_ms)

    def __repr__(self) -> str:
        state = "ended" if self._ended else "paused" if self.is_paused else "running"
        return f"<Activity {self.id!r} run {self.run_id} {state}, {self.total_active_ms} ms active>"

    # --- what it is ---

    @property
    def id(self) -> str:
        """The slug it was started with."""
        return self._options.id

    @property
    def name(self) -> str:
        """The name it was started with."""
        return self._options.name

    @property
    def course(self) -> Course:
        """The course it belongs to."""
        return self._options.course

    @property
    def run_id(self) -> str:
        """What ties all sessions of this attempt together: save it, and pass it to `start()` on resume."""
        return self._options.run_id

    @property
    def started_at(self) -> datetime:
        """When this session began, in UTC."""
        return models.utc_from_ms(self._started_at_ms)

    @property
    def is_paused(self) -> bool:
        """Paused by `pause()`, or because the page was hidden for too long."""
        return self._tracker.is_paused if self._tracker is not None else self._paused

    @property
    def ended(self) -> bool:
        """Whether `end()` was called."""
        return self._ended

    @property
    def elapsed_ms(self) -> int:
        """Active milliseconds of the window in progress."""
        return int(self._totals().window_active)

    @property
    def total_active_ms(self) -> int:
        """Active milliseconds of this session, the window in progress included. Never decreases.

        Time that is taken back (idleness, an event told late) makes it stand still until the truth has caught up.
        """
        self._shown_active_ms = max(self._shown_active_ms, int(self._totals().active))
        return self._shown_active_ms

    @property
    def total_inactive_ms(self) -> int:
        """Inactive milliseconds of this session, the window in progress included."""
        return int(self._totals().inactive)

    @property
    def stats(self) -> Stats:
        """What became of this session's windows, and of those that earlier pages left."""
        waiting = self._delivery.waiting() if self._delivers else 0
        return Stats(**self._counts, waiting=waiting, lost=dict(self._lost), last_error=self._last_error)

    @property
    def counted_until_ms(self) -> float:
        """Up to when this activity has counted time, on the host's monotonic clock: another must not count it."""
        return self._fed_ms if self._tracker is not None else float("-inf")

    # --- what it does ---

    def pause(self) -> None:
        """Count time as inactive from now until `resume()`, whatever the tab does. Raises ActivityEndedError."""
        self._ask(Signal.PAUSE, paused=True)

    def resume(self) -> None:
        """Undo `pause()`. Raises ActivityEndedError."""
        self._ask(Signal.RESUME, paused=False)

    async def flush(self) -> Receipt:
        """Close the window now and try to deliver everything that waits. Raises ActivityEndedError."""
        self._must_run("flush()")
        asked_ms = self._host.now().mono_ms
        if self._is_gap_undecided():
            await self._host.turn()
        self._feed(Signal.FLUSH, asked_ms)
        if self._tracker is not None:
            await self._delivery.flush()
        return self._written_receipt()

    def end(self, metrics: Metrics | Mapping[str, Any] | None = None, /, **fields: Any) -> Coroutine[Any, Any, Receipt]:
        """Close the last window and deliver it; no completion is recorded, and the run stays open.

        The time ends when this is called; awaiting it waits for delivery. What could not be delivered is kept and
        tried again, also by the next visit; that raises nothing, and `Receipt.delivered` tells. A second call
        returns the first one's result.

        With `Metrics`, a mapping of its fields, or the fields themselves (`xp_earned=…`) one completion is recorded
        too: the single-session form. If that fails, `on_error` is told and the DeliveryError is raised; call `end`
        again to retry it, with the same end. Raises InvalidInputError before anything ends.
        """
        self._stop(metrics, fields)
        return self._finish()

    def end_sync(self, metrics: Metrics | Mapping[str, Any] | None = None, /, **fields: Any) -> Receipt:
        """The same as `end()`, blocking: for code that cannot await, such as plain `with`, scripts and notebooks.

        On a page nothing else happens until the server has answered, and the browser sets no limit to that: use
        `await end()` there. A window or completion that is on its way already is not waited for, and counts as
        waiting in the `Receipt`; a token that has to be waited for cannot be asked for; a page that Python kept busy
        for more than 30 s right before this counts that as sleep. Raises as `end()` does.
        """
        self._stop(metrics, fields)
        if not self._closed:
            self._close()
        if self._finishing.locked():  # by an `end()` that waits for the server: nothing is sent twice
            return self._receipt or self._written_receipt()
        if self._receipt is None:
            if self._delivers:
                self._delivery.flush_blocking()
            self._receipt = self._written_receipt()
        if self._completion is not None and not self._receipt.completed:
            return self._completed(self._receipt, self._delivery.complete_blocking(self._completion))
        return self._receipt

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._ended:  # a completion that failed is tried again on request only
            self.end_sync()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._ended:
            await self.end()

    # --- what delivery tells (delivery.Observer) ---

    def on_delivered(self, entry: Entry, *, duplicate: bool) -> None:
        self._counts["duplicates" if duplicate else "delivered"] += 1
        if entry.activity.run_id == self.run_id:
            self._callbacks.call("on_flush", entry.window.active_ms, context=self._context("heartbeat"))

    def on_lost(self, reason: LossReason, error: TimebackError, *, windows: int = 1) -> None:
        self._lost[reason] += windows
        self.on_trouble(error)

    def on_joined(self, windows: int) -> None:
        self._counts["joined"] += windows

    def on_recovered(self, entry: Entry) -> None:
        self._counts["recovered"] += 1

    def on_elsewhere(self, entry: Entry) -> None:
        came_first = entry.window.started_at_ms <= self.started_at.timestamp() * 1000
        if entry.activity.run_id == self.run_id and came_first and not self._told_elsewhere:
            self._told_elsewhere = True
            self.on_trouble(SameRunElsewhereError(self.id, self.run_id))

    def on_trouble(self, error: TimebackError) -> None:
        self._last_error = str(error)
        self._callbacks.error(error, self._context("heartbeat"))

    # --- inside ---

    def _context(self, during: Any) -> ErrorContext:
        return ErrorContext(during, self.id, self.run_id)

    def _totals(self) -> Totals:
        if self._tracker is None:
            return _NOTHING
        mono_ms = self._host.now().mono_ms
        return self._tracker.totals(mono_ms, busy=self._was_busy(mono_ms))

    def _was_busy(self, mono_ms: float) -> bool:
        return mono_ms - self._fed_ms > LATE_MS and self._host.was_busy(self._fed_ms, mono_ms)

    def _must_run(self, call: str) -> None:
        if self._ended:
            raise ActivityEndedError(call, self.id, self.run_id)

    def _ask(self, signal: Signal, *, paused: bool) -> None:
        self._must_run("pause()" if paused else "resume()")
        if self._tracker is not None:
            self._feed(signal)
        elif self._paused != paused:
            self._paused = paused
            self._callbacks.call("on_pause" if paused else "on_resume", context=self._context("start"))

    def _begin(self, time: models.TimeTracking, not_before_ms: float) -> None:
        now, host = self._host.now(), self._host
        timing = Timing(
            time.heartbeat_ms,
            time.hidden_timeout_ms,
            time.idle_timeout_ms,
            # A class starts at once: each page's heartbeats fall at another moment (delivery.md, Herds).
            first_beat_ms=time.heartbeat_ms * (1 - host.random()),
        )
        history = [(now.mono_ms, not host.is_hidden())]
        if self._options.since == "navigation":
            known = [(max(at_ms, not_before_ms), visible) for at_ms, visible in host.visibility_history()]
            history = known or history
        self._tracker = Tracker(timing, now, hidden=not history[0][1], opened_ms=history[0][0])
        self._started_at_ms = int(now.back_to(min(history[0][0], now.mono_ms)).wall_ms)
        for at_ms, visible in history[1:]:
            signal = Signal.SHOWN if visible else Signal.HIDDEN
            effects = self._tracker.handle(signal, now, at_ms=at_ms)
            self._perform([effect for effect in effects if isinstance(effect, Closed)])
        self._stop_watch = host.watch(self._feed, inputs=time.idle_timeout_ms is not None)
        self._delivery.open(time.retry, self)
        self._feed(Signal.TICK)

    def _feed(self, signal: Signal, at_ms: float | None = None) -> None:
        """Give the tracker a signal, do what it says, and see to the next wake-up."""
        if self._tracker is None or (self._ended and signal is not Signal.END):
            return
        now = self._host.now()
        busy = self._was_busy(now.mono_ms)
        self._fed_ms = now.mono_ms
        if (input_ms := self._host.last_input_ms()) is not None:
            self._perform(self._tracker.handle(Signal.INPUT, now, at_ms=input_ms, busy=busy))
        self._perform(self._tracker.handle(signal, now, at_ms=at_ms, busy=busy))
        if self._tracker.phase is Phase.ENDED:  # by this signal, or by a callback that ended the activity
            return
        if signal in (Signal.SHOWN, Signal.THAWED):
            self._delivery.try_now()
        elif signal is not Signal.FLUSH:  # that waits for delivery itself
            self._delivery.kick()
        self._claim_run()
        if signal is Signal.FROZEN:
            self._delivery.let_go()
        elif signal is Signal.THAWED:
            self._delivery.hold()
        window = self._tracker.in_progress(now) or self._tracker.just_opened()
        self._delivery.checkpoint(self._wire, window, active=not self._tracker.reasons - HIDDEN)
        if self._stop_timer is not None:
            self._stop_timer()
            self._stop_timer = None
        wake_ms = self._tracker.wake_in_ms(now.mono_ms)
        if wake_ms is not None:
            self._stop_timer = self._host.after(wake_ms, self._tick)

    def _claim_run(self) -> None:
        """Count a run in one visible window only: of two side by side, in the first one (delivery.md, Two tabs)."""
        visible = self._tracker is not None and not self._tracker.reasons & (HIDDEN | FROZEN)
        if visible and self._stop_claim is None:
            asked_ms: float | None = self._fed_ms

            def told(ours: bool) -> None:
                nonlocal asked_ms
                at_ms, asked_ms = asked_ms, None  # the first answer holds from when it was asked for
                self._feed(Signal.HERE if ours else Signal.ELSEWHERE, at_ms)

            self._stop_claim = lambda: None  # being asked for: the answer may come before the call returns
            self._stop_claim = self._host.hold(f"tb_browser/run/{self.run_id}", told)
        elif not visible and self._stop_claim is not None:
            self._stop_claim()
            self._stop_claim = None

    def _tick(self) -> None:
        self._stop_timer = None
        self._feed(Signal.TICK)

    def _perform(self, effects: list[Effect]) -> None:
        leaving = any(isinstance(effect, Leaves) for effect in effects)
        for effect in effects:
            if isinstance(effect, Closed):
                self._put(effect.window)
                self._delivery.forget_checkpoint(leaving=leaving)
            elif isinstance(effect, Leaves):
                self._delivery.leave()
            else:
                name = "on_pause" if isinstance(effect, Paused) else "on_resume"
                self._callbacks.call(name, context=self._context("heartbeat"))

    def _is_gap_undecided(self) -> bool:
        """Whether it is too early to tell sleep from work: the browser tells of a long task when it is over."""
        mono_ms = self._host.now().mono_ms
        return mono_ms - self._fed_ms > LATE_MS and not self._was_busy(mono_ms)

    def _put(self, window: Window) -> None:
        self._counts["closed"] += 1
        self._windows.append(window)
        self._delivery.put(self._wire, window)

    def _stop(self, metrics: object, fields: dict[str, Any]) -> None:
        """End the time, now; what is wrong with the metrics is raised before."""
        given = _metrics(metrics, fields)
        completion = None
        if given is not None:
            self._check_time(given.time)
            completion = self._completion_of(given)
        if not self._ended:
            self._given_time = given.time if given is not None else None
            self._ended = True
            self._end_ms = self._host.now().mono_ms
            if not self._is_gap_undecided():
                self._close()
        self._completion = completion or self._completion

    def _close(self) -> None:
        if self._given_time is None:
            self._feed(Signal.END, self._end_ms)
        elif self._tracker is not None:  # what it has not reported yet is replaced
            self._tracker.handle(Signal.END, self._host.now(), at_ms=self._end_ms)
        self._closed = True
        self._halt()
        if self._given_time is not None:
            self._put_rest_of(self._given_time)

    def _put_rest_of(self, time: TimeSpent) -> None:
        """One window that makes the session's time what was given; it ends now."""
        active_ms = time.active_ms - sum(window.active_ms for window in self._windows)
        inactive_ms = time.inactive_ms - sum(window.inactive_ms for window in self._windows)
        if active_ms + inactive_ms == 0:
            return
        started_at_ms = int(self._host.now().wall_ms) - active_ms - inactive_ms
        while started_at_ms in {window.started_at_ms for window in self._windows}:
            started_at_ms -= 1  # the server knows a window by its start
        if self._tracker is None:
            self._delivery.open(models.Retry(), self)
        self._put(Window(started_at_ms, active_ms, inactive_ms))

    def _halt(self) -> None:
        for stop in (self._stop_timer, self._stop_watch, self._stop_claim):
            if stop is not None:
                stop()
        self._stop_timer = self._stop_watch = self._stop_claim = None
        if self._tracker is not None:
            self._delivery.forget_checkpoint()

    @property
    def _delivers(self) -> bool:
        """Whether this session has time to report."""
        return self._tracker is not None or self._given_time is not None

    def _check_time(self, time: TimeSpent | None) -> None:
        """What has been reported cannot be taken back. Raises InvalidInputError."""
        if time is None or time == self._given_time:
            return
        if self._ended:
            raise InvalidInputError("time", "the time of this session has ended, and is reported", "Leave it out.")
        for field in ("active_ms", "inactive_ms"):
            given, reported = getattr(time, field), sum(getattr(window, field) for window in self._windows)
            if given < reported:
                remedy = "Give at least that; or start with time=False, and nothing is reported before the end."
                raise InvalidInputError(f"time.{field}", f"{reported} ms are reported already, got {given}", remedy)

    def _completion_of(self, metrics: Metrics) -> Completion:
        """The completion; another try has the end of the first one: a new end would be a new attempt."""
        now_ms = int(self._host.now().wall_ms)
        values = metrics.model_dump(exclude_none=True, exclude={"pct_complete", "time"})
        return Completion(
            **dict(self._wire),
            ended_at=self._completion.ended_at if self._completion is not None else now_ms,
            metrics=values,
            pct_complete=metrics.pct_complete,
            process=self._options.process,
        )

    async def _finish(self) -> Receipt:
        async with self._finishing:
            if not self._closed:
                await self._host.turn()
                self._close()
            if self._receipt is None:
                if self._delivers:
                    await self._delivery.flush()
                self._receipt = self._written_receipt()
            if self._completion is not None and not self._receipt.completed:
                return self._completed(self._receipt, await self._delivery.complete(self._completion))
            return self._receipt

    def _completed(self, receipt: Receipt, error: DeliveryError | None) -> Receipt:
        if error is not None:
            self._last_error = str(error)
            self._callbacks.error(error, self._context("completion"))
            raise error
        self._receipt = receipt.model_copy(update={"completed": True})
        return self._receipt

    def _written_receipt(self) -> Receipt:
        totals, time = self._totals(), self._given_time
        waiting = self._delivery.waiting(self.run_id) if self._delivers else 0
        return Receipt(
            delivered=waiting == 0 and not self._lost,
            run_id=self.run_id,
            active_ms=int(totals.active) if time is None else time.active_ms,
            inactive_ms=int(totals.inactive) if time is None else time.inactive_ms,
            waiting=waiting,
        )


def _metrics(metrics: object, fields: dict[str, Any]) -> Metrics | None:
    metrics, fields = from_js(metrics), from_js(fields)
    if metrics is not None and fields:
        raise InvalidInputError("metrics", f"it is given, and {', '.join(fields)} besides", _METRICS_REMEDY)
    if isinstance(metrics, Metrics) or (metrics is None and not fields):
        return metrics
    given = as_mapping("metrics", metrics, _METRICS_REMEDY) if metrics is not None else fields
    return validated(Metrics, given, remedy=_METRICS_REMEDY)
