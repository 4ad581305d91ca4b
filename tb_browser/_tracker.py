"""One session of a run: a signal and a moment in, effects out. No I/O, and no clock of its own.

Theory (time.md). The time between two moments is charged to the state that held between them; a tick only wakes
us up. Tracking is *active* while the set of pause reasons is empty. A window closes, and the next one opens at the
very same instant, so that nothing falls between two windows, except where the table says that the tracker is
*asleep*: the page is frozen, or was hidden for too long. Time asleep belongs to no window.

    phase     signal     reasons         window          then
    tracking  hidden     + hidden        closes, leaves  tracking
    tracking  shown      - hidden, idle  goes on         tracking
    tracking  frozen     + frozen        closes, leaves  asleep
    tracking  thawed     - frozen        goes on         tracking
    tracking  elsewhere  + elsewhere     goes on         tracking
    tracking  here       - elsewhere     goes on         tracking
    tracking  input      - idle          goes on         tracking
    tracking  pause      + asked         goes on         tracking
    tracking  resume     - asked         goes on         tracking
    tracking  flush                      closes          tracking
    tracking  end                        closes          ended
    tracking  tick                       goes on         tracking
    tracking  beat                       closes          tracking
    tracking  timed out                  closes          asleep
    tracking  went idle  + idle          goes on         tracking
    tracking  slept                      closes          tracking
    asleep    hidden     + hidden        none            asleep
    asleep    shown      - hidden, idle  opens           tracking
    asleep    frozen     + frozen        none            asleep
    asleep    thawed     - frozen        opens           tracking
    asleep    elsewhere  + elsewhere     none            asleep
    asleep    here       - elsewhere     none            asleep
    asleep    pause      + asked         none            asleep
    asleep    resume     - asked         none            asleep
    asleep    end                        none            ended

Every pair that is not listed changes nothing. "leaves": what was closed is sent before the call returns (rule 2).
"opens": only once the page is neither hidden nor frozen; until then it stays asleep (rule 3).

Before a signal is applied, the tracker catches up: `beat`, `timed out` and `went idle` fall due at exact instants,
whenever the wake-up comes. `slept` is found from the two clocks (rule 8): a wake-up more than 30 s late on a visible
page while Python was not busy, or a wall clock more than 5 s ahead of the monotonic one.

With idle detection on, time since the last input is not settled yet: it may turn out to be idle from the start. A
heartbeat therefore closes the window at the last input, and waits if there was none. Leaving, pausing and ending
settle it as active.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from tb_browser._ledger import Carry, Ledger, PauseReason, Reasons, Window
from tb_browser._ports import Moment, Signal

WAKE_MS: Final = 1_000.0
"""The longest time between two wake-ups while tracking: the checkpoint's rhythm (delivery.md, Checkpoint)."""
LATE_MS: Final = 30_000.0
"""A wake-up later than this, on a visible page with Python not busy, means that the machine slept (rule 8)."""
JUMP_MS: Final = 5_000.0
"""A wall clock ahead of the monotonic one by more than this since the last wake-up means the same (rule 8)."""


class Phase(Enum):
    """Whether time is being kept."""

    TRACKING = "tracking"
    ASLEEP = "asleep"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Closed:
    """A window has closed and wants delivery."""

    window: Window


@dataclass(frozen=True, slots=True)
class Leaves:
    """The page may never run again: send what waits before returning."""


@dataclass(frozen=True, slots=True)
class Paused:
    """`is_paused` became true."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """`is_paused` became false."""


type Effect = Closed | Leaves | Paused | Resumed


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table."""

    add: Reasons = frozenset()
    drop: Reasons = frozenset()
    closes: bool = False
    leaves: bool = False
    opens: bool = False
    then: Phase = Phase.TRACKING


ASKED, HIDDEN, FROZEN, IDLE, ELSEWHERE = (frozenset({reason}) for reason in PauseReason)

TRANSITIONS: Final[dict[tuple[Phase, Signal], Rule]] = {
    (Phase.TRACKING, Signal.HIDDEN): Rule(add=HIDDEN, closes=True, leaves=True),
    (Phase.TRACKING, Signal.SHOWN): Rule(drop=HIDDEN | IDLE),
    (Phase.TRACKING, Signal.FROZEN): Rule(add=FROZEN, closes=True, leaves=True, then=Phase.ASLEEP),
    (Phase.TRACKING, Signal.THAWED): Rule(drop=FROZEN),
    (Phase.TRACKING, Signal.ELSEWHERE): Rule(add=ELSEWHERE),
    (Phase.TRACKING, Signal.HERE): Rule(drop=ELSEWHERE),
    (Phase.TRACKING, Signal.INPUT): Rule(drop=IDLE),
    (Phase.TRACKING, Signal.PAUSE): Rule(add=ASKED),
    (Phase.TRACKING, Signal.RESUME): Rule(drop=ASKED),
    (Phase.TRACKING, Signal.FLUSH): Rule(closes=True),
    (Phase.TRACKING, Signal.END): Rule(closes=True, then=Phase.ENDED),
    (Phase.TRACKING, Signal.TICK): Rule(),
    (Phase.TRACKING, Signal.BEAT): Rule(closes=True),
    (Phase.TRACKING, Signal.TIMED_OUT): Rule(closes=True, then=Phase.ASLEEP),
    (Phase.TRACKING, Signal.WENT_IDLE): Rule(add=IDLE),
    (Phase.TRACKING, Signal.SLEPT): Rule(closes=True),
    (Phase.ASLEEP, Signal.HIDDEN): Rule(add=HIDDEN, then=Phase.ASLEEP),
    (Phase.ASLEEP, Signal.SHOWN): Rule(drop=HIDDEN | IDLE, opens=True),
    (Phase.ASLEEP, Signal.FROZEN): Rule(add=FROZEN, then=Phase.ASLEEP),
    (Phase.ASLEEP, Signal.THAWED): Rule(drop=FROZEN, opens=True),
    (Phase.ASLEEP, Signal.ELSEWHERE): Rule(add=ELSEWHERE, then=Phase.ASLEEP),
    (Phase.ASLEEP, Signal.HERE): Rule(drop=ELSEWHERE, then=Phase.ASLEEP),
    (Phase.ASLEEP, Signal.PAUSE): Rule(add=ASKED, then=Phase.ASLEEP),
    (Phase.ASLEEP, Signal.RESUME): Rule(drop=ASKED, then=Phase.ASLEEP),
    (Phase.ASLEEP, Signal.END): Rule(then=Phase.ENDED),
}

SIGNS_OF_LIFE: Final = frozenset({Signal.INPUT, Signal.SHOWN, Signal.THAWED, Signal.PAUSE, Signal.RESUME})
"""Signals that show that somebody is there: idleness is counted from the last of them."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The numbers of `TimeTracking`, and where in its interval the first heartbeat falls."""

    heartbeat_ms: float = 15_000
    hidden_timeout_ms: float = 600_000
    idle_timeout_ms: float | None = None
    first_beat_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Totals:
    """Exact milliseconds: of the window in progress, and of the whole session."""

    window_active: float
    window_inactive: float
    active: float
    inactive: float


class Tracker:
    """Keeps the time of one session. `handle()` takes signals in order of arrival."""

    def __init__(self, timing: Timing, now: Moment, *, hidden: bool, opened_ms: float | None = None) -> None:
        self.phase = Phase.TRACKING
        self._timing = timing
        self._sure = now
        opened_ms = now.mono_ms if opened_ms is None else min(opened_ms, now.mono_ms)
        self._ended_at_ms = 0
        self._window = self._opened_at(opened_ms, now, HIDDEN if hidden else frozenset())
        self._reasons = self._window.reasons
        self._beat_ms = opened_ms + (timing.heartbeat_ms if timing.first_beat_ms is None else timing.first_beat_ms)
        self._hidden_ms = opened_ms
        self._input_ms = opened_ms
        self._carry = Carry()
        self._closed_active = self._closed_inactive = 0.0

    @property
    def reasons(self) -> Reasons:
        """What stops active time now."""
        return self._reasons

    @property
    def is_paused(self) -> bool:
        """Paused by `pause()`, or asleep. Hidden or idle alone is not paused (rule 4)."""
        return PauseReason.ASKED in self._reasons or self.phase is Phase.ASLEEP

    def wake_in_ms(self, mono_ms: float) -> float | None:
        """How long until the tracker wants its next tick; None while there is nothing to wait for."""
        if self.phase is not Phase.TRACKING:
            return None
        return max(0.0, min(WAKE_MS, self._beat_ms - mono_ms, self._timed_out_ms - mono_ms))

    def handle(self, signal: Signal, now: Moment, *, at_ms: float | None = None, busy: bool = False) -> list[Effect]:
        """Take a signal that happened at `at_ms` and is told `now`; `busy` if Python kept the wake-up waiting."""
        if self.phase is Phase.ENDED:
            return []
        was_paused, effects = self.is_paused, list[Effect]()
        at_ms = now.mono_ms if at_ms is None else min(at_ms, now.mono_ms)
        if self._overslept(now.mono_ms, busy=busy):
            effects += self._catch_up(self._sure.mono_ms)
            effects += self._slept(self._sure.mono_ms, now)
            at_ms = now.mono_ms
        effects += self._catch_up(at_ms)
        effects += self._apply(signal, at_ms, now)
        if now.wall_ms - self._sure.wall_ms - (now.mono_ms - self._sure.mono_ms) > JUMP_MS:
            effects += self._catch_up(now.mono_ms)
            effects += self._slept(now.mono_ms, now)
        self._sure = now
        if self.is_paused != was_paused and signal is not Signal.END:
            effects.append(Paused() if self.is_paused else Resumed())
        return effects

    def totals(self, mono_ms: float, *, busy: bool = False) -> Totals:
        """The time so far, as of `mono_ms`; changes nothing."""
        active, inactive = self._closed_active, self._closed_inactive
        if self.phase is not Phase.TRACKING:
            return Totals(0.0, 0.0, active, inactive)
        until = self._sure.mono_ms if self._overslept(mono_ms, busy=busy) else mono_ms
        until = min(until, self._timed_out_ms)
        window_active, window_inactive = self._window.split(until)
        if self._idle_due_ms <= until:
            idle = min(window_active, until - max(self._input_ms, self._window.opened_ms))
            window_active, window_inactive = window_active - idle, window_inactive + idle
        return Totals(window_active, window_inactive, active + window_active, inactive + window_inactive)

    def in_progress(self, now: Moment) -> Window | None:
        """What the window in progress would be if it closed now: the checkpoint. None if it is empty."""
        totals = self.totals(now.mono_ms)
        active, inactive = Carry(self._carry.active, self._carry.inactive).whole(
            totals.window_active, totals.window_inactive
        )
        if self.phase is not Phase.TRACKING or active + inactive == 0:
            return None
        return Window(self._window.started_at_ms, active, inactive)

    def just_opened(self) -> Window | None:
        """The window in progress as it was when it opened; None while none is."""
        return Window(self._window.started_at_ms, 0, 0) if self.phase is Phase.TRACKING else None

    # --- the rules ---

    @property
    def _timed_out_ms(self) -> float:
        hidden = PauseReason.HIDDEN in self._reasons
        return self._hidden_ms + self._timing.hidden_timeout_ms if hidden else float("inf")

    @property
    def _idle_due_ms(self) -> float:
        if self._timing.idle_timeout_ms is None or self._reasons:
            return float("inf")
        return self._input_ms + self._timing.idle_timeout_ms

    def _overslept(self, mono_ms: float, *, busy: bool) -> bool:
        late = mono_ms - self._sure.mono_ms - WAKE_MS > LATE_MS
        return late and not busy and self.phase is Phase.TRACKING and PauseReason.HIDDEN not in self._reasons

    def _catch_up(self, mono_ms: float) -> list[Effect]:
        """Apply what fell due up to `mono_ms`, in its order."""
        effects = list[Effect]()
        while self.phase is Phase.TRACKING:
            due_ms, signal = min(
                (self._idle_due_ms, Signal.WENT_IDLE),
                (self._timed_out_ms, Signal.TIMED_OUT),
                (self._beat_ms, Signal.BEAT),
                key=lambda due: due[0],
            )
            if due_ms > mono_ms:
                break
            now = self._sure.back_to(due_ms)
            if signal is Signal.BEAT:
                missed = (min(mono_ms, self._idle_due_ms, self._timed_out_ms) - due_ms) // self._timing.heartbeat_ms
                due_ms += missed * self._timing.heartbeat_ms
                self._beat_ms = due_ms + self._timing.heartbeat_ms
                if self._timing.idle_timeout_ms is not None and not self._reasons:
                    due_ms = self._input_ms
            effects += self._apply(signal, self._input_ms if signal is Signal.WENT_IDLE else due_ms, now)
        return effects

    def _slept(self, until_ms: float, now: Moment) -> list[Effect]:
        """Close at the last sure moment and open anew: the gap is charged to no state (rule 8)."""
        effects = self._apply(Signal.SLEPT, until_ms, now)
        if self.phase is Phase.TRACKING:
            self._open(now.mono_ms, now)
        return effects

    def _apply(self, signal: Signal, at_ms: float, now: Moment) -> list[Effect]:
        rule = TRANSITIONS.get((self.phase, signal))
        if rule is None:
            return []
        effects = list[Effect]()
        if rule.closes and (window := self._close(at_ms)) is not None:
            effects.append(Closed(window))
        if rule.leaves:
            effects.append(Leaves())
        if signal in SIGNS_OF_LIFE:
            self._input_ms = max(self._input_ms, at_ms)
        if PauseReason.HIDDEN in rule.add - self._reasons:
            self._hidden_ms = at_ms
        for reason in rule.add:
            self._window.change(at_ms, reason, present=True)
        for reason in rule.drop:
            self._window.change(at_ms, reason, present=False)
        self._reasons = self._reasons - rule.drop | rule.add
        if not rule.opens:
            self.phase = rule.then
        elif not self._reasons & (HIDDEN | FROZEN):
            self.phase = rule.then
            self._open(at_ms, now)
        return effects

    def _close(self, at_ms: float) -> Window | None:
        """Close the window at `at_ms` and open the next one there; None if there was nothing in it."""
        at_ms = max(at_ms, self._window.opened_ms)
        active, inactive = self._window.split(at_ms)
        self._closed_active += active
        self._closed_inactive += inactive
        window = Window(self._window.started_at_ms, *self._carry.whole(active, inactive))
        self._ended_at_ms = window.ended_at_ms
        self._window = self._window.rest(at_ms, window.ended_at_ms)
        return window if window.ended_at_ms > window.started_at_ms else None

    def _open(self, at_ms: float, now: Moment) -> None:
        at_ms = max(at_ms, self._window.opened_ms)  # a return that is told late cannot lie before the leaving
        self._window = self._opened_at(at_ms, now, self._reasons)
        self._beat_ms = at_ms + self._timing.heartbeat_ms

    def _opened_at(self, at_ms: float, now: Moment, reasons: Reasons) -> Ledger:
        # A wall clock that was set back must not make two windows overlap: the dates go on from the last window.
        started_at_ms = max(int(now.back_to(at_ms).wall_ms), self._ended_at_ms)
        return Ledger(at_ms, started_at_ms, reasons)
