"""What the harness reads from windows, and what it draws when an assertion fails."""

from collections.abc import Callable

import pytest

from tb_browser.testing.timeline import Span, Timeline, Window

NOON = 1_748_779_200_000


def window(start_s: float, active_s: float, inactive_s: float = 0, *, arrived_s: float | None = None) -> Window:
    """A window that starts so many seconds after noon."""
    start_ms, active_ms, inactive_ms = (round(each * 1000) for each in (start_s, active_s, inactive_s))
    arrived_ms = None if arrived_s is None else NOON + arrived_s * 1000
    end_ms = NOON + start_ms + active_ms + inactive_ms
    return Window("run-1", NOON + start_ms, end_ms, active_ms, inactive_ms, arrived_ms)


def pieces(spans: list[Span]) -> list[tuple[float, float]]:
    return [((span.start_ms - NOON) / 1000, (span.end_ms - NOON) / 1000) for span in spans]


def message_of(check: Callable[[], None]) -> str:
    with pytest.raises(AssertionError) as raised:
        check()
    return str(raised.value)


WHOLE = Timeline([window(15, 10, 5), window(0, 15)])
BROKEN = Timeline(
    [window(0, 15, arrived_s=15), window(15, 10, 5, arrived_s=30), window(33, 12, arrived_s=47), window(44, 4)],
    duplicates=[window(0, 15, arrived_s=20)],
)


def test_a_whole_line_passes_every_assertion() -> None:
    """Windows that touch are neither gap nor overlap, in whatever order they came."""
    WHOLE.assert_active(25_000)
    WHOLE.assert_inactive(5_000)
    WHOLE.assert_no_gaps()
    WHOLE.assert_counted_once()
    assert (WHOLE.total_ms, WHOLE.gaps, WHOLE.overlaps) == (30_000, [], [])


def test_gaps_and_overlaps_are_found() -> None:
    """Also where a window lies within another, which ends later than the next one starts."""
    assert pieces(BROKEN.gaps) == [(30, 33)]
    assert pieces(BROKEN.overlaps) == [(44, 45)]
    within = Timeline([window(0, 20), window(5, 5), window(12, 2), window(20, 1)])
    assert pieces(within.overlaps) == [(5, 10), (12, 14)]
    assert within.gaps == []


def test_a_failure_draws_the_line() -> None:
    """The message tells what is wrong, then shows it: windows, active and inactive time, gap, overlap, arrivals."""
    drawn = """
run run-1: 4 windows, 1 duplicate, 41 s active, 5 s inactive, 12:00:00.000 to 12:00:48.000 (48 s)
12:00:00.000 |███████████████                                 | 15 s active, 0 s inactive, arrived +0.0 s
12:00:15.000 |               ██████████░░░░░                  | 10 s active, 5 s inactive, arrived +0.0 s
12:00:33.000 |                                 ████████████   | 12 s active, 0 s inactive, arrived +2.0 s
12:00:44.000 |                                            ████| 4 s active, 0 s inactive
         gap |                              ···               | 3 s
       twice |                                            ‼   | 1 s
    arrivals |               ^    ^         ^                ^|
█ active  ░ inactive  · in no window  ‼ counted twice  ^ arrived"""
    cases = {
        "41 s active arrived, expected 60 s ± 0.5 s: -19000 ms": lambda: BROKEN.assert_active(60_000, within_ms=500),
        "5 s inactive arrived, expected 0 s ± 0 s: +5000 ms": lambda: BROKEN.assert_inactive(0),
        "1 gap: 12:00:30.000 to 12:00:33.000 (3 s)": BROKEN.assert_no_gaps,
        "time counted twice: 12:00:44.000 to 12:00:45.000 (1 s)": BROKEN.assert_counted_once,
    }
    for said, check in cases.items():
        assert message_of(check) == said + drawn


def test_a_tolerance_is_kept_to() -> None:
    """Exactly as much as was allowed passes, a millisecond more does not."""
    WHOLE.assert_active(25_100, within_ms=100)
    message_of(lambda: WHOLE.assert_active(25_101, within_ms=100))
    BROKEN.assert_no_gaps(longest_ms=3_000)
    message_of(lambda: BROKEN.assert_no_gaps(longest_ms=2_999))


def test_a_window_that_tells_another_length_than_its_ends() -> None:
    """More time than lies between start and end counts too much, less is lost."""
    odd = Timeline([Window("run-1", NOON, NOON + 10_000, 12_000, 0)])
    said = message_of(odd.assert_counted_once)
    assert said.startswith("windows that do not add up: 12:00:00.000 to 12:00:10.000 (10 s) tells 12 s active")


def test_nothing_arrived() -> None:
    """No window is no failure by itself, but neither is it a line without gaps."""
    empty = Timeline([])
    assert empty.span is None
    empty.assert_active(0)
    empty.assert_counted_once()
    assert message_of(empty.assert_no_gaps) == "no window arrived\nnothing arrived"


def test_an_hour_is_drawn_on_a_few_lines() -> None:
    """Of many windows those that touch share a row; what is wrong still has one of its own."""
    hour = Timeline([window(15 * beat, 15) for beat in range(240)] + [window(3_700, 50, 50)])
    rows = hour.draw().splitlines()
    assert len(rows) == 5
    assert rows[1].endswith("3600 s active, 0 s inactive, 240 windows")
    assert rows[3].strip().startswith("gap |")
