"""The face for JavaScript: `publish(timeback)` makes a client `window.timeback` for the page's own scripts.

Names are camelCase there, what is awaited is a promise, what goes wrong is an `Error` with the name, the message and
the fields of ours, and callbacks are JavaScript's. The shape of the objects stands in `javascript.js`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Final, cast

from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from tb_browser._arguments import as_mapping, from_js
from tb_browser._callbacks import ErrorContext
from tb_browser.activity import Activity
from tb_browser.client import Timeback
from tb_browser.errors import InvalidInputError

_OPTIONS_REMEDY: Final = "Give an object such as {id, name, course}."
_CALLBACKS: Final = frozenset({"onError", "onPause", "onResume", "onFlush"})


def publish(timeback: Timeback, name: str = "timeback") -> Callable[[], None]:
    """Make a client known to the page's JavaScript as `window[name]`; the result takes it back.

    Scripts find it there from now on, and the event `timebackchange` on `window` tells them. Taking it back destroys
    the proxies that it consists of; end the activity first. It works in the browser only, and needs a content
    security policy, if there is one, that allows `'unsafe-eval'`. Raises InvalidInputError if the name is taken.
    """
    js: Any = import_module("js")
    if not name.isidentifier() or js.Object.hasOwn(js.globalThis, name):
        raise InvalidInputError("name", f"{name!r} is no name, or taken on this page", "Give another name.")
    bridge = _Bridge(timeback)
    js_python = bridge.ffi.create_proxy(bridge)
    source = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
    bridge.js_face = import_module("pyodide.code").run_js(source)(js_python, name)

    def withdraw() -> None:
        if bridge.js_face is not None:
            bridge.js_face.withdraw()
            bridge.js_face = bridge.latest = None
            js_python.destroy()

    return withdraw


class _Bridge:
    """What `javascript.js` asks of Python. Results are pairs [error, value], because only JavaScript can throw."""

    def __init__(self, timeback: Timeback) -> None:
        self._timeback = timeback
        self._js: Any = import_module("js")
        self.ffi: Any = import_module("pyodide.ffi")
        self.js_face: Any = None
        self.latest: tuple[Activity, Any] | None = None
        self._tasks = set[asyncio.Task[None]]()

    # --- the client ---

    def start(self, js_options: Any) -> Any:
        """Start an activity; one that runs already is returned, as React's strict mode mounts everything twice."""

        def start() -> Any:
            options = as_mapping("options", js_options, _OPTIONS_REMEDY)
            running = self._timeback.activity.current
            if running is not None and _is_same(running, options):
                return self._face_of(running)
            for name in _CALLBACKS & options.keys():
                options[name] = self._callback(options[name])
            return self._face_of(self._timeback.activity.start(**options))

        return self._outcome(start)

    def current(self) -> Any:
        """The running activity's face, or null."""
        running = self._timeback.activity.current
        return None if running is None else self._face_of(running)

    def me(self, js_told: Any) -> None:
        self._promise(self._timeback.user.me, js_told)

    def verify(self, js_told: Any) -> None:
        self._promise(self._timeback.user.verify, js_told)

    def sign_in_url(self, js_options: Any) -> Any:
        def url() -> str:
            given = from_js(js_options)
            return self._timeback.sign_in_url(**as_mapping("options", given if given is not None else {}, "{returnTo}"))

        return self._outcome(url)

    def sign_out_url(self) -> str:
        return self._timeback.sign_out_url()

    def flush(self, js_told: Any) -> None:
        self._promise(self._timeback.flush, js_told)

    def close(self, js_told: Any) -> None:
        self._promise(self._timeback.aclose, js_told)

    # --- an activity ---

    def pause(self, activity: Activity) -> Any:
        return self._outcome(activity.pause)

    def resume(self, activity: Activity) -> Any:
        return self._outcome(activity.resume)

    def stats(self, activity: Activity) -> Any:
        return self._to_js(activity.stats)

    def flush_activity(self, activity: Activity, js_told: Any) -> None:
        self._promise(activity.flush, js_told)

    def end(self, activity: Activity, js_metrics: Any, js_told: Any) -> None:
        """Time ends before this returns, as in Python."""
        self._promise(lambda: activity.end(from_js(js_metrics)), js_told)

    # --- inside ---

    def _face_of(self, activity: Activity) -> Any:
        if self.latest is None or self.latest[0] is not activity:
            facts = {
                "id": activity.id,
                "name": activity.name,
                "course": activity.course,
                "run_id": activity.run_id,
                "started_at": activity.started_at,
            }
            # Freed with the object in JavaScript that holds it, which may outlive the activity.
            js_activity = self.js_face.activity(self.ffi.create_proxy(activity), self._to_js(facts))
            self.latest = activity, js_activity
        return self.latest[1]

    def _callback(self, js_callback: Any) -> Any:
        """What JavaScript gave, called with its own kind of values; a promise that it returns is awaited."""

        def call(*args: Any) -> Any:
            return js_callback(*(self._error(arg) if isinstance(arg, Exception) else self._to_js(arg) for arg in args))

        return call if callable(js_callback) else js_callback

    def _outcome(self, call: Callable[[], Any]) -> Any:
        try:
            return self._js.Array.of(None, call())
        except Exception as error:  # noqa: BLE001 - JavaScript's to catch
            return self._js.Array.of(self._error(error))

    def _promise(self, begin: Callable[[], Awaitable[Any]], js_told: Any) -> None:
        """Begin at once, and tell the pair once it is known."""
        try:
            work = begin()
        except Exception as error:  # noqa: BLE001 - JavaScript's to catch
            js_told(self._js.Array.of(self._error(error)))
            return

        async def tell() -> None:
            try:
                js_pair = self._js.Array.of(None, self._to_js(await work))
            except Exception as error:  # noqa: BLE001 - JavaScript's to catch
                js_pair = self._js.Array.of(self._error(error))
            js_told(js_pair)

        task = asyncio.ensure_future(tell())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _error(self, error: BaseException) -> Any:
        fields = {name: value for name, value in vars(error).items() if not name.startswith("_")}
        retryable = getattr(error, "retryable", False)
        return self.js_face.error(type(error).__name__, str(error), self._to_js({**fields, "retryable": retryable}))

    def _to_js(self, value: Any) -> Any:
        return self.ffi.to_js(_plain(value), dict_converter=self._js.Object.fromEntries)


def _is_same(running: Activity, options: Mapping[str, Any]) -> bool:
    run_id = options.get("runId", options.get("run_id"))
    return options.get("id") == running.id and run_id in (None, running.run_id)


def _plain(value: Any) -> Any:
    """As JSON would have it, in camelCase; what is not known is absent."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True, exclude_none=True)
    if isinstance(value, ErrorContext):
        return _plain(asdict(value))
    if isinstance(value, datetime):
        return value.timestamp() * 1000
    if isinstance(value, dict):
        named = cast("dict[str, Any]", value)
        return {to_camel(name): _plain(inner) for name, inner in named.items() if inner is not None}
    return value
