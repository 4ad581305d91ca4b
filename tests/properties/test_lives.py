"""Random lives of a student's pages: one or two windows, a server with every fault, crashes; nothing counts twice."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tb_browser._outbox import Entry
from tb_browser._ports import NoAnswer, Signal
from tb_browser.errors import LossReason, TimebackError
from tb_browser.hosts.storage import MemoryStorage
from tests.driven import MODES, RESET, VERIFIED, WALL, Page, Server, add_up, span, together

type Span = tuple[float, float]


class Life:
    """One student, one run, up to two windows side by side; and what an accountant outside would write down.

    The windows' times are told apart by their activity's name, which each has its own of. Window 0 begins its
    windows at even milliseconds and window 1 at odd ones: two that begin at the same instant are another test's.
    """

    def __init__(self) -> None:
        self.server = Server(self.now_s)
        self.storage = MemoryStorage(durable=True)
        self.pages = dict[int, Page]()
        self.lost: dict[str, list[Span]] = {"0": [], "1": []}
        self.tracked_s = {"0": 0.0, "1": 0.0}
        self.crashes = {"0": 0, "1": 0}
        self.opened = 0
        self.seen_ms = 0.0
        self.counted_ms = 0
        self.wall_ms: float = WALL
        self.open(0)

    def now_s(self) -> float:
        return (max([self.wall_ms, *(page.host.now().wall_ms for page in self.pages.values())]) - WALL) / 1000

    # --- what happens ---

    def advance(self, ms: float) -> None:
        together(ms, *self.pages.values())
        self.wall_ms += ms
        self.seen_ms += ms if any(not page.host.hidden for page in self.pages.values()) else 0

    def open(self, which: int, tab: str | None = None) -> None:
        """A window is opened, beside the other one if that is open."""
        if which in self.pages:
            return
        self.in_step(which)
        self.opened += 1
        page = Page(
            storage=self.storage,
            wall_ms=self.wall_ms,
            tab=tab or f"tab-{self.opened}",
            answer=self.server.answer,
            can_guard=self.opened % 2 == 0,
            beside=next(iter(self.pages.values()), None),
        )
        self.pages[which] = page
        self.set_mode(self.server.mode)
        self.note_losses(page)
        page.start(name=str(which))

    def hide(self, which: int) -> None:
        if which in self.pages and not self.pages[which].host.hidden:
            self.in_step(which)
            self.pages[which].host.tell(Signal.HIDDEN)

    def show(self, which: int) -> None:
        if which in self.pages and self.pages[which].host.hidden:
            self.in_step(which)
            self.pages[which].host.tell(Signal.SHOWN)

    def flush(self, which: int) -> None:
        if which in self.pages:
            self.in_step(which)
            self.pages[which].host.run(self.pages[which].activity.flush())

    def close(self, which: int, *, leaving: bool, guard_fires: bool) -> None:
        """A window is gone, on its way out or suddenly; what stood guard is sent by the browser, or not."""
        page = self.pages.get(which)
        if page is None:
            return
        page.die(leaving=leaving)
        if guard_fires:
            for guard in page.transport.guards:
                self.server.answer(guard)
        self.account(which)
        self.crashes[str(which)] += 1
        del self.pages[which]

    def crash(self, which: int, gap_ms: float, *, leaving: bool, guard_fires: bool, same_tab: bool) -> None:
        """A window is gone, and another one is opened in its place after a while."""
        if which in self.pages:
            tab = self.pages[which].tab
            self.close(which, leaving=leaving, guard_fires=guard_fires)
            self.advance(gap_ms)
            self.open(which, tab if same_tab else None)

    def set_mode(self, mode: str) -> None:
        self.server.mode = mode
        for page in self.pages.values():
            page.verify = RESET if isinstance(MODES[mode], NoAnswer) else VERIFIED

    # --- what must hold ---

    def check(self) -> None:
        assert all(add_up(page.stats) for page in self.pages.values())
        for spans in self.server.taken.values():
            for (_, earlier_end), (later_start, _) in pairwise(sorted(spans)):
                assert earlier_end <= later_start, "time was counted twice"
        assert self.server.active_ms <= self.seen_ms, "two windows counted at once"

    def settle_up(self) -> None:
        """The server is well, the person comes back, and everything that waits has ten minutes."""
        for which in (0, 1):
            self.close(which, leaving=False, guard_fires=False)
        self.set_mode("ok")
        self.advance(1_000)
        self.open(0)
        self.flush(0)
        self.advance(300_000)
        self.flush(0)
        page = self.pages[0]
        assert page.host.run(page.activity.end()).waiting == 0
        self.account(0)
        self.check()
        assert page.stats.waiting == 0
        assert self.storage.content == {}
        assert abs(self.counted_ms - self.seen_ms) <= self.opened, "what was seen counts in one window"
        for name, tracked_s in self.tracked_s.items():
            taken = self.server.taken.get(name, [])
            rounding_s = 0.001 * self.opened
            assert sum(end - start for start, end in taken) <= tracked_s + rounding_s
            accounted_s = covered([*taken, *self.lost[name]])
            assert accounted_s >= tracked_s - 1.001 * self.crashes[name] - rounding_s, "time vanished"

    # --- inside ---

    def in_step(self, which: int) -> None:
        if int(self.wall_ms) % 2 != which:
            self.advance(1)

    def note_losses(self, page: Page) -> None:
        backlog = page.client._delivery._backlog
        lose = backlog.lose

        def noted(entry: Entry, reason: LossReason, error: TimebackError | None = None) -> None:
            self.lost[entry.activity.name].append(span(entry))
            lose(entry, reason, error)

        backlog.lose = noted

    def account(self, which: int) -> None:
        activity = self.pages[which].activity
        self.counted_ms += activity.total_active_ms
        self.tracked_s[str(which)] += (activity.total_active_ms + activity.total_inactive_ms) / 1000


def covered(intervals: list[Span]) -> float:
    """How much time lies in at least one of the intervals."""
    total, until = 0.0, float("-inf")
    for start, end in sorted(intervals):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


type Event = Callable[[Life], None]
windows = st.sampled_from([0, 0, 1])


def event(name: str, *given: st.SearchStrategy[Any], **named: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """One thing that may happen, by the name of the method that plays it."""
    return st.tuples(st.just(name), st.tuples(*given), st.fixed_dictionaries(named))


events = st.one_of(
    event("advance", st.sampled_from([300, 1_000, 4_700, 15_000, 15_000, 40_000])),
    event("advance", st.sampled_from([100_000, 250_000])),
    event("set_mode", st.sampled_from(sorted(MODES))),
    event("hide", windows),
    event("show", windows),
    event("flush", windows),
    event("open", windows),
    event("close", st.just(1), leaving=st.booleans(), guard_fires=st.booleans()),
    event(
        "crash",
        windows,
        st.sampled_from([500, 5_500, 20_000, 400_000]),
        leaving=st.booleans(),
        guard_fires=st.booleans(),
        same_tab=st.booleans(),
    ),
)


@given(st.lists(events, max_size=14))
def test_nothing_counts_twice_and_nothing_vanishes(
    happenings: list[tuple[str, tuple[Any, ...], dict[str, Any]]],
) -> None:
    """Whatever happens, no time is counted twice; what is not delivered waits, or was lost with a reason.

    A crash costs at most the second since the last checkpoint; of two windows with one run, one counts at a time.
    """
    life = Life()
    for name, args, named in happenings:
        getattr(life, name)(*args, **named)
        life.check()
    life.settle_up()
