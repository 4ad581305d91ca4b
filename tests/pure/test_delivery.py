"""Windows reach the server once each, or their loss is told: delivery.md, with a driven clock and a played server."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from tb_browser import (
    Activity,
    LossReason,
    LostError,
    NotSignedInError,
    RejectedError,
    Stats,
    Timeback,
    TimebackError,
    UnavailableError,
    UnreachableError,
    UserUnresolvedError,
    WrongAddressError,
    bearer,
    create_client,
)
from tb_browser._ledger import Window
from tb_browser._outbox import Entry, to_json
from tb_browser._ports import Answer, NoAnswer, Request, Response, Signal, Storage
from tb_browser._shelf import OPEN, WINDOWS, Shelf
from tb_browser.delivery import EXIT_BYTES, owner_of
from tb_browser.hosts.manual import ManualHost
from tb_browser.hosts.storage import MemoryStorage
from tb_browser.models import ActivityRef, Course
from tb_browser.transports.memory import MemoryTransport

WALL = 1_748_779_200_000
BASE = "https://school.example/api/timeback"
UNAVAILABLE = Response(503, body=b'{"error":{"code":"MISSING_SYNCED_COURSE_ID","message":"Course not synced"}}')
UNAUTHORIZED = Response(401, body=b'{"error":{"code":"UNAUTHORIZED","message":"Unauthorized"}}')
VERIFIED = Response(200, body=b'{"verified":true,"timebackId":"student-1"}')
RESET = NoAnswer("connection reset")


class LuckyHost(ManualHost):
    """A driven world whose dice a test can load: 0 starts heartbeats without an offset, 0.5 halves every wait."""

    luck = 0.0

    def random(self) -> float:
        return self.luck


@dataclass
class Page:
    """One page: a world, a client and the server's answers to its windows."""

    storage: Storage = field(default_factory=lambda: MemoryStorage(durable=True))
    wall_ms: float = WALL
    tab: str = "tab-1"
    user_key: str | None = "student@school.example"
    answer: Answer | Callable[[Request], Answer] = Response(204)
    verify: Answer = VERIFIED
    can_guard: bool = False
    client_options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        self.host = LuckyHost(wall_ms=self.wall_ms, storage=self.storage)
        self.host.tab_token = self.tab
        self.transport = MemoryTransport(self.answered, can_guard=self.can_guard)
        self.errors = list[TimebackError]()
        self.client: Timeback = create_client(
            host=self.host, transport=self.transport, user_key=self.user_key, **self.client_options
        )

    def answered(self, request: Request) -> Answer:
        if request.url.endswith("/user/verify"):
            return self.verify
        return self.answer(request) if callable(self.answer) else self.answer

    def start(self, run_id: str = "run-1", **options: Any) -> Activity:
        self.activity = self.client.activity.start(
            id="fractions-1",
            name="Fractions",
            course={"subject": "Math", "grade": 3},
            run_id=run_id,
            on_error=lambda error, _context: self.errors.append(error),
            **options,
        )
        self.host.settle()
        self.host.luck = 0.5
        return self.activity

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
        found = sorted(Shelf(self.storage).entries(), key=lambda entry: entry.window.started_at_ms)
        return [
            ((entry.window.started_at_ms - WALL) / 1000, (entry.window.ended_at_ms - WALL) / 1000) for entry in found
        ]

    @property
    def asked(self) -> list[str]:
        """The last part of every URL asked, in order."""
        return [request.url.rpartition("/")[2] for request in self.transport.sent]


def spans(requests: list[Request]) -> list[tuple[float, float]]:
    bodies = [json.loads(request.body) for request in requests if request.body]
    return [(seconds(body["startedAt"]), seconds(body["endedAt"])) for body in bodies]


def seconds(iso: str) -> float:
    hours, minutes, rest = iso.removeprefix("2025-06-01T").removesuffix("Z").split(":")
    return round((int(hours) - 12) * 3600 + int(minutes) * 60 + float(rest), 3)


def waiting_entry(
    start_s: float,
    *,
    owner: str = owner_of("student@school.example"),
    run: str = "old",
    sent_s: float | None = None,
    name: str = "Fractions",
) -> Entry:
    """A window of 5 s that an earlier page has left."""
    activity = ActivityRef(id="fractions-1", name=name, course=Course(subject="Math", grade=3), run_id=run)
    entry = Entry(activity, Window(WALL + int(start_s * 1000), 5_000, 0), owner, BASE)
    return entry if sent_s is None else entry.sent(WALL + sent_s * 1000)


def add_up(stats: Stats, found: int = 0) -> bool:
    """What `Stats` promises; `found` windows were waiting already when the activity started."""
    came = stats.closed + stats.recovered + found
    return came == stats.delivered + stats.duplicates + stats.joined + sum(stats.lost.values()) + stats.waiting


class TestLifeOfAWindow:
    """open → closed → waiting → in flight → delivered | duplicate | lost."""

    def test_written_before_it_is_sent_and_removed_on_the_answer(self) -> None:
        """At the moment of sending the window lies in storage, marked as sent; after the answer it does not."""
        seen = list[list[Entry]]()

        def answer(_request: Request) -> Answer:
            seen.append(Shelf(page.storage).entries())
            return Response(204)

        page = Page(answer=answer)
        page.start()
        page.host.advance(15_000)
        ((entry,),) = seen
        assert entry.window == Window(WALL, 15_000, 0)
        assert (entry.first_sent_ms, entry.last_sent_ms) == (WALL + 15_000, WALL + 15_000)
        assert page.kept == []
        assert page.stats.delivered == 1

    def test_a_duplicate_is_counted_as_such(self) -> None:
        """`{"duplicate":true}` removes the window and counts apart."""
        page = Page(answer=Response(200, body=b'{"duplicate":true}'))
        page.start()
        page.host.advance(15_000)
        assert (page.stats.delivered, page.stats.duplicates, page.stats.waiting) == (0, 1, 0)
        assert page.kept == []

    @pytest.mark.xfail(strict=True, reason="on closing, the checkpoint is removed before the window is put")
    def test_every_moment_is_in_storage(self) -> None:
        """Whenever the page dies, at most a second is lost: after every single write, storage holds the time so far."""
        storage = WatchedStorage(durable=True)
        page = Page(storage=storage, answer=UNAVAILABLE)
        page.start()
        page.host.advance(1_000)
        storage.page = page
        page.host.advance(30_000)
        page.host.tell(Signal.HIDDEN)
        assert storage.checked > 60

    def test_one_request_at_a_time(self) -> None:
        """What waits is sent one after the other, oldest first."""
        page = Page()
        for start_s in (-30, -10, -20):
            Shelf(page.storage).put(waiting_entry(start_s))
        page.start()
        assert page.tried == [(-30, -25), (-20, -15), (-10, -5)]
        assert page.stats.delivered == 3


class WatchedStorage(MemoryStorage):
    """Checks after every change that what is stored covers all but the last second."""

    page: Page | None = None
    checked = 0

    def set(self, key: str, value: str) -> bool:
        written = super().set(key, value)
        self.check()
        return written

    def remove(self, key: str) -> None:
        super().remove(key)
        self.check()

    def check(self) -> None:
        if self.page is not None:
            shelf = Shelf(MemoryStorage())
            shelf._storage = self
            stored = {entry.key: entry.window for entry in shelf.entries()}
            stored |= {point.entry.key: point.entry.window for point in shelf.checkpoints()}
            covered_ms = sum(window.active_ms + window.inactive_ms for window in stored.values())
            assert covered_ms >= self.page.now_s * 1000 - 1_000
            self.checked += 1


class TestAnswers:
    """What follows an answer (delivery.md, Answers)."""

    def test_503_is_tried_again_after_a_wait_that_grows(self) -> None:
        """The wait doubles with every failure (half of it with these dice), and the window goes out again."""
        times = list[float]()

        def answer(_request: Request) -> Answer:
            times.append(page.now_s)
            return UNAVAILABLE if len(times) < 5 else Response(204)

        page = Page(answer=answer)
        page.start(time={"heartbeat_ms": 1_000_000})
        page.host.advance(5_000)
        page.host.spawn(flushed(page))
        page.host.settle()
        page.host.advance(20_000)
        assert times == [5, 5.5, 6.5, 8.5, 12.5]
        assert page.stats.delivered == 1
        assert page.stats.waiting == 0

    @pytest.mark.parametrize("status", [429, 503])
    @pytest.mark.parametrize(("value", "wait_s"), [("20", 20), ("86400", 3600)])
    def test_retry_after_is_obeyed(self, status: int, value: str, wait_s: float) -> None:
        """Nothing is sent before the server wants it; an hour is the most it can ask for."""
        page = Page(answer=Response(status, {"retry-after": value}))
        page.start()
        page.host.advance(15_000)
        page.answer = Response(204)
        page.host.advance(wait_s * 1000 - 1)
        assert page.tried == [(0, 15)]
        page.host.advance(1)
        assert len(page.tried) > 1
        assert page.stats.waiting == 0

    def test_windows_that_waited_go_out_as_one(self) -> None:
        """After an outage what was closed meanwhile is one window; all time arrives."""
        page = Page(answer=Response(503, {"retry-after": "100"}))
        page.start()
        page.host.advance(15_000)
        page.answer = Response(204)
        page.host.advance(100_000)
        assert page.tried == [(0, 15), (0, 105), (105, 115)][: len(page.tried)]
        assert page.stats.joined == 6
        assert add_up(page.stats)

    def test_401_holds_until_flush(self) -> None:
        """Not signed in: nothing more is sent, however long, until `flush()`; then all of it."""
        page = Page(answer=UNAUTHORIZED)
        page.start()
        page.host.advance(15_000)
        assert page.tried == [(0, 15)]
        page.answer = Response(204)
        page.host.advance(600_000)
        assert page.tried == [(0, 15)]
        assert page.stats.waiting > 0
        receipt = page.host.run(page.activity.flush())
        assert page.tried[-1] == (0, 615)
        assert receipt.delivered
        assert [type(error) for error in page.errors] == [NotSignedInError]
        page.host.advance(15_000)
        assert page.tried[-1][1] >= 630

    def test_401_asks_for_a_new_token_once(self) -> None:
        """A refused token is replaced at once and the window delivered, without an error."""
        tokens = iter(["stale", "fresh"])
        page = Page(
            answer=lambda r: Response(204) if r.headers["authorization"] == "Bearer fresh" else UNAUTHORIZED,
            client_options={"auth": bearer(lambda: next(tokens))},
        )
        page.start()
        page.host.advance(15_000)
        assert page.tried == [(0, 15), (0, 15)]
        assert page.stats.delivered == 1
        assert page.errors == []

    @pytest.mark.parametrize(
        ("body", "kind"),
        [
            (
                b'{"error":{"code":"USER_RESOLUTION_FAILED","message":"Could not resolve user"}}',
                UserUnresolvedError,
            ),
            (b'{"detail":"Not Found"}', WrongAddressError),
        ],
    )
    def test_404_is_kept_and_tried_again(self, body: bytes, kind: type[TimebackError]) -> None:
        """Both kinds of 404 keep the window: the platform may be down, the server may be updated."""
        page = Page(answer=Response(404, body=body))
        page.start()
        page.host.advance(20_000)
        assert page.stats.waiting == 1
        assert [type(error) for error in page.errors] == [kind]
        page.answer = Response(204)
        page.host.advance(300_000)
        assert page.stats.waiting == 0
        assert page.stats.lost == {}
        assert add_up(page.stats)

    def test_400_is_lost_with_the_servers_words(self) -> None:
        """A body that will never pass is lost(rejected); on_error hears the server's field and message."""
        page = Page(
            answer=Response(
                400,
                body=b'{"error":{"code":"INVALID_PAYLOAD","message":"Validation failed",'
                b'"details":{"field":"runId","message":"Expected UUID"}}}',
            )
        )
        page.start()
        page.host.advance(15_000)
        (error,) = page.errors
        assert isinstance(error, RejectedError)
        assert (error.field, error.server_message) == ("runId", "Expected UUID")
        assert page.stats.lost == {LossReason.REJECTED: 1}
        assert page.stats.last_error == str(error)
        assert page.kept == []
        assert add_up(page.stats)

    def test_a_rejection_does_not_stop_the_next(self) -> None:
        """One window that will never pass holds up no other."""
        page = Page(answer=lambda r: Response(400) if b'"startedAt":"2025-06-01T11:59:30' in (r.body or b"") else OK)
        Shelf(page.storage).put(waiting_entry(-30))
        Shelf(page.storage).put(waiting_entry(-10))
        page.start()
        assert page.stats.delivered == 1
        assert page.stats.lost == {LossReason.REJECTED: 1}

    def test_an_outage_is_told_once(self) -> None:
        """However often it is tried: one error an outage, and another one for the next outage."""
        page = Page(answer=UNAVAILABLE)
        page.start()
        page.host.advance(120_000)
        assert len(page.tried) > 3
        assert [type(error) for error in page.errors] == [UnavailableError]
        page.answer = Response(204)
        page.host.advance(600_000)
        assert page.stats.waiting == 0
        page.answer = UNAVAILABLE
        page.host.advance(60_000)
        assert [type(error) for error in page.errors] == [UnavailableError, UnavailableError]

    def test_offline_nothing_is_tried_and_online_sends_at_once(self) -> None:
        """Without a network nothing is asked; the `online` event sends everything at once."""
        page = Page()
        page.host.online = False
        page.start()
        page.host.advance(60_000)
        page.host.tell(Signal.HIDDEN)
        page.host.tell(Signal.SHOWN)
        assert page.transport.sent == page.transport.on_exit == []
        page.host.advance(1_000)
        page.host.go_online()
        assert page.tried == [(0, 60)]

    def test_online_ends_the_wait_after_a_failure(self) -> None:
        """An `online` event does not sit out the backoff."""
        page = Page(answer=Response(503, {"retry-after": "3000"}))
        page.start()
        page.host.advance(16_000)
        page.answer = Response(204)
        page.host.go_online()
        assert page.tried == [(0, 15), (0, 15)]

    @pytest.mark.xfail(strict=True, reason="SHOWN kicks without at_once: the backoff is sat out")
    def test_the_return_to_the_page_ends_the_wait_after_a_failure(self) -> None:
        """Coming back to the page tries at once."""
        page = Page(answer=Response(503, {"retry-after": "3000"}))
        page.start()
        page.host.advance(16_000)
        page.host.tell(Signal.HIDDEN)
        page.answer = Response(204)
        page.host.advance(1_000)
        page.host.tell(Signal.SHOWN)
        assert page.stats.waiting == 0

    def test_flush_ends_the_wait_after_a_failure(self) -> None:
        """`flush()` tries at once."""
        page = Page(answer=Response(503, {"retry-after": "3000"}))
        page.start()
        page.host.advance(16_000)
        page.answer = Response(204)
        assert page.host.run(page.activity.flush()).delivered
        assert page.tried[1:] == [(0, 16)]

    def test_end_keeps_what_it_cannot_deliver(self) -> None:
        """`end()` raises nothing when the server fails; the receipt says so, and the retry goes on."""
        page = Page(answer=UNAVAILABLE)
        page.start()
        page.host.advance(5_000)
        receipt = page.host.run(page.activity.end())
        assert (receipt.delivered, receipt.waiting, receipt.active_ms) == (False, 1, 5_000)
        page.answer = Response(204)
        page.host.advance(2_000)
        assert page.stats.delivered == 1

    def test_the_next_start_delivers_what_waits(self) -> None:
        """A page that is opened again delivers what an earlier one could not."""
        old = Page(answer=Response(503, {"retry-after": "3000"}))
        old.start()
        old.host.advance(40_000)
        old.host.run(old.activity.end())
        page = Page(storage=old.storage, wall_ms=WALL + 3_600_000, tab="tab-2")
        page.start("run-2")
        assert page.tried == [(0, 40)]


OK = Response(204)


async def flushed(page: Page) -> None:
    await page.activity.flush()


class TestAmbiguity:
    """A window that was sent and not answered may have arrived."""

    def test_it_is_sent_again_unchanged_within_240_s(self) -> None:
        """After a reset connection the very same bytes go out again, once the server has surely settled."""
        page = Page(answer=RESET)
        page.start()
        page.host.advance(15_000)
        (first,) = page.transport.sent
        page.answer = lambda r: Response(200, body=b'{"duplicate":true}') if r.body == first.body else OK
        page.host.advance(34_999)
        assert page.tried.count((0, 15)) == 1
        page.host.advance(10_000)
        again = [request for request in page.transport.sent if request.body == first.body]
        assert len(again) == 2
        assert page.stats.duplicates == 1
        assert page.stats.lost == {}
        assert add_up(page.stats)

    def test_it_is_never_joined(self) -> None:
        """What may have arrived keeps its start and its sums; what follows is joined without it."""
        page = Page(answer=RESET, verify=RESET)
        page.start()
        page.host.advance(100_000)
        page.answer, page.verify = OK, VERIFIED
        page.host.advance(60_000)
        page.host.run(page.activity.flush())
        assert page.tried.count((0, 15)) == 2
        assert all(start == 0 or start >= 15 for start, _ in page.tried)
        assert page.stats.lost == {}
        assert add_up(page.stats)

    def test_after_240_s_it_is_lost_and_told(self) -> None:
        """Later the server does not know it any more: by default it is dropped, counted and told."""
        page = Page(answer=RESET, verify=RESET)
        page.start()
        page.host.advance(15_000)
        page.host.advance(600_000)
        assert page.stats.lost == {LossReason.AMBIGUOUS: 1}
        (lost,) = [error for error in page.errors if isinstance(error, LostError)]
        assert (lost.reason, lost.windows, lost.lost_ms) == (LossReason.AMBIGUOUS, 1, 15_000)
        assert page.tried == [(0, 15)]
        assert add_up(page.stats)

    def test_with_resend_it_is_sent_however_late(self) -> None:
        """The policy `resend` prefers a second counting to a loss."""
        page = Page(answer=RESET, verify=RESET)
        page.start(time={"retry": {"ambiguous": "resend"}})
        page.host.advance(600_000)
        page.answer, page.verify = OK, VERIFIED
        page.host.run(page.activity.flush())
        assert page.tried.count((0, 15)) == 2
        assert page.stats.lost == {}

    def test_a_refusal_ends_the_doubt(self) -> None:
        """A 503 says that nothing was taken: the window may be sent at any time after it, and may be joined."""
        page = Page(answer=UNAVAILABLE)
        page.start()
        page.host.advance(900_000)
        page.answer = OK
        page.host.run(page.activity.flush())
        assert page.tried[-1] == (0, 900)
        assert page.stats.lost == {}
        assert add_up(page.stats)

    def test_a_silent_server_is_asked_for_something_harmless_first(self) -> None:
        """While there is no answer, only `/user/verify` is asked: no further window becomes doubtful."""
        page = Page(answer=RESET, verify=RESET)
        page.start()
        page.host.advance(230_000)
        assert page.asked[0] == "heartbeat"
        assert set(page.asked[1:]) == {"verify"}
        assert len(page.asked) > 3
        assert [type(error) for error in page.errors] == [UnreachableError]
        page.verify, page.answer = VERIFIED, OK
        page.host.run(page.activity.flush())
        assert page.asked[-3:] == ["verify", "heartbeat", "heartbeat"]

    def test_what_was_surely_not_sent_is_not_doubtful(self) -> None:
        """A connection that was never made leaves no doubt: the window is joined and sent whenever it can be."""
        page = Page(answer=NoAnswer("refused", sent=False))
        page.start()
        page.host.advance(600_000)
        page.answer = OK
        page.host.run(page.activity.flush())
        assert page.tried[-1] == (0, 600)
        assert page.stats.lost == {}

    def test_a_clock_set_back_counts_nothing_twice(self) -> None:
        """With the wall clock set back an hour, the age of a sending is unknown: it is not sent again."""
        page = Page(answer=RESET, verify=RESET)
        page.start()
        page.host.advance(15_000)
        page.host.set_wall(-3_600_000)
        page.answer, page.verify = OK, VERIFIED
        page.host.advance(60_000)
        assert page.tried.count((0, 15)) == 1
        assert page.stats.lost == {LossReason.AMBIGUOUS: 1}
        assert add_up(page.stats)

    def test_what_is_too_old_is_lost_and_told(self) -> None:
        """After `max_age_ms` a window that was never sent is lost(expired)."""
        page = Page()
        Shelf(page.storage).put(waiting_entry(-8 * 86_400))
        page.start()
        assert page.stats.lost == {LossReason.EXPIRED: 1}
        assert page.transport.sent == []
        assert isinstance(page.errors[0], LostError)
