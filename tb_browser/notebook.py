"""One line for a notebook: a badge that shows the learner's time while it is tracked. Needs `tb-browser[notebook]`.

    from tb_browser.notebook import track

    track(id="fractions-1", name="Fractions", course={"subject": "Math", "grade": 3})

In JupyterLite and in marimo in the browser, Python runs in a worker and the badge's module is the page's part; with an
ordinary kernel the kernel sends, also after the page is gone.
"""

import sys
import uuid
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Final

import anywidget
import traitlets
from IPython.core.getipython import get_ipython

from tb_browser.activity import Activity
from tb_browser.auth import Auth
from tb_browser.backlog import owner_of
from tb_browser.client import CourseInput, Timeback, TimeInput, create_client
from tb_browser.errors import ActivityInProgressError

_ASSETS: Final = files("tb_browser") / "assets"
_SHOW_MS: Final = 1_000.0
_KEPT: Final = "tb_browser"
"""Where a cell's metadata keep the run."""

_badges: list["Badge"] = []
"""The badge of the activity that runs, or ran last."""


def _text(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


class Badge(anywidget.AnyWidget):
    """What `track()` shows: running time, state, last delivery, pause and resume. `activity` is the Activity."""

    _esm = _text("page.js") + _text("badge.js")
    _css = _text("badge.css")
    key: Any = traitlets.Unicode().tag(sync=True)
    channel: Any = traitlets.Unicode().tag(sync=True)
    shown: Any = traitlets.Dict().tag(sync=True)
    kept: Any = traitlets.Dict().tag(sync=True)
    """What the page is to write into the metadata of a cell, and which cell that is."""

    def __init__(self, client: Mapping[str, Any], start: Mapping[str, Any]) -> None:
        key = str(uuid.uuid4())
        channel = f"tb_browser/{key}" if sys.platform == "emscripten" else ""
        super().__init__(key=key, channel=channel)
        self._delivered_at: int | None = None
        self._trouble: str | None = None
        self.host = self._host()
        self.timeback: Timeback = create_client(**client, host=self.host)
        self.activity: Activity = self.timeback.activity.start(
            **start, on_error=self._note_trouble, on_flush=self._note_delivery
        )
        self.on_msg(self._on_message)  # pyright: ignore[reportUnknownMemberType] - ipywidgets leaves its type open
        self._show()

    def __repr__(self) -> str:
        known = "" if self.host.visibility_known else ", visibility unknown"
        return f"<{self.activity!r}{known}>"

    def _host(self) -> Any:
        """Where this kernel runs: a worker of a browser, or an ordinary process."""
        if self.channel:
            from tb_browser.hosts.worker import WorkerHost  # noqa: PLC0415 - exists in the browser only

            return WorkerHost(self.channel)
        from tb_browser.hosts.kernel import KernelHost  # noqa: PLC0415 - asyncio timers, which a worker has not

        def post(message: dict[str, Any]) -> None:
            self.send({"relay": message})  # pyright: ignore[reportUnknownMemberType] - as above

        return KernelHost(post)

    def _on_message(self, _widget: object, content: Mapping[str, Any], _buffers: object) -> None:
        if "relay" in content:
            self.host.take(content["relay"])
        elif not self.activity.ended:
            if content.get("ask") == "pause":
                self.activity.pause()
            elif content.get("ask") == "resume":
                self.activity.resume()
            self._write()

    def _note_delivery(self, _active_ms: float) -> None:
        self._delivered_at, self._trouble = int(self.host.now().wall_ms), None
        self._write()

    def _note_trouble(self, error: Exception, _context: object) -> None:
        self._trouble = str(error)
        self._write()

    def _show(self) -> None:
        self._write()
        if not self.activity.ended:
            self.host.after(_SHOW_MS, self._show)

    def _write(self) -> None:
        activity = self.activity
        self.shown = {
            "name": activity.name,
            "state": "ended" if activity.ended else "paused" if activity.is_paused else "running",
            "active_ms": activity.total_active_ms,
            "visibility_known": self.host.visibility_known,
            "delivered_at": self._delivered_at,
            "waiting": activity.stats.waiting,
            "trouble": self._trouble,
        }


def _cell_metadata() -> Mapping[str, Any]:
    """What a Jupyter page sends along with the cell that runs now: its metadata, and its `cellId`."""
    kernel: Any = getattr(get_ipython(), "kernel", None)
    message: Mapping[str, Any] | None = kernel and kernel.get_parent()
    return (message or {}).get("metadata") or {}


def track(
    *,
    id: str,  # noqa: A002 - the field's name everywhere else
    name: str,
    course: CourseInput | None = None,
    run_id: str | None = None,
    time: TimeInput | None = None,
    base_url: str = "/api/timeback",
    auth: Auth | None = None,
    user_key: str | None = None,
) -> Badge:
    """Start tracking and show it, from a notebook's cell; `badge.activity` is the Activity.

    The arguments are those of `activity.start()` and `create_client()`; with an ordinary kernel `base_url` is needed in
    full. Running the cell again shows the same activity again. After a kernel's restart a new run begins, unless
    `run_id` is passed, or `user_key`: for that user, and for no one who gets a copy, the run is kept in the metadata of
    the cell. What the old kernel had not delivered is delivered then.

    Raises InvalidInputError; ActivityInProgressError if another activity of this notebook still runs.
    """
    shown = next((badge for badge in _badges if not badge.activity.ended), None)
    if shown is not None:
        if shown.activity.id != id or run_id not in (None, shown.activity.run_id):
            raise ActivityInProgressError(shown.activity.id, shown.activity.run_id)
        return shown
    cell, whose = _cell_metadata(), {"id": id, "owner": owner_of(str(user_key))}
    match cell.get(_KEPT):
        case {"run_id": str(kept_run_id), **rest} if user_key is not None and run_id is None and rest == whose:
            run_id = kept_run_id
        case _:
            pass
    badge = Badge(
        {"base_url": base_url, "auth": auth, "user_key": user_key},
        {"id": id, "name": name, "course": course, "run_id": run_id, "time": time},
    )
    if user_key is not None and "cellId" in cell:
        badge.kept = {"cell": cell["cellId"], _KEPT: {**whose, "run_id": badge.activity.run_id}}
    _badges[:] = [badge]
    return badge
