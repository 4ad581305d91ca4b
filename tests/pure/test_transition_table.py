"""The tracker's table stands twice, as prose and as data: they must agree, and behaviour must agree with both."""

import pytest

from tb_browser import _tracker
from tb_browser._ledger import PauseReason
from tb_browser._ports import Moment, Signal
from tb_browser._tracker import TRANSITIONS, Closed, Leaves, Phase, Rule, Timing, Tracker

START = Moment(0.0, 1_000_000.0)
FOUND = {Signal.BEAT, Signal.TIMED_OUT, Signal.WENT_IDLE, Signal.SLEPT}


def prose() -> dict[tuple[Phase, Signal], Rule]:
    """The table of the module's docstring, read as a person reads it."""
    lines = (_tracker.__doc__ or "").splitlines()
    head = next(line for line in lines if line.split() == ["phase", "signal", "reasons", "window", "then"])
    starts = [head.index(word) for word in head.split()]
    rows = dict[tuple[Phase, Signal], Rule]()
    for line in lines[lines.index(head) + 1 :]:
        if not line.strip():
            break
        cells = [line[a:b].strip() for a, b in zip(starts, [*starts[1:], None], strict=True)]
        phase, signal, change, window, then = cells
        sign, _, names = change.partition(" ")
        reasons = frozenset(PauseReason(name) for name in names.split(", ") if name)
        rows[Phase(phase), Signal(signal)] = Rule(
            add=reasons if sign == "+" else frozenset(),
            drop=reasons if sign == "-" else frozenset(),
            closes=window.startswith("closes"),
            leaves=window.endswith("leaves"),
            opens=window == "opens",
            then=Phase(then),
        )
    return rows


def in_phase(phase: Phase) -> Tracker:
    tracker = Tracker(Timing(), START, hidden=False)
    if phase is Phase.ASLEEP:
        tracker.handle(Signal.FROZEN, START)
    if phase is Phase.ENDED:
        tracker.handle(Signal.END, START)
    return tracker


def test_prose_and_data_agree() -> None:
    """The docstring's table is the one that the code follows."""
    assert prose() == TRANSITIONS


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("signal", [signal for signal in Signal if signal not in FOUND])
def test_behaviour_agrees(phase: Phase, signal: Signal) -> None:
    """Every signal in every phase changes what its row says; a pair without a row changes nothing."""
    tracker = in_phase(phase)
    before = tracker.reasons
    rule = prose().get((phase, signal))
    effects = tracker.handle(signal, Moment(1_000.0, START.wall_ms + 1_000.0))
    assert any(isinstance(effect, Closed) for effect in effects) == (rule is not None and rule.closes)
    assert any(isinstance(effect, Leaves) for effect in effects) == (rule is not None and rule.leaves)
    if rule is None:
        assert (tracker.phase, tracker.reasons) == (phase, before)
        return
    assert tracker.reasons == before - rule.drop | rule.add
    clear = not tracker.reasons & {PauseReason.HIDDEN, PauseReason.FROZEN}
    assert tracker.phase is (rule.then if clear or not rule.opens else Phase.ASLEEP)
