"""The nine rules of time.md, one by one, with a driven clock."""

import pytest

from tb_browser._ledger import PauseReason, Window
from tb_browser._ports import Moment, Signal
from tb_browser._tracker import Closed, Effect, Leaves, Paused, Phase, Resumed, Timing, Tracker

WALL = 1_748_779_200_000.0


def at(mono_s: float, wall_shift_s: float = 0.0) -> Moment:
    return Moment(mono_s * 1000, WALL + (mono_s + wall_shift_s) * 1000)


class Run:
    """A tracker and every window it closed, driven in seconds."""

    def __init__(self, *, hidden: bool = False, **timing: float) -> None:
        self.tracker = Tracker(Timing(**timing), at(0), hidden=hidden)
        self.windows = list[Window]()
        self.effects = list[Effect]()

    def __call__(
        self, signal: Signal, mono_s: float, *, happened_s: float | None = None, shift_s: float = 0, busy: bool = False
    ) -> list[Effect]:
        happened_ms = None if happened_s is None else happened_s * 1000
        effects = self.tracker.handle(signal, at(mono_s, shift_s), at_ms=happened_ms, busy=busy)
        self.effects += effects
        self.windows += [effect.window for effect in effects if isinstance(effect, Closed)]
        return effects

    def tick_through(self, start_s: int, end_s: int, *, shift_s: float = 0) -> None:
        for second in range(start_s, end_s + 1):
            self(Signal.TICK, second, shift_s=shift_s)

    @property
    def spans(self) -> list[tuple[float, float, float, float]]:
        """(start, end, active, inactive) of each window, in seconds since the start."""
        return [
            ((w.started_at_ms - WALL) / 1000, (w.ended_at_ms - WALL) / 1000, w.active_ms / 1000, w.inactive_ms / 1000)
            for w in self.windows
        ]


def test_rule_1_heartbeats_touch() -> None:
    """Every 15 s a window closes and the next one opens at the very same instant, however late the tick."""
    run = Run()
    for second in (1, 14.9, 15.4, 29, 31, 44):
        run(Signal.TICK, second)
    run(Signal.END, 46.5)
    assert run.spans == [(0, 15, 15, 0), (15, 30, 15, 0), (30, 45, 15, 0), (45, 46.5, 1.5, 0)]


def test_rule_1_nothing_is_not_sent() -> None:
    """A window with neither active nor inactive time is not sent."""
    run = Run()
    run(Signal.FLUSH, 0)
    run(Signal.FLUSH, 3)
    run(Signal.FLUSH, 3)
    assert run.spans == [(0, 3, 3, 0)]


def test_rule_1_first_beat_has_its_own_phase() -> None:
    """The first heartbeat falls where the herd's dice put it; its window stays exact."""
    run = Run(first_beat_ms=4_000)
    run.tick_through(1, 20)
    assert run.spans == [(0, 4, 4, 0), (4, 19, 15, 0)]


def test_rule_2_hidden_closes_at_once() -> None:
    """Hiding closes the window at once and leaves; while hidden, inactive time is collected on the same rhythm."""
    run = Run()
    effects = run(Signal.HIDDEN, 7)
    assert [type(effect) for effect in effects] == [Closed, Leaves]
    run.tick_through(8, 31)
    run(Signal.SHOWN, 33)
    run(Signal.END, 35)
    assert run.spans == [(0, 7, 7, 0), (7, 15, 0, 8), (15, 30, 0, 15), (30, 35, 2, 3)]


def test_rule_3_hidden_timeout_sleeps_until_the_return() -> None:
    """After ten minutes of being hidden nothing is counted; on return the slate is clean."""
    run = Run()
    run(Signal.HIDDEN, 10)
    run.tick_through(11, 700)
    assert run.tracker.phase is Phase.ASLEEP
    assert run.tracker.wake_in_ms(700_000) is None
    assert run.windows[-1].ended_at_ms == WALL + 610_000
    run(Signal.SHOWN, 5_000)
    run(Signal.END, 5_002)
    assert run.spans[-1] == (5_000, 5_002, 2, 0)
    assert [type(e) for e in run.effects if isinstance(e, Paused | Resumed)] == [Paused, Resumed]
    assert sum(span[3] for span in run.spans) == 600


def test_rule_3_the_timeout_is_exact_when_the_timer_is_late() -> None:
    """A throttled timer does not stretch the inactive time beyond the timeout."""
    run = Run()
    run(Signal.HIDDEN, 10)
    run(Signal.TICK, 660)
    assert sum(span[3] for span in run.spans) == 600


@pytest.mark.parametrize(
    "back", [[Signal.THAWED, Signal.SHOWN], [Signal.SHOWN, Signal.THAWED], [Signal.SHOWN, Signal.THAWED, Signal.THAWED]]
)
def test_rule_3_back_forward_cache(back: list[Signal]) -> None:
    """In the back/forward cache nothing is counted, whichever order the browser's events come in."""
    run = Run()
    for signal in (Signal.FROZEN, Signal.HIDDEN, Signal.FROZEN):
        run(signal, 4)
    for number, signal in enumerate(back):
        run(signal, 100 + number / 100)
    run(Signal.END, 103)
    assert run.spans[0] == (0, 4, 4, 0)
    assert len(run.spans) == 2
    assert run.spans[1][0] in (100, 100.01)
    assert run.spans[1][3] == 0


def test_rule_3_frozen_in_view() -> None:
    """A freeze without hiding is a clean slate too."""
    run = Run()
    run(Signal.FROZEN, 4)
    run(Signal.THAWED, 50)
    run(Signal.END, 51)
    assert run.spans == [(0, 4, 4, 0), (50, 51, 1, 0)]


def test_rule_4_hidden_is_not_paused() -> None:
    """Being hidden for less than the timeout changes no `is_paused` and calls nobody."""
    run = Run()
    run(Signal.HIDDEN, 1)
    run.tick_through(2, 500)
    assert not run.tracker.is_paused
    run(Signal.SHOWN, 501)
    assert not [effect for effect in run.effects if isinstance(effect, Paused | Resumed)]


def test_rule_5_a_pause_outlives_the_tab() -> None:
    """`pause()` stays in force until `resume()`, whatever the tab does."""
    run = Run()
    run(Signal.PAUSE, 1)
    run(Signal.HIDDEN, 2)
    run.tick_through(3, 620)
    run(Signal.SHOWN, 700)
    assert run.tracker.is_paused
    run(Signal.RESUME, 702)
    run(Signal.END, 705)
    assert [type(e) for e in run.effects if isinstance(e, Paused | Resumed)] == [Paused, Resumed]
    assert sum(span[2] for span in run.spans) == 1 + 3


def test_rule_6_event_time_counts() -> None:
    """What is told late is charged at its own time, also between changes that are known already."""
    run = Run()
    run(Signal.PAUSE, 9)
    run(Signal.HIDDEN, 12, happened_s=6, busy=True)
    run(Signal.SHOWN, 12, happened_s=8, busy=True)
    run(Signal.RESUME, 13)
    run(Signal.END, 14)
    assert run.spans == [(0, 6, 6, 0), (6, 14, 2, 6)]


def test_rule_6_what_is_sent_stays_sent() -> None:
    """An event from before the window in progress counts from its opening: what was sent is not changed."""
    run = Run()
    run.tick_through(1, 16)
    run(Signal.HIDDEN, 17, happened_s=12)
    run(Signal.END, 20)
    assert run.spans == [(0, 15, 15, 0), (15, 20, 0, 5)]


def test_rule_7_a_clock_set_back_changes_nothing() -> None:
    """A wall clock set back by an hour changes no duration, and no window overlaps another."""
    run = Run()
    run.tick_through(1, 20)
    run.tick_through(21, 40, shift_s=-3_600)
    run(Signal.END, 41, shift_s=-3_600)
    assert run.spans == [(0, 15, 15, 0), (15, 30, 15, 0), (30, 41, 11, 0)]


def test_rule_7_a_clock_set_forwards_changes_no_duration() -> None:
    """A wall clock set forwards by an hour moves the next window, and loses not a millisecond."""
    run = Run()
    run.tick_through(1, 20)
    run.tick_through(21, 24, shift_s=3_600)
    run(Signal.END, 25, shift_s=3_600)
    assert run.spans == [(0, 15, 15, 0), (15, 21, 6, 0), (3_621, 3_625, 4, 0)]


def test_rule_8_sleep_with_a_clock_that_runs_on() -> None:
    """A wake-up more than 30 s late on a visible page is sleep: nobody is charged, and a new window opens."""
    run = Run()
    run.tick_through(1, 10)
    run(Signal.TICK, 3_610)
    run(Signal.END, 3_612)
    assert run.spans == [(0, 10, 10, 0), (3_610, 3_612, 2, 0)]


def test_rule_8_sleep_with_a_clock_that_stops() -> None:
    """Wall time far ahead of monotonic time is sleep: its gap is in no window."""
    run = Run()
    run.tick_through(1, 10)
    run(Signal.TICK, 10.5, shift_s=3_600)
    run(Signal.END, 12, shift_s=3_600)
    assert run.spans == [(0, 10.5, 10.5, 0), (3_610.5, 3_612, 1.5, 0)]


def test_rule_8_work_is_not_sleep() -> None:
    """A gap in which Python itself was busy counts in full."""
    run = Run()
    run(Signal.TICK, 1)
    run(Signal.TICK, 100, busy=True)
    run(Signal.END, 101)
    assert sum(span[2] for span in run.spans) == 101


def test_rule_8_hidden_timers_are_not_sleep() -> None:
    """A hidden page's timers come once a minute: that is throttling, not sleep."""
    run = Run()
    run(Signal.HIDDEN, 5)
    for minute in range(1, 6):
        run(Signal.TICK, 5 + 60 * minute)
    run(Signal.SHOWN, 310)
    run(Signal.END, 311)
    assert sum(span[3] for span in run.spans) == 305
    assert sum(span[2] for span in run.spans) == 6


def test_rule_9_starts_hidden() -> None:
    """On a hidden page tracking begins inactive."""
    run = Run(hidden=True)
    run(Signal.SHOWN, 4)
    run(Signal.END, 6)
    assert run.spans == [(0, 6, 2, 4)]


def test_idle_is_back_dated() -> None:
    """Without input for the timeout, time is inactive from the last input on, also over heartbeats."""
    run = Run(idle_timeout_ms=60_000)
    run.tick_through(1, 20)
    run(Signal.INPUT, 20)
    run.tick_through(21, 90)
    run(Signal.INPUT, 95)
    run(Signal.END, 100)
    assert sum(span[2] for span in run.spans) == 25
    assert sum(span[3] for span in run.spans) == 75
    assert PauseReason.IDLE not in run.tracker.reasons


def test_idle_leaves_what_is_confirmed() -> None:
    """Time before an input within the timeout is active, and heartbeats carry it as soon as it is certain."""
    run = Run(idle_timeout_ms=60_000)
    run.tick_through(1, 40)
    run(Signal.INPUT, 41)
    run.tick_through(41, 45)
    assert run.spans == [(0, 41, 41, 0)]


def test_leaving_settles_a_reader() -> None:
    """A reader who leaves within the idle timeout was reading up to then."""
    run = Run(idle_timeout_ms=60_000)
    run.tick_through(1, 50)
    run(Signal.HIDDEN, 50)
    assert run.spans == [(0, 50, 50, 0)]


def test_totals_between_ticks() -> None:
    """Totals are right at any instant and change nothing; after sleep they do not leap."""
    run = Run()
    run(Signal.TICK, 1)
    assert run.tracker.totals(1_500).active == 1_500
    assert run.tracker.totals(900_000).active == 1_000
    assert run.tracker.totals(900_000, busy=True).active == 900_000
    run(Signal.HIDDEN, 2)
    assert run.tracker.totals(900_000).inactive == 600_000
    run(Signal.END, 3)
    assert run.tracker.totals(900_000).active == 2_000
