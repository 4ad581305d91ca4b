"""Python outside a page: an ordinary process, a notebook's kernel. Clocks of the system, timers of asyncio."""

import asyncio
import atexit
import random
import sys
import time
import uuid
from collections.abc import Callable, Coroutine
from typing import Any

from tb_browser._ports import Moment, Signal, Stop, Storage, Tell
from tb_browser.hosts.storage import MemoryStorage


def _nothing() -> None:
    pass


class PlainHost:
    """Nobody can hide or freeze this world; it ends when the interpreter does."""

    def __init__(self) -> None:
        self._storage = MemoryStorage()
        self._tasks = set[asyncio.Task[None]]()
        self._sending = asyncio.Lock()
        self.tab_token = str(uuid.uuid4())
        self.online = True

    @property
    def storage(self) -> Storage:
        return self._storage

    def now(self) -> Moment:
        return Moment(time.monotonic() * 1000, time.time() * 1000)

    def after(self, delay_ms: float, call: Callable[[], None]) -> Stop:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # no loop, no timers: time is kept all the same, and sent at the end
            return _nothing
        return loop.call_later(delay_ms / 1000, call).cancel

    def watch(self, tell: Tell, *, inputs: bool) -> Stop:  # noqa: ARG002 - there is nothing to touch
        def leave() -> None:
            tell(Signal.FROZEN, self.now().mono_ms)

        atexit.register(leave)
        return lambda: atexit.unregister(leave)

    def is_hidden(self) -> bool:
        return False

    def was_busy(self, since_ms: float, until_ms: float) -> bool:  # noqa: ARG002
        # The monotonic clock stops while the machine sleeps, except on Windows: elsewhere a late wake-up is work.
        return sys.platform != "win32"

    def last_input_ms(self) -> float | None:
        return None

    def visibility_history(self) -> list[tuple[float, bool]]:
        return []

    def on_online(self, call: Callable[[], None]) -> Stop:  # noqa: ARG002 - no such event here
        return _nothing

    def spawn(self, work: Coroutine[Any, Any, None]) -> bool:
        try:
            task = asyncio.get_running_loop().create_task(work)
        except RuntimeError:  # no loop, nobody to run it
            work.close()
            return False
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def turn(self) -> None:
        await asyncio.sleep(0)

    def random(self) -> float:
        return random.random()  # noqa: S311 - jitter, not secrets

    def new_run_id(self) -> str:
        return str(uuid.uuid4())

    def absolute(self, url: str) -> str:
        return url

    def hold(self, name: str, told: Callable[[bool], None]) -> Stop:  # noqa: ARG002 - there are no other pages
        return _nothing

    async def held(self) -> frozenset[str] | None:
        return frozenset()

    async def exclusively(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async with self._sending:
            await work()
