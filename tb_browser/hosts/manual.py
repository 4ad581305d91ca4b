"""A world driven by hand: the clock moves when the test says so, and nothing happens in between."""

import heapq
import itertools
import random
import uuid
from collections.abc import Callable, Coroutine
from typing import Any, cast

from tb_browser._ports import Moment, Signal, Stop, Storage, Tell
from tb_browser.hosts.storage import MemoryStorage

_seeds = itertools.count()


class ManualHost:
    """A `Host` for tests without a browser.

    `advance(ms)` moves both clocks and fires the timers that fall due; `tell(signal)` plays the page's life.
    Background work runs to its end inside `advance()`, `settle()` and `tell()`, as far as it does not wait for a
    timer; what it awaits must be a `MemoryTransport`.
    """

    def __init__(self, *, wall_ms: float = 1_748_779_200_000, storage: Storage | None = None) -> None:
        self._now = Moment(0.0, wall_ms)
        self._timers = list[tuple[float, int, Callable[[], None]]]()
        self._count = itertools.count()
        self._dice = random.Random(next(_seeds))  # noqa: S311 - the same numbers at every run of a test
        self._work = list[Coroutine[Any, Any, None]]()
        self._tellers = list[Tell]()
        self._online_calls = list[Callable[[], None]]()
        self._storage = storage or MemoryStorage(durable=True)
        self.hidden = False
        self.busy = False
        self.input_ms: float | None = None
        self.history = list[tuple[float, bool]]()
        self.online = True
        self.tab_token = "tab-1"  # noqa: S105 - names a tab, opens nothing
        self.watching = 0
        self.held_names = dict[str, list[Callable[[bool], None]]]()
        """Who holds each name, and who waits for it; give two hosts the same dict and they are two windows."""

    def __del__(self) -> None:
        """Call off what was never let run."""
        for work in self._work:
            work.close()

    @property
    def storage(self) -> Storage:
        return self._storage

    def now(self) -> Moment:
        return self._now

    def advance(self, ms: float) -> None:
        """Let time pass; every timer fires at its own time."""
        end = self._now.mono_ms + ms
        while self._timers and self._timers[0][0] <= end:
            due, _, call = heapq.heappop(self._timers)
            self._now = Moment(due, self._now.wall_ms + due - self._now.mono_ms)
            call()
            self.settle()
        self._now = Moment(end, self._now.wall_ms + end - self._now.mono_ms)

    def set_wall(self, by_ms: float) -> None:
        """Set the wall clock forwards or backwards."""
        self._now = Moment(self._now.mono_ms, self._now.wall_ms + by_ms)

    def tell(self, signal: Signal, at_ms: float | None = None) -> None:
        """Play a signal of the page's life, as it happened at `at_ms` (now, if left out)."""
        if signal in (Signal.HIDDEN, Signal.SHOWN):
            self.hidden = signal is Signal.HIDDEN
        for teller in list(self._tellers):
            teller(signal, self._now.mono_ms if at_ms is None else at_ms)
        self.settle()

    def go_online(self) -> None:
        """The network is said to be back."""
        self.online = True
        for call in list(self._online_calls):
            call()
        self.settle()

    def settle(self) -> None:
        """Run background work until all of it is done."""
        while self._work:
            self.run(self._work.pop(0))

    def run[Result](self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine that waits for nothing but this world; returns its result."""
        try:
            work.send(None)
        except StopIteration as done:
            return cast("Result", done.value)
        message = "the work waits for something outside this world"
        raise RuntimeError(message)

    def after(self, delay_ms: float, call: Callable[[], None]) -> Stop:
        timer = (self._now.mono_ms + delay_ms, next(self._count), call)
        heapq.heappush(self._timers, timer)

        def stop() -> None:
            if timer in self._timers:
                self._timers.remove(timer)
                heapq.heapify(self._timers)

        return stop

    def watch(self, tell: Tell, *, inputs: bool) -> Stop:  # noqa: ARG002 - set `input_ms`
        self._tellers.append(tell)
        self.watching += 1

        def stop() -> None:
            if tell in self._tellers:
                self._tellers.remove(tell)
                self.watching -= 1

        return stop

    def is_hidden(self) -> bool:
        return self.hidden

    def was_busy(self, since_ms: float, until_ms: float) -> bool:  # noqa: ARG002
        return self.busy

    def last_input_ms(self) -> float | None:
        return self.input_ms

    def visibility_history(self) -> list[tuple[float, bool]]:
        return self.history

    def on_online(self, call: Callable[[], None]) -> Stop:
        self._online_calls.append(call)
        return lambda: self._online_calls.remove(call) if call in self._online_calls else None

    def spawn(self, work: Coroutine[Any, Any, None]) -> bool:
        self._work.append(work)
        return True

    async def turn(self) -> None:
        pass

    def random(self) -> float:
        return self._dice.random()

    def new_run_id(self) -> str:
        return str(uuid.UUID(int=self._dice.getrandbits(128), version=4))

    def absolute(self, url: str) -> str:
        return url if "://" in url else f"https://school.example{url}"

    def hold(self, name: str, told: Callable[[bool], None]) -> Stop:
        waiting = self.held_names.setdefault(name, [])
        waiting.append(told)
        told(len(waiting) == 1)

        def stop() -> None:
            if told not in waiting:
                return
            first = waiting[0] is told
            waiting.remove(told)
            if first and waiting:
                waiting[0](True)

        return stop

    async def held(self) -> frozenset[str] | None:
        return frozenset(name for name, holders in self.held_names.items() if holders)

    async def exclusively(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        await work()
