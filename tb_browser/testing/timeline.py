"""What arrived, as a line of time: sums, gaps, time counted twice, and assertions that draw it when they fail.

Pure: windows come in, numbers and text go out. Milliseconds everywhere; starts and ends are wall-clock milliseconds
since 1970, as the pages told them.

    timeline = timeback_server.timeline(run_id)
    timeline.assert_active(60_000, within_ms=100)
    timeline.assert_counted_once()
    timeline.assert_no_gaps()
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

__all__ = ["Span", "Timeline", "Window"]

BAR_COLUMNS = 48
MOST_ROWS = 24
"""With more windows than this, those that touch share a row."""
ACTIVE, INACTIVE, GAP, TWICE, ARRIVAL = "█", "░", "·", "‼", "^"


@dataclass(frozen=True)
class Span:
    """A piece of time, `[start_ms, end_ms)`."""

    start_ms: int
    end_ms: int

    @property
    def length_ms(self) -> int:
        """How long it is, in milliseconds."""
        return self.end_ms - self.start_ms

    def __str__(self) -> str:
        return f"{_clock(self.start_ms)} to {_clock(self.end_ms)} ({_seconds(self.length_ms)})"


@dataclass(frozen=True)
class Window:
    """One window of time as a server took it (protocol.md, POST /activity/heartbeat)."""

    run_id: str
    started_at_ms: int
    ended_at_ms: int
    active_ms: int
    inactive_ms: int
    arrived_at_ms: float | None = None
    """When the server had it, on the server's wall clock; None if nobody noted it."""
    activity_id: str = ""
    email: str | None = None
    """Who was signed in when it was taken; None if nobody noted it."""

    @property
    def span(self) -> Span:
        """From its start to its end."""
        return Span(self.started_at_ms, self.ended_at_ms)


class Timeline:
    """The windows of one run, or of several, in the order of their starts; `duplicates` arrived and counted nothing."""

    def __init__(self, windows: Iterable[Window], duplicates: Iterable[Window] = ()) -> None:
        self.windows = tuple(sorted(windows, key=lambda window: (window.started_at_ms, window.ended_at_ms)))
        self.duplicates = tuple(duplicates)

    @property
    def active_ms(self) -> int:
        """All active time that counts."""
        return sum(window.active_ms for window in self.windows)

    @property
    def inactive_ms(self) -> int:
        """All inactive time that counts."""
        return sum(window.inactive_ms for window in self.windows)

    @property
    def total_ms(self) -> int:
        """Active and inactive time together."""
        return self.active_ms + self.inactive_ms

    @property
    def span(self) -> Span | None:
        """From the first start to the last end; None if nothing arrived."""
        if not self.windows:
            return None
        return Span(self.windows[0].started_at_ms, max(window.ended_at_ms for window in self.windows))

    @property
    def gaps(self) -> list[Span]:
        """The pieces between the first start and the last end that lie in no window."""
        return [Span(until, start) for until, start in self._seams() if start > until]

    @property
    def overlaps(self) -> list[Span]:
        """The pieces that lie in more than one window, and so count more than once."""
        found = list[Span]()
        until = None
        for window in self.windows:
            if until is not None and window.started_at_ms < until:
                found.append(Span(window.started_at_ms, min(until, window.ended_at_ms)))
            until = window.ended_at_ms if until is None else max(until, window.ended_at_ms)
        return found

    def assert_active(self, expected_ms: float, *, within_ms: float = 0) -> None:
        """Fail unless the active time is `expected_ms`, give or take `within_ms`."""
        self._assert_near("active", self.active_ms, expected_ms, within_ms)

    def assert_inactive(self, expected_ms: float, *, within_ms: float = 0) -> None:
        """Fail unless the inactive time is `expected_ms`, give or take `within_ms`."""
        self._assert_near("inactive", self.inactive_ms, expected_ms, within_ms)

    def assert_no_gaps(self, *, longest_ms: float = 0) -> None:
        """Fail if nothing arrived, or if a piece longer than `longest_ms` lies in no window."""
        gaps = [gap for gap in self.gaps if gap.length_ms > longest_ms]
        self._assert(bool(self.windows), "no window arrived")
        self._assert(not gaps, f"{_count(len(gaps), 'gap')}: {_listed(gaps)}")

    def assert_counted_once(self) -> None:
        """Fail if time counts twice, also in two runs at once, or if a window tells another length than its ends."""
        overlaps = self.overlaps
        self._assert(not overlaps, f"time counted twice: {_listed(overlaps)}")
        odd = [window for window in self.windows if window.active_ms + window.inactive_ms != window.span.length_ms]
        told = ", ".join(f"{window.span} tells {_split(window)}" for window in odd)
        self._assert(not odd, f"windows that do not add up: {told}")

    def draw(self) -> str:
        """A small drawing, one row a window; a window's active time is drawn first, as the wire does not say when.

        █ active, ░ inactive, · in no window, ‼ in two, ^ arrived (left edge: the start, right edge: the last end).
        """
        span = self.span
        duplicates = f", {_count(len(self.duplicates), 'duplicate')}" if self.duplicates else ""
        if span is None:
            return f"nothing arrived{duplicates}"
        runs = ", ".join(sorted({window.run_id for window in self.windows}))
        head = f"run {runs}: {_count(len(self.windows), 'window')}{duplicates}"
        lines = [
            f"{head}, {_seconds(self.active_ms)} active, {_seconds(self.inactive_ms)} inactive, {span}",
            *(_row(group, span) for group in _grouped(self.windows)),
            *_lane("gap", GAP, self.gaps, span),
            *_lane("twice", TWICE, self.overlaps, span),
            *self._arrivals(span),
            f"{ACTIVE} active  {INACTIVE} inactive  {GAP} in no window  {TWICE} counted twice  {ARRIVAL} arrived",
        ]
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.draw()

    def _seams(self) -> list[tuple[int, int]]:
        """(end of all before, start) at every window but the first."""
        seams = list[tuple[int, int]]()
        until = None
        for window in self.windows:
            if until is not None:
                seams.append((until, window.started_at_ms))
            until = window.ended_at_ms if until is None else max(until, window.ended_at_ms)
        return seams

    def _arrivals(self, span: Span) -> list[str]:
        arrived = [w.arrived_at_ms for w in (*self.windows, *self.duplicates) if w.arrived_at_ms is not None]
        if not arrived:
            return []
        cells = [" "] * BAR_COLUMNS
        for at_ms in arrived:
            cells[_column(at_ms, span)] = ARRIVAL
        late_ms = max(arrived) - span.end_ms
        last = f"the last one {_seconds(late_ms)} after the last end" if late_ms > 0 else ""
        return [f"{'arrivals':>12} |{''.join(cells)}| {last}".rstrip()]

    def _assert_near(self, what: str, got_ms: float, expected_ms: float, within_ms: float) -> None:
        difference = got_ms - expected_ms
        lead = f"{_seconds(got_ms)} {what} arrived, expected {_seconds(expected_ms)} ± {_seconds(within_ms)}"
        self._assert(abs(difference) <= within_ms, f"{lead}: {difference:+.0f} ms")

    def _assert(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise AssertionError(f"{otherwise}\n{self.draw()}")


def _grouped(windows: Sequence[Window]) -> list[list[Window]]:
    """One row each; if that is too many, a row for all that touch."""
    groups = list[list[Window]]()
    for window in windows:
        touching = bool(groups) and groups[-1][-1].ended_at_ms == window.started_at_ms
        if len(windows) > MOST_ROWS and touching:
            groups[-1].append(window)
        else:
            groups.append([window])
    return groups


def _row(group: Sequence[Window], span: Span) -> str:
    first, last = group[0], group[-1]
    cells = [" "] * BAR_COLUMNS
    for window in group:
        turn_ms = window.started_at_ms + window.active_ms
        for piece, mark in (
            (Span(window.started_at_ms, min(turn_ms, window.ended_at_ms)), ACTIVE),
            (Span(turn_ms, window.ended_at_ms), INACTIVE),
        ):
            _fill(cells, piece, mark, span)
    together = Window(
        first.run_id,
        first.started_at_ms,
        last.ended_at_ms,
        sum(window.active_ms for window in group),
        sum(window.inactive_ms for window in group),
    )
    many = f", {len(group)} windows" if len(group) > 1 else ""
    return f"{_clock(first.started_at_ms)} |{''.join(cells)}| {_split(together)}{many}{_arrived(last)}"


def _arrived(window: Window) -> str:
    if window.arrived_at_ms is None:
        return ""
    return f", arrived {(window.arrived_at_ms - window.ended_at_ms) / 1000:+.1f} s"


def _lane(name: str, mark: str, pieces: Sequence[Span], span: Span) -> list[str]:
    if not pieces:
        return []
    cells = [" "] * BAR_COLUMNS
    for piece in pieces:
        _fill(cells, piece, mark, span)
    return [f"{name:>12} |{''.join(cells)}| {_seconds(sum(piece.length_ms for piece in pieces))}"]


def _fill(cells: list[str], piece: Span, mark: str, span: Span) -> None:
    """Draw every piece that has a length, be it as small as may be."""
    if piece.length_ms > 0:
        first = _column(piece.start_ms, span)
        for column in range(first, max(first + 1, _edge(piece.end_ms, span))):
            cells[column] = mark


def _edge(at_ms: float, span: Span) -> int:
    share = (at_ms - span.start_ms) / max(1, span.length_ms)
    return round(min(1.0, max(0.0, share)) * BAR_COLUMNS)


def _column(at_ms: float, span: Span) -> int:
    return min(BAR_COLUMNS - 1, _edge(at_ms, span))


def _split(window: Window) -> str:
    return f"{_seconds(window.active_ms)} active, {_seconds(window.inactive_ms)} inactive"


def _seconds(ms: float) -> str:
    return f"{ms / 1000:.3f}".rstrip("0").rstrip(".") + " s"


def _clock(ms: float) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    return moment.strftime("%H:%M:%S.") + f"{moment.microsecond // 1000:03d}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _listed(pieces: Sequence[Span]) -> str:
    return ", ".join(map(str, pieces[:5])) + (", …" if len(pieces) > 5 else "")
