"""What pages of one origin must not do at the same time, by Web Locks.

Without them (plain http, old browsers) pages do not know of each other, and each does as it would alone.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from tb_browser._ports import Stop

ALONE = "tb_browser/alone"
PATIENCE_MS = 5_000
"""A frozen page keeps its locks; others do without what they wanted then."""


class PageLocks:
    """Locks of a page; they end with it, whatever ends it."""

    def __init__(self, js: Any, ffi: Any) -> None:
        self._js = js
        self._ffi = ffi
        self._js_locks = getattr(js.navigator, "locks", None)
        self._here = asyncio.Lock()
        self._tasks = set[asyncio.Future[None]]()

    async def exclusively(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `work` while no other page of this origin runs its own; leave it, if another one takes too long."""
        if self._js_locks is None:
            async with self._here:
                await work()
            return

        async def held(_js_lock: Any) -> None:
            await work()

        js_held = self._ffi.create_proxy(held)
        options = self._ffi.to_js(
            {"signal": self._js.AbortSignal.timeout(PATIENCE_MS)}, dict_converter=self._js.Object.fromEntries
        )
        try:
            await self._js_locks.request(ALONE, options, js_held)
        except self._ffi.JsException:
            pass  # TimeoutError
        finally:
            js_held.destroy()

    async def held(self) -> frozenset[str] | None:
        """The names that pages of this origin hold now; None where nobody can tell."""
        if self._js_locks is None:
            return None
        js_state = await self._js_locks.query()
        return frozenset(str(js_lock.name) for js_lock in js_state.held)

    def hold(self, name: str, told: Callable[[bool], None]) -> Stop:
        """Hold a name until stopped; told True once it is ours, False if another page has it."""
        if self._js_locks is None:
            return lambda: None
        claim = _Claim(self._js, self._ffi, told)
        task = asyncio.ensure_future(claim.ask(self._js_locks, name))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return claim.stop


class _Claim:
    """One name wanted. It is let go by a promise, in a microtask: a page may be frozen right after its handler."""

    def __init__(self, js: Any, ffi: Any, told: Callable[[bool], None]) -> None:
        self._js = js
        self._ffi = ffi
        self._told = told
        self._js_let_go: Any = None
        js_executor = ffi.create_proxy(self._note_resolver)
        self._js_held = js.Promise.new(js_executor)
        js_executor.destroy()
        self._js_controller = js.AbortController.new()
        self._taken = False

    async def ask(self, js_locks: Any, name: str) -> None:
        """Ask for the name at once, and else in turn; returns when it is let go."""
        js_at_once, js_in_turn = (self._ffi.create_proxy(call) for call in (self._at_once, self._in_turn))
        try:
            await js_locks.request(name, self._options(ifAvailable=True), js_at_once)
            if self._taken:
                await js_locks.request(name, self._options(signal=self._js_controller.signal), js_in_turn)
        except self._ffi.JsException:
            pass  # AbortError: nobody waits for it any more
        finally:
            js_at_once.destroy()
            js_in_turn.destroy()

    def stop(self) -> None:
        """Let the name go, or stop waiting for it."""
        self._js_controller.abort()
        self._js_let_go(None)

    def _note_resolver(self, js_resolve: Any, _js_reject: Any) -> None:
        self._js_let_go = js_resolve

    def _at_once(self, js_lock: Any) -> Any:
        self._taken = not js_lock
        if not self._js_controller.signal.aborted:
            self._told(not self._taken)
        return self._js_held if js_lock else None

    def _in_turn(self, _js_lock: Any) -> Any:
        self._told(True)
        return self._js_held

    def _options(self, **options: Any) -> Any:
        return self._ffi.to_js(options, dict_converter=self._js.Object.fromEntries)
