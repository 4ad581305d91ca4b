"""A page by hand: a driven world, a client in it, and what a played server answers; several can be open at once."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from tb_browser import Activity, Stats, Timeback, TimebackError, create_client
from tb_browser._ledger import Window
from tb_browser._outbox import Entry
from tb_browser._ports import Answer, NoAnswer, Request, Response, Signal, Stop, Storage
from tb_browser._shelf import OPEN, WINDOWS
from tb_browser.backlog import owner_of
from tb_browser.hosts.manual import ManualHost
from tb_browser.hosts.storage import MemoryStorage
from tb_browser.models import ActivityRef, Course
from tb_browser.transports.memory import MemoryTransport

WALL = 1_748_779_200_000
BASE = "https://school.example/api/timeback"
UNAVAILABLE = Response(503, body=b'{"error":{"code":"MISSING_SYNCED_COURSE_ID","message":"Course not synced"}}')
UNAUTHORIZED = Response(401, body=b'{"error":{"code":"UNAUTHORIZED","message":"Unauthorized"}}')
VERIFIED = Response(200, body=b'{"verified":true,"timebackId":"student-1"}')
DUPLICATE = Response(200, body=b'{"duplicate":true}')
OK = Response(204)
RESET = NoAnswer("connection reset")


class LuckyHost(ManualHost):
    """A driven world whose dice a test can load: 0 starts heartbeats without an offset, 0.5 halves every wait."""

    def __init__(self, *, wall_ms: float = WALL, storage: Storage | None = None) -> None:
        super().__init__(wall_ms=wall_ms, storage=storage)
        self.luck = 0.0
        self.knows_pages = True
        self._holds = list[Stop]()

    def random(self) -> float:
        return self.luck

    def hold(self, name: str, told: Callable[[bool], None]) -> Stop:
        """As in a browser: whoever asks is told afterwards."""
        stopped = list[bool]()

        def later(ours: bool) -> None:
            self.after(0, lambda: None if stopped else told(ours))

        let_go = super().hold(name, later)

        def stop() -> None:
            stopped.append(True)
            let_go()

        self._holds.append(stop)
        return stop

    async def held(self) -> frozenset[str] | None:
        return await super().held() if self.knows_pages else None

    def die(self) -> None:
        """The page is gone without a word: nothing goes on, and the browser takes its locks back."""
        for work in self._work:
            work.close()
        self._work.clear()
        self._timers.clear()
        self._tellers.clear()
        for stop in self._holds:
            stop()


@dataclass
class Page:
    """One page: a world, a client and the server's answers to its windows.

    `beside` is a page that is open at the same time in another window; otherwise earlier pages are gone.
    """

    storage: Storage = field(default_factory=lambda: MemoryStorage(durable=True))
    wall_ms: float = WALL
    tab: str = "tab-1"
    user_key: str | None = "student@school.example"
    answer: Answer | Callable[[Request], Answer] = OK
    verify: Answer = VERIFIED
    can_guard: bool = False
    beside: Self | None = None
    client_options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        if self.beside is not None:
            self.storage, self.wall_ms = self.beside.storage, self.beside.host.now().wall_ms
        self.host = LuckyHost(wall_ms=self.wall_ms, storage=self.storage)
        self.host.tab_token = self.tab
        if self.beside is not None:
            self.host.held_names = self.beside.host.held_names
        self.transport = MemoryTransport(self.answered, can_guard=self.can_guard)
        self.errors = list[TimebackError]()
        self.client: Timeback = create_client(
            host=self.host, transport=self.transport, user_key=self.user_key, **self.client_options
        )
        self.id = self.client._delivery._backlog.page

    def answered(self, request: Request) -> Answer:
        if request.url.endswith("/user/verify"):
            return self.verify
        return self.answer(request) if callable(self.answer) else self.answer

    def start(self, run_id: str = "run-1", name: str = "Fractions", **options: Any) -> Activity:
        self.activity = self.client.activity.start(
            id="fractions-1",
            name=name,
            course={"subject": "Math", "grade": 3},
            run_id=run_id,
            on_error=lambda error, _context: self.errors.append(error),
            **options,
        )
        self.host.settle()
        self.host.luck = 0.5
        self.host.advance(0)
        return self.activity

    def die(self, *, leaving: bool = False) -> None:
        """The page is gone: suddenly, or on its way out, which it does not live to see the end of."""
        if leaving:
            self.transport.page_dies = True
            for listener in list(self.host._tellers):
                listener(Signal.FROZEN, self.host.now().mono_ms)
        self.host.die()

    @property
    def now_s(self) -> float:
        return (self.host.now().wall_ms - WALL) / 1000

    @property
    def stats(self) -> Stats:
        return self.activity.stats

    @property
    def tried(self) -> list[tuple[float, float]]:
        """Every window asked for in the ordinary way, as (start, end) in seconds since `WALL`."""
        return spans(self.transport.sent)

    @property
    def left(self) -> list[tuple[float, float]]:
        """Every window sent on the way out."""
        return spans(self.transport.on_exit)

    @property
    def kept(self) -> list[tuple[float, float]]:
        """Every window in storage, in seconds since `WALL`."""
        return sorted(span(entry) for entry in entries_in(self.storage))

    @property
    def storage_content(self) -> dict[str, str]:
        """What lies in storage, raw."""
        assert isinstance(self.storage, MemoryStorage)
        return self.storage.content

    @property
    def asked(self) -> list[str]:
        """The last part of every URL asked, in order."""
        return [request.url.rpartition("/")[2] for request in self.transport.sent]


def together(ms: float, *pages: Page) -> None:
    """Time passes in all pages at once, in slices."""
    while ms > 0:
        for page in pages:
            page.host.advance(min(ms, 500))
        ms -= 500


def entries_in(storage: Storage) -> list[Entry]:
    """What waits, read from outside without touching anything."""
    return _stored_under(storage, WINDOWS)


def open_in(storage: Storage) -> list[Entry]:
    """Windows in progress, read from outside without touching anything."""
    return _stored_under(storage, OPEN)


def _stored_under(storage: Storage, prefix: str) -> list[Entry]:
    assert isinstance(storage, MemoryStorage)
    return [Entry.from_stored(json.loads(text)) for key, text in storage.content.items() if key.startswith(prefix)]


def span(entry: Entry) -> tuple[float, float]:
    """A window as (start, end) in seconds since `WALL`."""
    return (entry.window.started_at_ms - WALL) / 1000, (entry.window.ended_at_ms - WALL) / 1000


def spans(requests: list[Request]) -> list[tuple[float, float]]:
    """The windows in requests as (start, end) in seconds since `WALL`."""
    bodies = [json.loads(request.body) for request in requests if request.body]
    return [(seconds(body["startedAt"]), seconds(body["endedAt"])) for body in bodies]


def seconds(iso: str) -> float:
    """Seconds since `WALL`, which is noon."""
    hours, minutes, rest = iso.removeprefix("2025-06-01T").removesuffix("Z").split(":")
    return round((int(hours) - 12) * 3600 + int(minutes) * 60 + float(rest), 3)


def waiting_entry(
    start_s: float,
    *,
    owner: str = owner_of("student@school.example"),
    page: str = "tab-0/gone",
    run: str = "old",
    name: str = "Fractions",
) -> Entry:
    """A window of 5 s that waits; of a page that is gone, unless told otherwise."""
    activity = ActivityRef(id="fractions-1", name=name, course=Course(subject="Math", grade=3), run_id=run)
    return Entry(activity, Window(WALL + int(start_s * 1000), 5_000, 0), owner, BASE, page)


def add_up(stats: Stats) -> bool:
    """What `Stats` promises."""
    came = stats.closed + stats.recovered
    return came == stats.delivered + stats.duplicates + stats.joined + sum(stats.lost.values()) + stats.waiting


MODES: Mapping[str, Answer] = {
    "ok": OK,
    "503": UNAVAILABLE,
    "429": Response(429, {"retry-after": "30"}),
    "401": UNAUTHORIZED,
    "404": Response(404, body=b'{"error":{"code":"USER_RESOLUTION_FAILED","message":"x"}}'),
    "request lost": RESET,
    "answer lost": RESET,
    "refused": NoAnswer("connection refused", sent=False),
}


class Server:
    """Takes windows as the official server does: a window taken within the last 300 s is a duplicate."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.mode = "ok"
        self.taken = dict[str, list[tuple[float, float]]]()
        """(start, end) of what was taken, in seconds since `WALL`, by the activity's name."""
        self.active_ms = self.inactive_ms = 0
        self._clock = clock
        self._known = dict[str, float]()

    def answer(self, request: Request) -> Answer:
        """Take a window, or play the fault that `mode` names."""
        if self.mode not in ("ok", "answer lost"):
            return MODES[self.mode]
        body = json.loads(request.body or b"")
        start_s, end_s = seconds(body["startedAt"]), seconds(body["endedAt"])
        assert round((end_s - start_s) * 1000) == body["elapsedMs"] + body["pausedMs"]
        key, now_s = f"{body['runId']}/{body['startedAt']}", self._clock()
        duplicate = now_s - self._known.get(key, float("-inf")) < 300
        if not duplicate:
            self._known[key] = now_s
            self.taken.setdefault(body["name"], []).append((start_s, end_s))
            self.active_ms += body["elapsedMs"]
            self.inactive_ms += body["pausedMs"]
        if self.mode == "answer lost":
            return RESET
        return DUPLICATE if duplicate else OK
