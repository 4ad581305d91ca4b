"""The invariants of time.md over random sequences of signals, delays, late deliveries, clock jumps and sleeps.

`python -m tests --hypothesis-profile=long -k properties` makes the long run; it prints its seed.
"""

from dataclasses import dataclass, field, replace
from math import floor

from hypothesis import example, given
from hypothesis import strategies as st

from tb_browser._ledger import Carry, Window
from tb_browser._ports import Moment, Signal
from tb_browser._tracker import Closed, Effect, Phase, Timing, Tracker

HOUR, DAY = 3_600_000.0, 86_400_000.0
WALL = 1_748_779_200_000.0

SIGNALS = [
    Signal.TICK,
    Signal.HIDDEN,
    Signal.SHOWN,
    Signal.FROZEN,
    Signal.THAWED,
    Signal.INPUT,
    Signal.PAUSE,
    Signal.RESUME,
    Signal.FLUSH,
]


@dataclass(frozen=True)
class Step:
    """What happens next: time passes on both clocks, then a signal is told, perhaps late."""

    signal: Signal
    wait_ms: float
    late_ms: float = 0.0
    wall_jump_ms: float = 0.0
    busy: bool = False


@dataclass
class Session:
    """A tracker under test, and what an accountant outside would write down."""

    timing: Timing
    hidden: bool = False
    now: Moment = field(default_factory=lambda: Moment(0.0, WALL))
    windows: list[Window] = field(default_factory=list[Window])
    shown_active: float = 0.0

    def __post_init__(self) -> None:
        self.tracker = Tracker(self.timing, self.now, hidden=self.hidden)

    def take(self, step: Step) -> None:
        mono = self.now.mono_ms + step.wait_ms
        self.now = Moment(mono, self.now.wall_ms + step.wait_ms + step.wall_jump_ms)
        effects = self.tracker.handle(step.signal, self.now, at_ms=max(0.0, mono - step.late_ms), busy=step.busy)
        self.keep(effects)

    def keep(self, effects: list[Effect]) -> None:
        self.windows += [effect.window for effect in effects if isinstance(effect, Closed)]


waits = st.one_of(
    st.floats(0, 2_000),
    st.floats(0, 40_000),
    st.floats(0, 1_000_000),
    st.sampled_from([0.0, 1 / 3, 999.9999, 1_000.0, 15_000.0, 600_000.0]),
)
jumps = st.one_of(st.just(0.0), st.just(0.0), st.sampled_from([-HOUR, HOUR, -DAY, DAY, 4_999.0, 5_001.0, -5_001.0]))
steps = st.builds(
    Step,
    signal=st.sampled_from(SIGNALS),
    wait_ms=waits,
    late_ms=st.one_of(st.just(0.0), st.floats(0, 20_000)),
    wall_jump_ms=jumps,
    busy=st.booleans(),
)
timings = st.builds(
    Timing,
    heartbeat_ms=st.sampled_from([15_000.0, 1_000.0, 7_777.0]),
    hidden_timeout_ms=st.sampled_from([600_000.0, 5_000.0]),
    idle_timeout_ms=st.sampled_from([None, None, 60_000.0, 3_000.0]),
    first_beat_ms=st.one_of(st.none(), st.floats(0.001, 15_000)),
)


def played(timing: Timing, sequence: list[Step], *, hidden: bool) -> Session:
    session = Session(timing, hidden)
    for step in sequence:
        session.take(step)
    return session


@given(timings, st.lists(steps, max_size=40), st.booleans())
def test_windows_are_disjoint_ordered_and_whole(timing: Timing, sequence: list[Step], hidden: bool) -> None:
    """Windows never overlap, stand in order, hold whole non-negative milliseconds, and add up to their interval."""
    session = played(timing, [*sequence, Step(Signal.END, 500.0)], hidden=hidden)
    for window in session.windows:
        assert isinstance(window.active_ms, int)
        assert isinstance(window.inactive_ms, int)
        assert window.active_ms >= 0
        assert window.inactive_ms >= 0
        assert window.ended_at_ms - window.started_at_ms == window.active_ms + window.inactive_ms > 0
    for earlier, later in zip(session.windows, session.windows[1:], strict=False):
        assert earlier.ended_at_ms <= later.started_at_ms


@given(timings, st.lists(steps, max_size=40), st.booleans())
def test_nothing_is_made_up(timing: Timing, sequence: list[Step], hidden: bool) -> None:
    """The sum over windows never exceeds the time that passed, nor differs from the truth by a millisecond."""
    session = played(timing, [*sequence, Step(Signal.END, 500.0)], hidden=hidden)
    active = sum(window.active_ms for window in session.windows)
    inactive = sum(window.inactive_ms for window in session.windows)
    totals = session.tracker.totals(session.now.mono_ms)
    assert active + inactive < session.now.mono_ms + 1
    assert abs(active - totals.active) < 1 + 1e-6
    assert abs(inactive - totals.inactive) < 1 + 1e-6
    assert abs(active + inactive - totals.active - totals.inactive) < 1 + 1e-6


@given(timings, st.lists(steps, max_size=40))
def test_every_moment_is_accounted_for(timing: Timing, sequence: list[Step]) -> None:
    """Without sleep, freeze and hidden timeout, all of the time is in windows, and they touch."""
    awake = [
        Step(step.signal, step.wait_ms, step.late_ms, busy=True)
        for step in sequence
        if step.signal not in (Signal.FROZEN, Signal.HIDDEN)
    ]
    session = played(timing, [*awake, Step(Signal.END, 500.0, busy=True)], hidden=False)
    total = sum(window.active_ms + window.inactive_ms for window in session.windows)
    assert abs(total - session.now.mono_ms) < 1 + 1e-6
    for earlier, later in zip(session.windows, session.windows[1:], strict=False):
        assert earlier.ended_at_ms == later.started_at_ms


@given(timings, st.lists(steps, max_size=30), st.lists(steps, max_size=10))
def test_nothing_is_counted_after_the_end(timing: Timing, before: list[Step], after: list[Step]) -> None:
    """`end()` closes one window; whatever comes later closes none and adds nothing."""
    session = played(timing, [*before, Step(Signal.END, 500.0)], hidden=False)
    count, totals = len(session.windows), session.tracker.totals(session.now.mono_ms)
    for step in [*after, Step(Signal.END, 1_000.0)]:
        session.take(step)
    assert session.tracker.phase is Phase.ENDED
    assert len(session.windows) == count
    assert session.tracker.totals(session.now.mono_ms) == totals


@given(timings, st.lists(steps, max_size=30), st.booleans())
def test_reading_agrees_with_closing(timing: Timing, sequence: list[Step], hidden: bool) -> None:
    """What the totals say at an instant is what the windows say if it all ends at that instant."""
    session = played(timing, sequence, hidden=hidden)
    read = session.tracker.totals(session.now.mono_ms)
    checkpoint = session.tracker.in_progress(session.now)
    count = len(session.windows)
    session.take(Step(Signal.END, 0.0))
    closed = session.tracker.totals(session.now.mono_ms)
    assert abs(read.active - closed.active) < 1e-6
    assert abs(read.inactive - closed.inactive) < 1e-6
    if checkpoint is not None and len(session.windows) == count + 1:
        assert session.windows[-1] == checkpoint


@given(timings, st.lists(steps, max_size=30))
def test_totals_never_decrease(timing: Timing, sequence: list[Step]) -> None:
    """Without idle detection and late deliveries, active time never decreases, at whatever instant it is read.

    (A reading between two ticks that were 31 s apart may turn out to lie in a sleep: `Activity` holds it then.)
    """
    plain = Timing(timing.heartbeat_ms, timing.hidden_timeout_ms, None, timing.first_beat_ms)
    session, last = Session(plain), 0.0
    for step in (replace(step, wait_ms=min(step.wait_ms, 30_999.0)) for step in sequence):
        between = session.now.mono_ms + step.wait_ms / 2
        for mono_ms in (between, session.now.mono_ms + step.wait_ms):
            active = session.tracker.totals(mono_ms, busy=step.busy).active
            assert active >= last - 1e-6
            last = active
        session.take(Step(step.signal, step.wait_ms, 0.0, step.wall_jump_ms, step.busy))
        assert session.tracker.totals(session.now.mono_ms).active >= last - 1e-6


@given(timings, st.lists(steps, max_size=30), st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=60))
def test_ticks_change_nothing(timing: Timing, sequence: list[Step], ticks: list[tuple[float, bool]]) -> None:
    """More wake-ups in between change no total: ticks wake us up, and count nothing."""
    calm = [Step(step.signal, min(step.wait_ms, 30_000), busy=True) for step in sequence]
    plain = played(timing, [*calm, Step(Signal.END, 1_000.0)], hidden=False)
    ticked = Session(timing)
    for number, step in enumerate(calm):
        share = ticks[number][0] if number < len(ticks) else 0.0
        ticked.take(Step(Signal.TICK, step.wait_ms * share, busy=True))
        ticked.take(Step(step.signal, step.wait_ms - step.wait_ms * share, busy=True))
    ticked.take(Step(Signal.END, 1_000.0))
    a, b = plain.tracker.totals(plain.now.mono_ms), ticked.tracker.totals(ticked.now.mono_ms)
    assert abs(a.active - b.active) < 1e-3
    assert abs(a.inactive - b.inactive) < 1e-3


@given(st.lists(st.tuples(st.floats(0, 20_000), st.floats(0, 20_000)), max_size=400))
@example([(0.4, 0.4)] * 300)
@example([(1 / 3, 0.0), (0.0, 2 / 3)] * 200)
def test_rounding_never_drifts(windows: list[tuple[float, float]]) -> None:
    """However many windows there are, three sums stay within 1 ms of the truth, and nothing becomes something."""
    carry, true_a, true_i, whole_a, whole_i = Carry(), 0.0, 0.0, 0, 0
    for active, inactive in windows:
        a, i = carry.whole(active, inactive)
        assert a >= 0
        assert i >= 0
        assert a <= floor(active) + 2
        assert inactive > 0 or i == 0
        true_a, true_i, whole_a, whole_i = true_a + active, true_i + inactive, whole_a + a, whole_i + i
        assert abs(true_a - whole_a) < 1 + 1e-6
        assert abs(true_i - whole_i) < 1 + 1e-6
        assert abs(true_a + true_i - whole_a - whole_i) < 1 + 1e-6
