"""A browser's page: its clocks, timers, storage and life. One quirk a function."""

import asyncio
from collections.abc import Callable, Coroutine
from importlib import import_module
from typing import Any

from tb_browser._ports import Moment, Signal, Stop, Storage, Tell
from tb_browser.hosts.page_locks import PageLocks
from tb_browser.hosts.page_storage import PageStorage

LATE_MS = 100.0
"""A timer later than this was kept waiting by Python's own work."""
KEPT_LONG_TASKS = 64

INPUT_EVENTS = (
    "keydown",
    "input",
    "pointerdown",
    "pointermove",
    "wheel",
    "touchstart",
    "touchmove",
    "scroll",
)


class PageHost:
    """The page that this Python runs in, on its main thread."""

    def __init__(self) -> None:
        self._js: Any = import_module("js")
        self._ffi: Any = import_module("pyodide.ffi")
        self._tasks = set[asyncio.Future[None]]()
        self._inputs = False
        self._input_ms: float | None = None
        self._busy = list[tuple[float, float]]()
        self._observer: Any = None
        self._locks = PageLocks(self._js, self._ffi)
        self.storage: Storage = PageStorage()
        self.tab_token = self._tab_token()

    # --- clocks and timers ---

    def now(self) -> Moment:
        return Moment(self._js.performance.now(), self._js.Date.now())

    def after(self, delay_ms: float, call: Callable[[], None]) -> Stop:
        """A timer. One that Python's own work kept waiting lets the page's events go first: they are older."""
        loop = asyncio.get_event_loop()
        due_ms = self.now().mono_ms + delay_ms
        handles = list[asyncio.TimerHandle]()

        def fire() -> None:
            if self.now().mono_ms - due_ms > LATE_MS:
                handles.append(loop.call_later(0, call))
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

    def was_busy(self, since_ms: float, until_ms: float) -> bool:
        """Whether long tasks fill most of the span. Chromium alone tells of them (Long Tasks API)."""
        self._note_long_tasks(self._observer.takeRecords() if self._observer else ())
        busy_ms = sum(max(0.0, min(end, until_ms) - max(start, since_ms)) for start, end in self._busy)
        return busy_ms > (until_ms - since_ms) / 2

    # --- the page's life ---

    def watch(self, tell: Tell, *, inputs: bool) -> Stop:
        js_document, js_window = self._js.document, self._js.window
        stops = [
            self._listen(js_document, "visibilitychange", lambda event: self._tell_visibility(tell, event)),
            # Leaving for good and for the back/forward cache look alike; only the latter comes back, by pageshow.
            self._listen(js_window, "pagehide", lambda event: tell(Signal.FROZEN, event.timeStamp)),
            self._listen(js_window, "pageshow", lambda event: tell(Signal.THAWED, event.timeStamp)),
            # Chromium tells of freezing too: https://developer.chrome.com/docs/web-platform/page-lifecycle-api
            self._listen(js_document, "freeze", lambda event: tell(Signal.FROZEN, event.timeStamp)),
            self._listen(js_document, "resume", lambda event: tell(Signal.THAWED, event.timeStamp)),
            self._watch_long_tasks(),
        ]
        if inputs:
            stops.append(self._watch_inputs())

        return _all(stops)

    def is_hidden(self) -> bool:
        return bool(self._js.document.visibilityState == "hidden")

    def last_input_ms(self) -> float | None:
        if not self._inputs:
            return None
        return self.now().mono_ms if self._media_plays() else self._input_ms

    def visibility_history(self) -> list[tuple[float, bool]]:
        """From `visibility-state` entries (Chromium); empty where the browser kept none."""
        js_entries = self._js.performance.getEntriesByType("visibility-state")
        history = [(float(entry.startTime), entry.name == "visible") for entry in js_entries]
        if not history:
            return []
        since_ms = self._readable_since_ms()
        before = [visible for at_ms, visible in history if at_ms <= since_ms]
        return [(since_ms, before[-1] if before else history[0][1])] + [
            entry for entry in history if entry[0] > since_ms
        ]

    def on_online(self, call: Callable[[], None]) -> Stop:
        return self._listen(self._js.window, "online", lambda _event: call())

    @property
    def online(self) -> bool:
        return bool(self._js.navigator.onLine)

    # --- the rest of the world ---

    async def turn(self) -> None:
        await asyncio.sleep(0)

    def random(self) -> float:
        return float(self._js.Math.random())

    def new_run_id(self) -> str:
        # crypto.randomUUID is missing on plain http; Python's own is there everywhere.
        return str(import_module("uuid").uuid4())

    def absolute(self, url: str) -> str:
        return str(self._js.URL.new(url, self._js.document.baseURI).href)

    def hold(self, name: str, told: Callable[[bool], None]) -> Stop:
        return self._locks.hold(name, told)

    async def held(self) -> frozenset[str] | None:
        return await self._locks.held()

    async def exclusively(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        await self._locks.exclusively(work)

    # --- quirks ---

    def _listen(self, js_target: Any, name: str, call: Callable[[Any], None]) -> Stop:
        js_call = self._ffi.create_proxy(call)
        js_options = self._ffi.to_js({"capture": True, "passive": True}, dict_converter=self._js.Object.fromEntries)
        js_target.addEventListener(name, js_call, js_options)

        def stop() -> None:
            js_target.removeEventListener(name, js_call, js_options)
            js_call.destroy()

        return stop

    def _tell_visibility(self, tell: Tell, event: Any) -> None:
        tell(Signal.HIDDEN if self.is_hidden() else Signal.SHOWN, event.timeStamp)

    def _watch_inputs(self) -> Stop:
        def note(event: Any) -> None:
            self._input_ms = event.timeStamp

        def stop() -> None:
            self._inputs = False
            unlisten()

        self._inputs = True
        unlisten = _all([self._listen(self._js.window, name, note) for name in INPUT_EVENTS])
        return stop

    def _media_plays(self) -> bool:
        """A muted loop is decoration: it keeps nobody active. Media in frames of other origins cannot be seen."""
        return any(
            not (medium.paused or medium.ended or (medium.muted and medium.loop))
            for medium in self._js.document.querySelectorAll("video, audio")
        )

    def _watch_long_tasks(self) -> Stop:
        js_observer_class = getattr(self._js, "PerformanceObserver", None)
        if js_observer_class is None or "longtask" not in js_observer_class.supportedEntryTypes:
            return lambda: None

        def note(js_entries: Any, *_others: Any) -> None:
            self._note_long_tasks(js_entries.getEntries())

        js_call = self._ffi.create_proxy(note)
        self._observer = js_observer_class.new(js_call)
        self._observer.observe(self._ffi.to_js({"type": "longtask"}, dict_converter=self._js.Object.fromEntries))

        def stop() -> None:
            self._observer.disconnect()
            self._observer = None
            js_call.destroy()

        return stop

    def _note_long_tasks(self, js_entries: Any) -> None:
        for entry in js_entries:
            self._busy.append((entry.startTime, entry.startTime + entry.duration))
        del self._busy[:-KEPT_LONG_TASKS]

    def _readable_since_ms(self) -> float:
        """When this page could first be seen: the page before it stays in view until it is unloaded, and counts."""
        for entry in self._js.performance.getEntriesByType("navigation"):
            return max(0.0, float(entry.unloadEventEnd), float(getattr(entry, "activationStart", 0.0)))
        return 0.0

    def _tab_token(self) -> str:
        """Kept in `sessionStorage`, which is the tab's own; private mode and blocked cookies forbid even the look."""
        token = self.new_run_id()
        try:
            js_session = self._js.sessionStorage
            kept = js_session.getItem("tb_browser/tab")
            if isinstance(kept, str):
                return kept
            js_session.setItem("tb_browser/tab", token)
        except self._ffi.JsException:  # SecurityError, QuotaExceededError
            pass
        return token


def _all(stops: list[Stop]) -> Stop:
    def stop() -> None:
        while stops:
            stops.pop()()

    return stop
