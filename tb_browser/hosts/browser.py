"""What a page and a worker of a browser have in common: clocks, timers, background work, locks, storage."""

import asyncio
from collections.abc import Callable, Coroutine
from importlib import import_module
from typing import Any

from tb_browser._ports import Moment, Stop, Storage
from tb_browser.hosts.page_locks import PageLocks
from tb_browser.hosts.page_storage import PageStorage

LATE_MS = 100.0
"""A timer later than this was kept waiting by Python's own work."""
TOGETHER_MS = 1.0
"""Two clocks that are read within this are read at one instant."""


class BrowserHost:
    """One JavaScript world in which Python runs."""

    turn_s = 0.0
    """How long events that are older than a late timer may need to arrive."""

    def __init__(self) -> None:
        self._js: Any = import_module("js")
        self._ffi: Any = import_module("pyodide.ffi")
        self._tasks = set[asyncio.Future[None]]()
        self._locks = PageLocks(self._js, self._ffi)
        self.storage: Storage = PageStorage()

    # --- clocks and timers ---

    def now(self) -> Moment:
        # The computer may turn to other work for some ms between two readings, and a window's date would be late by it.
        moment, read_ms = self._read_clocks()
        return moment if read_ms - moment.mono_ms < TOGETHER_MS else self._read_clocks()[0]

    def _read_clocks(self) -> tuple[Moment, float]:
        """Both clocks, and the first of them again."""
        moment = Moment(self._js.performance.now(), self._js.Date.now())
        return moment, self._js.performance.now()

    def after(self, delay_ms: float, call: Callable[[], None]) -> Stop:
        """A timer. One that Python's own work kept waiting lets the page's events go first: they are older."""
        loop = asyncio.get_event_loop()
        due_ms = self.now().mono_ms + delay_ms
        handles = list[asyncio.TimerHandle]()

        def fire() -> None:
            if self.now().mono_ms - due_ms > LATE_MS:
                handles.append(loop.call_later(self.turn_s, call))
            else:
                call()

        def stop() -> None:
            for handle in handles:
                handle.cancel()

        handles.append(loop.call_later(delay_ms / 1000, fire))
        return stop

    def spawn(self, work: Coroutine[Any, Any, None]) -> bool:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def turn(self) -> None:
        await asyncio.sleep(self.turn_s)

    # --- the rest of the world ---

    def on_online(self, call: Callable[[], None]) -> Stop:
        return self.listen(self._js.self, "online", lambda _event: call())

    @property
    def online(self) -> bool:
        return bool(self._js.navigator.onLine)

    def random(self) -> float:
        return float(self._js.Math.random())

    def new_run_id(self) -> str:
        # crypto.randomUUID is missing on plain http; Python's own is there everywhere.
        return str(import_module("uuid").uuid4())

    def hold(self, name: str, told: Callable[[bool], None]) -> Stop:
        return self._locks.hold(name, told)

    async def held(self) -> frozenset[str] | None:
        return await self._locks.held()

    async def exclusively(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        await self._locks.exclusively(work)

    def listen(self, js_target: Any, name: str, call: Callable[[Any], None]) -> Stop:
        """Listen to an event of a JavaScript object."""
        js_call = self._ffi.create_proxy(call)
        js_options = self._ffi.to_js({"capture": True, "passive": True}, dict_converter=self._js.Object.fromEntries)
        js_target.addEventListener(name, js_call, js_options)

        def stop() -> None:
            js_target.removeEventListener(name, js_call, js_options)
            js_call.destroy()

        return stop
