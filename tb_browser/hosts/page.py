"""A browser's page and its life. One quirk a function."""

from typing import Any

from tb_browser._ports import Signal, Stop, Tell
from tb_browser.hosts.browser import BrowserHost

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


class PageHost(BrowserHost):
    """The page that this Python runs in, on its main thread."""

    def __init__(self) -> None:
        super().__init__()
        self._inputs = False
        self._input_ms: float | None = None
        self._busy = list[tuple[float, float]]()
        self._observer: Any = None
        self.tab_token = self._tab_token()

    def was_busy(self, since_ms: float, until_ms: float) -> bool:
        """Whether long tasks fill most of the span. Chromium alone tells of them (Long Tasks API)."""
        self._note_long_tasks(self._observer.takeRecords() if self._observer else ())
        busy_ms = sum(max(0.0, min(end, until_ms) - max(start, since_ms)) for start, end in self._busy)
        return busy_ms > (until_ms - since_ms) / 2

    # --- the page's life ---

    def watch(self, tell: Tell, *, inputs: bool) -> Stop:
        js_document, js_window = self._js.document, self._js.window
        stops = [
            self.listen(js_document, "visibilitychange", lambda event: self._tell_visibility(tell, event)),
            # Leaving for good and for the back/forward cache look alike; only the latter comes back, by pageshow.
            self.listen(js_window, "pagehide", lambda event: tell(Signal.FROZEN, event.timeStamp)),
            self.listen(js_window, "pageshow", lambda event: tell(Signal.THAWED, event.timeStamp)),
            # Chromium tells of freezing too: https://developer.chrome.com/docs/web-platform/page-lifecycle-api
            self.listen(js_document, "freeze", lambda event: tell(Signal.FROZEN, event.timeStamp)),
            self.listen(js_document, "resume", lambda event: tell(Signal.THAWED, event.timeStamp)),
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

    # --- the rest of the world ---

    def absolute(self, url: str) -> str:
        return str(self._js.URL.new(url, self._js.document.baseURI).href)

    # --- quirks ---

    def _tell_visibility(self, tell: Tell, event: Any) -> None:
        tell(Signal.HIDDEN if self.is_hidden() else Signal.SHOWN, event.timeStamp)

    def _watch_inputs(self) -> Stop:
        def note(event: Any) -> None:
            self._input_ms = event.timeStamp

        def stop() -> None:
            self._inputs = False
            unlisten()

        self._inputs = True
        unlisten = _all([self.listen(self._js.window, name, note) for name in INPUT_EVENTS])
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
