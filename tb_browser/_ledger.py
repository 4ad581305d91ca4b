"""The window in progress: time charged to the states in which it was spent, and rounded without drift.

A ledger never counts ticks. It keeps the moments at which the set of pause reasons changed since the window
opened, so that a change told late is charged at its own time (time.md, rule 6).
"""

from dataclasses import dataclass, field
from enum import Enum
from math import floor


class PauseReason(Enum):
    """What stops active time; time with any reason present is inactive (time.md, States)."""

    ASKED = "asked"
    HIDDEN = "hidden"
    FROZEN = "frozen"
    IDLE = "idle"
    ELSEWHERE = "elsewhere"


type Reasons = frozenset[PauseReason]


@dataclass(frozen=True, slots=True)
class Window:
    """A closed interval [`started_at_ms`, `ended_at_ms`) of one session, in whole milliseconds since 1970."""

    started_at_ms: int
    active_ms: int
    inactive_ms: int

    @property
    def ended_at_ms(self) -> int:
        return self.started_at_ms + self.active_ms + self.inactive_ms


@dataclass(slots=True)
class Ledger:
    """The open window: when it opened on both clocks, and every change of reasons since."""

    opened_ms: float
    started_at_ms: int
    reasons: Reasons
    _changes: list[tuple[float, Reasons]] = field(default_factory=list[tuple[float, "Reasons"]])

    def change(self, at_ms: float, reason: PauseReason, *, present: bool) -> None:
        """Add or drop a reason from `at_ms` on, also when later changes are known already."""

        def changed(reasons: Reasons) -> Reasons:
            return reasons | {reason} if present else reasons - {reason}

        if at_ms <= self.opened_ms:
            self.reasons = changed(self.reasons)
            self._changes = [(at, changed(reasons)) for at, reasons in self._changes]
            return
        before = [entry for entry in self._changes if entry[0] <= at_ms]
        after = [(at, changed(reasons)) for at, reasons in self._changes if at > at_ms]
        latest = before[-1][1] if before else self.reasons
        self._changes = [*before, (at_ms, changed(latest)), *after]

    def split(self, until_ms: float) -> tuple[float, float]:
        """(active, inactive) milliseconds from the opening to `until_ms`, exact."""
        active = inactive = 0.0
        at, reasons = self.opened_ms, self.reasons
        for next_at, next_reasons in [*self._changes, (until_ms, self.reasons)]:
            until = min(next_at, until_ms)
            if until > at:
                if reasons:
                    inactive += until - at
                else:
                    active += until - at
                at = until
            reasons = next_reasons
        return active, inactive

    def rest(self, at_ms: float, started_at_ms: int) -> "Ledger":
        """The ledger that goes on from `at_ms`: what was known to happen later goes with it."""
        reasons = self.reasons
        for at, later in self._changes:
            if at <= at_ms:
                reasons = later
        return Ledger(at_ms, started_at_ms, reasons, [entry for entry in self._changes if entry[0] > at_ms])


@dataclass(slots=True)
class Carry:
    """Whole milliseconds out of exact ones; what rounding leaves over is carried into the next window.

    Three sums stay within 1 ms of the truth, however many windows there are: active, inactive, and both
    together; and a window without inactive time never reports any (time.md, Invariants).
    """

    active: float = 0.0
    inactive: float = 0.0

    def whole(self, active_ms: float, inactive_ms: float) -> tuple[int, int]:
        """Round one window's exact times."""
        active = self.active + active_ms
        inactive = self.inactive + inactive_ms
        # A carry may be negative, a window's time may not.
        whole_active, whole_inactive = max(0, floor(active)), max(0, floor(inactive))
        rest_active, rest_inactive = active - whole_active, inactive - whole_inactive
        if rest_active + rest_inactive >= 1:
            if inactive_ms > 0 and (active_ms <= 0 or rest_inactive > rest_active):
                whole_inactive += 1
            else:
                whole_active += 1
        self.active, self.inactive = active - whole_active, inactive - whole_inactive
        return whole_active, whole_inactive
