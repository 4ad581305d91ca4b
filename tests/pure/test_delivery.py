"""Windows reach the server once each, or their loss is told: delivery.md, with a driven clock and a played server."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from tb_browser import (
    DeliveryError,
    LossReason,
    LostError,
    NotSignedInError,
    RejectedError,
    SameRunElsewhereError,
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
from tb_browser._ports import Answer, NoAnswer, Request, Response, Signal
from tb_browser._shelf import OPEN, WINDOWS, Shelf
from tb_browser.backlog import GONE_MS, owner_of, page_lock
from tb_browser.delivery import EXIT_BYTES
from tb_browser.hosts.manual import ManualHost
from tb_browser.hosts.storage import MemoryStorage
from tb_browser.transports.memory import MemoryTransport
from tests.driven import (
    BASE,
    DUPLICATE,
    OK,
    RESET,
    UNAUTHORIZED,
    UNAVAILABLE,
    VERIFIED,
    WALL,
    Page,
    Server,
    add_up,
    entries_in,
    open_in,
    spans,
    together,
    waiting_entry,
)


class TestLifeOfAWindow:
    """open → closed → waiting → in flight → delivered | duplicate | lost."""

    def test_written_before_it_is_sent_and_removed_on_the_answer(self) -> None:
        """At the moment of sending the window lies in storage, marked as sent; after the answer it does not."""
        seen = list[list[Entry]]()

        def answer(_request: Request) -> Answer:
            seen.append(entries_in(page.storage))
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
        page = Page(answer=DUPLICATE)
        page.start()
        page.host.advance(15_000)
        assert (page.stats.delivered, page.stats.duplicates, page.stats.waiting) == (0, 1, 0)
        assert page.kept == []

    def test_every_moment_is_in_storage(self) -> None:
        """Whenever the page dies, at most a second is lost: after every single write, storage holds the time so far."""
        storage = WatchedStorage(durable=True)
        page = Page(storage=storage, answer=UNAVAILABLE)
        page.start()
        page.host.advance(1_000)
        storage.page = page
        page.host.advance(30_000)
        page.host.tell(Signal.HIDDEN)
        assert storage.checked > 40

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
            stored = {entry.key: entry.window for entry in entries_in(self)}
            stored |= {entry.key: entry.window for entry in open_in(self)}
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
        page.start(time={"heartbeat_ms": 4_000_000})
        page.host.advance(15_000)
        page.host.spawn(flushed(page))
        page.host.settle()
        page.answer = Response(204)
        page.host.advance(wait_s * 1000 - 1)
        assert page.tried == [(0, 15)]
        page.host.advance(1)
        assert page.tried == [(0, 15), (0, 15)]
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

    @pytest.mark.parametrize("status", [402, 409, 413, 418])
    def test_another_refusal_is_kept_and_tried_again(self, status: int) -> None:
        """A 4xx that says nothing about the body (a proxy's, a conflict) keeps the window and is told."""
        page = Page(answer=Response(status, body=b"<html>"))
        page.start()
        page.host.advance(20_000)
        assert page.stats.waiting == 1
        assert [type(error) for error in page.errors] == [DeliveryError]
        page.answer = OK
        page.host.advance(300_000)
        assert (page.stats.waiting, page.stats.lost) == (0, {})
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
        page.answer = lambda r: DUPLICATE if r.body == first.body else OK
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


class TestInterrupted:
    """Whoever awaits a delivery may give up: `asyncio.timeout()` around `flush()`, or a loop that ends."""

    def test_a_delivery_that_was_given_up_is_tried_again(self) -> None:
        """The window that was on its way may have arrived: it is sent again, unchanged, once the server has settled."""
        page = Page()
        page.start(time={"heartbeat_ms": 1_000_000})
        page.host.advance(5_000)
        send, page.transport.send = page.transport.send, never
        flushing = page.activity.flush()
        flushing.send(None)
        with pytest.raises(asyncio.CancelledError):
            flushing.throw(asyncio.CancelledError)
        page.transport.send = send
        assert page.client._delivery._backlog.in_flight == {}
        page.host.advance(45_000)
        page.host.run(page.activity.flush())
        assert page.tried == [(0, 5), (5, 50)]
        assert page.stats.waiting == 0
        assert add_up(page.stats)


async def never(request: Request, *, timeout_ms: float) -> Answer:  # noqa: ARG001
    """A server that takes its time."""
    return await Endless()


class Endless:
    """Awaited, it is never done."""

    def __await__(self) -> Any:
        while True:
            yield


class TestExit:
    """On the way out windows are sent before the handler returns."""

    @pytest.mark.parametrize("signal", [Signal.HIDDEN, Signal.FROZEN])
    def test_it_is_sent_before_the_handler_returns(self, signal: Signal) -> None:
        """No task, no await: when the listener comes back, the window is on its way and in storage."""
        page = Page()
        page.transport.page_dies = True
        page.start()
        page.host.advance(7_000)
        (listener,) = page.host._tellers
        listener(signal, page.host.now().mono_ms)
        assert page.left == [(0, 7)]
        assert page.kept == [(0, 7)]
        assert page.transport.sent == []
        page.host.settle()

    def test_the_answer_is_followed_if_the_page_lives(self) -> None:
        """A page that comes back counts what was answered meanwhile."""
        page = Page()
        page.start()
        page.host.advance(7_000)
        page.host.tell(Signal.HIDDEN)
        assert (page.stats.delivered, page.kept) == (1, [])
        page.host.advance(8_000)
        page.host.tell(Signal.SHOWN)
        assert page.stats.delivered == 2
        assert add_up(page.stats)

    def test_an_exit_that_fails_is_tried_again(self) -> None:
        """A refusal that comes after hiding keeps the window, and the retry follows."""
        page = Page(answer=UNAVAILABLE)
        page.start()
        page.host.advance(7_000)
        page.host.tell(Signal.HIDDEN)
        assert page.stats.waiting == 1
        page.answer = OK
        page.host.advance(5_000)
        assert page.stats.delivered == 1

    def test_newest_first_within_the_budget(self) -> None:
        """All bodies stay within half of what the browser allows, newest first; the rest stays for the next visit."""
        page = Page()
        page.host.online = False
        page.start()
        for number in range(40):
            Shelf(page.storage).put(waiting_entry(-1000 + 10 * number, page=page.id, name="x" * 2_000))
        page.host.advance(3_000)
        page.host.online = True
        page.transport.page_dies = True
        (listener,) = page.host._tellers
        listener(Signal.HIDDEN, page.host.now().mono_ms)
        assert page.left[0] == (0, 3)
        assert page.left == sorted(page.left, reverse=True)
        size = sum(len(request.body or b"") for request in page.transport.on_exit)
        assert EXIT_BYTES - 2_500 < size <= EXIT_BYTES
        unsent = [entry for entry in entries_in(page.storage) if entry.first_sent_ms is None]
        assert len(unsent) + len(page.left) == 41
        page.host.settle()

    def test_what_is_in_flight_counts_in_the_budget_and_is_not_sent_twice(self) -> None:
        """A page that hides, shows and hides again keeps within one budget, and sends no window twice."""
        page = Page()
        page.start()
        for number in range(40):
            Shelf(page.storage).put(waiting_entry(-1000 + 10 * number, page=page.id, name="x" * 2_000))
        page.transport.page_dies = True
        page.host.advance(100)
        page.transport.on_exit.clear()
        for _ in range(3):
            page.host.tell(Signal.HIDDEN)
            page.host.hidden = False
            for listener in page.host._tellers:
                listener(Signal.SHOWN, page.host.now().mono_ms)
        assert len(set(page.left)) == len(page.left)
        assert sum(len(request.body or b"") for request in page.transport.on_exit) <= EXIT_BYTES

    def test_a_failing_server_gets_no_exit_send(self) -> None:
        """What lies in storage that lasts is sure; a sending that nobody answers would make it doubtful."""
        page = Page(answer=UNAVAILABLE)
        page.start()
        page.host.advance(15_000)
        page.host.tell(Signal.HIDDEN)
        assert page.left == []
        assert page.kept[-1][1] == 15

    def test_storage_that_does_not_last_sends_all_the_same(self) -> None:
        """Without lasting storage the exit send is the only chance."""
        page = Page(storage=MemoryStorage(durable=False), answer=UNAVAILABLE)
        page.start()
        page.host.advance(17_000)
        page.host.tell(Signal.HIDDEN)
        assert page.left[0][1] == 17

    def test_the_last_known_token_is_used(self) -> None:
        """At exit nothing can be awaited: the token of the last request signs."""
        tokens = iter(["first", "second"])
        page = Page(client_options={"auth": bearer(lambda: next(tokens))})
        page.start()
        page.host.advance(15_000)
        page.host.tell(Signal.HIDDEN)
        page.host.advance(1_000)
        page.host.tell(Signal.SHOWN)
        page.host.advance(1_000)
        page.host.tell(Signal.HIDDEN)
        (request,) = page.transport.on_exit
        assert request.headers["authorization"] == "Bearer first"

    def test_two_are_never_in_flight_for_one_window(self) -> None:
        """A window whose exit send is not answered is not sent by a heartbeat or a retry meanwhile."""
        page = Page()
        page.transport.page_dies = True
        page.start()
        page.host.advance(7_000)
        page.host.tell(Signal.HIDDEN)
        page.host.advance(50_000)
        assert page.left == [(0, 7)]
        assert all(start >= 7 for start, _ in page.tried)

    def test_two_are_never_in_flight_when_the_page_hides_during_the_probe(self) -> None:
        """The page hides while the harmless question is under way: the window leaves by one way, not by both."""
        page = Page(user_key=None, verify=RESET)
        page.start()
        page.host.luck = 0.5
        page.transport.page_dies = True

        def answered(request: Request) -> Answer:
            if request.url.endswith("/user/verify"):
                page.host._tellers[0](Signal.HIDDEN, page.host.now().mono_ms)
                return VERIFIED
            return OK

        page.transport.answer = answered
        page.host.advance(15_000)
        sendings = page.left + page.tried
        assert len(set(sendings)) == len(sendings)


class TestCheckpoint:
    """The window in progress is written down about once a second; when the page is gone, another one delivers it."""

    def started(self, ms: float, **options: Any) -> Page:
        page = Page(**options)
        page.start()
        page.host.advance(ms)
        return page

    @pytest.mark.parametrize("second", [1, 2, 5.9, 14.9])
    def test_at_most_a_second_is_missing(self, second: float) -> None:
        """At any instant the checkpoint is at most a second old, and is this page's."""
        page = self.started(second * 1000)
        (entry,) = open_in(page.storage)
        assert second * 1000 - 1_000 <= entry.window.active_ms <= second * 1000
        assert entry.page == page.id

    @pytest.mark.parametrize("can_guard", [False, True])
    def test_what_may_be_sent_should_the_page_die_is_marked(self, can_guard: bool) -> None:
        """Guarded or not: while the page would send its window on the way out, the window may have arrived."""
        page = self.started(5_000, can_guard=can_guard)
        (entry,) = open_in(page.storage)
        assert (entry.first_sent_ms, entry.last_sent_ms) == (WALL + 5_000, WALL + 5_000)

    @pytest.mark.parametrize("why", ["offline", "failing", "not signed in"])
    def test_what_the_page_would_not_send_is_not_marked(self, why: str) -> None:
        """Offline, after a failure and signed out nothing leaves by itself: there is no doubt to write down."""
        page = Page(answer=UNAUTHORIZED if why == "not signed in" else UNAVAILABLE, can_guard=True)
        page.host.online = why != "offline"
        page.start()
        page.host.advance(17_000)
        (entry,) = open_in(page.storage)
        assert entry.first_sent_ms is None
        assert page.transport.guards == []

    @pytest.mark.parametrize("tab", ["tab-1", "tab-2"])
    def test_a_page_that_is_gone_is_recovered(self, tab: str) -> None:
        """The window goes out with its own run, activity and times, unchanged, once the server has settled."""
        old = self.started(7_500)
        page = Page(storage=old.storage, wall_ms=WALL + 8_000, tab=tab)
        page.start("run-2", time={"heartbeat_ms": 1_000_000})
        page.host.advance(7_000 + 35_000 - 8_000 - 1)
        assert page.transport.sent == []
        page.host.advance(1)
        (request,) = page.transport.sent
        body = json.loads(request.body or b"")
        assert (body["runId"], body["elapsedMs"], body["pausedMs"]) == ("run-1", 7_000, 0)
        assert (page.stats.recovered, page.stats.delivered) == (1, 1)
        assert add_up(page.stats)
        assert [entry.page for entry in open_in(page.storage)] == [page.id]

    def test_what_surely_was_not_sent_is_recovered_at_once(self) -> None:
        """Of a page that died offline everything goes out as soon as another one is there, joined."""
        old = Page()
        old.host.online = False
        old.start()
        old.host.advance(17_500)
        page = Page(storage=old.storage, wall_ms=WALL + 8_000_000, tab="tab-2")
        page.start("run-2")
        assert page.tried == [(0, 17)]
        assert page.stats.recovered == 2
        assert page.stats.joined == 1
        assert add_up(page.stats)

    def test_a_live_page_is_left_alone(self) -> None:
        """As long as a page lives, another one takes over nothing of it, however old; it delivers all by itself."""
        live = self.started(17_500, answer=Response(503, {"retry-after": "3600"}))
        other = Page(beside=live, tab="tab-2")
        other.start("run-2")
        together(600_000, live, other)
        assert all(start >= 17.5 for start, _ in other.tried)
        assert other.stats.recovered == 0
        live.answer = OK
        live.host.run(live.activity.end())
        assert live.tried[-1] == (0, 617.5)
        assert add_up(live.stats)
        assert add_up(other.stats)

    def test_it_is_taken_over_when_the_page_has_died(self) -> None:
        """A window that was open all along takes over from one that has died, with its next run."""
        dying = self.started(7_500)
        page = Page(beside=dying, tab="tab-2")
        page.start("run-2")
        together(2_000, dying, page)
        dying.die()
        page.host.advance(60_000)
        assert (0, 9) in page.tried
        assert page.stats.recovered == 1
        assert add_up(page.stats)

    def test_a_frozen_page_may_be_taken_over_and_comes_back(self) -> None:
        """What a frozen page keeps is delivered by another one; thawed, it goes on with windows of its own."""
        frozen = self.started(7_500, answer=RESET)
        frozen.host.tell(Signal.FROZEN)
        page = Page(beside=frozen, tab="tab-2")
        page.start("run-2")
        page.host.advance(60_000)
        assert (0, 7.5) in page.tried
        frozen.answer = OK
        frozen.host.advance(60_000)
        frozen.host.tell(Signal.THAWED)
        frozen.host.advance(5_000)
        assert page_lock(frozen.id) in frozen.host.held_names
        frozen.host.run(frozen.activity.end())
        assert frozen.tried == [(67.5, 72.5)]
        assert frozen.stats.waiting == 0

    def test_a_closed_window_is_not_recovered_again(self) -> None:
        """If the page died between closing and taking its checkpoint away, the window counts once."""
        old = self.started(7_500, answer=UNAVAILABLE)
        key, checkpoint = next((k, v) for k, v in old.storage_content.items() if k.startswith(OPEN))
        old.host.run(old.activity.end())
        old.storage_content[key] = checkpoint
        page = Page(storage=old.storage, wall_ms=WALL + 20_000)
        page.start("run-2")
        assert page.tried == [(0, 7.5)]
        assert page.stats.recovered == 1
        assert add_up(page.stats)

    def test_two_recoverers_take_it_once(self) -> None:
        """Whoever comes first takes it over; the second finds nothing."""
        old = self.started(7_500)
        first = Page(storage=old.storage, wall_ms=WALL + 50_000, tab="tab-2")
        second = Page(beside=first, tab="tab-3")
        first.start("new-1")
        second.start("new-2")
        assert [page.tried for page in (first, second)] == [[(0, 7)], []]
        assert [page.stats.recovered for page in (first, second)] == [1, 0]

    def test_where_nobody_can_tell_the_same_tab_recovers_at_once(self) -> None:
        """Without locks, a tab's former pages are gone for sure: it takes over at once."""
        old = self.started(17_500, answer=UNAVAILABLE)
        page = Page(beside=old)
        page.host.knows_pages = False
        page.start("run-2")
        assert page.tried == [(0, 17)]

    def test_where_nobody_can_tell_another_tab_waits_two_minutes(self) -> None:
        """Without locks, what another tab has written within two minutes may be a live page's."""
        old = self.started(17_500, answer=UNAVAILABLE)
        page = Page(storage=old.storage, wall_ms=WALL + 18_000, tab="tab-2")
        page.host.knows_pages = False
        page.start("run-2")
        page.host.advance(17_000 + GONE_MS - 18_000)
        assert all(start >= 18 for start, _ in page.tried)
        page.host.advance(16_000)
        assert (0, 17) in page.tried
        assert page.stats.waiting == 0
        assert add_up(page.stats)

    def test_an_end_leaves_nothing_to_recover(self) -> None:
        """After `end()` there is no checkpoint."""
        page = self.started(7_500)
        page.host.run(page.activity.end())
        assert page.storage_content == {}

    def test_without_room_nothing_breaks(self) -> None:
        """Storage that is full changes nothing but what survives: all is delivered, nothing is raised."""
        page = self.started(40_000, storage=MemoryStorage(durable=True, room=50))
        page.host.tell(Signal.HIDDEN)
        receipt = page.host.run(page.activity.end())
        assert receipt.delivered
        assert sum(end - start for start, end in page.tried + page.left) == 40
        assert page.errors == []

    def test_without_room_what_fails_still_waits(self) -> None:
        """In memory the window waits for the server as it would in storage."""
        page = self.started(20_000, storage=MemoryStorage(durable=True, room=0), answer=UNAVAILABLE)
        page.answer = OK
        page.host.advance(10_000)
        assert (page.stats.waiting, page.stats.delivered) == (0, page.stats.closed - page.stats.joined)

    def test_a_flush_without_an_activity_holds_what_it_takes_over(self) -> None:
        """`client.flush()` delivers what earlier pages left; meanwhile no other page may take it away again."""
        old = self.started(17_500, answer=UNAVAILABLE)
        locked = list[bool]()

        def answer(_request: Request) -> Answer:
            locked.append(bool(page.host.held_names.get(page_lock(page.id))))
            return OK

        page = Page(storage=old.storage, wall_ms=WALL + 20_000, tab="tab-2", answer=answer)
        page.host.run(page.client.flush())
        assert page.tried == [(0, 17)]
        assert locked == [True]

    def test_a_late_answer_says_nothing_about_anothers_sending(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A page's refusal that is heard late leaves the doubt of the page that took over and sent meanwhile."""
        frozen = self.started(7_500)
        heard = list[Callable[[Answer], None]]()
        monkeypatch.setattr(frozen.transport, "send_on_exit", lambda _request, answered: heard.append(answered))
        frozen.host.tell(Signal.FROZEN)
        page = Page(beside=frozen, tab="tab-2", answer=RESET, verify=RESET)
        page.start("run-2", time={"heartbeat_ms": 1_000_000})
        page.host.advance(40_000)
        assert page.tried == [(0, 7.5)]
        heard[0](UNAVAILABLE)
        (entry,) = entries_in(page.storage)
        assert entry.first_sent_ms is not None


class TestSideBySide:
    """Two windows with the same run: one of them counts (delivery.md, Two tabs)."""

    def two(self, ms: float = 5_250) -> tuple[Page, Page]:
        first = Page()
        first.start()
        first.host.advance(ms)
        second = Page(beside=first, tab="tab-2")
        second.start()
        return first, second

    def test_the_second_counts_nothing_while_the_first_is_visible(self) -> None:
        """Not a millisecond of the second window is active, neither shown nor sent."""
        first, second = self.two()
        together(60_000, first, second)
        assert (first.activity.total_active_ms, second.activity.total_active_ms) == (65_250, 0)
        for page in (first, second):
            page.host.run(page.activity.end())
        assert sum(active_ms(page.transport) for page in (first, second)) == 65_250
        assert active_ms(second.transport) == 0

    def test_when_the_first_is_hidden_the_second_counts(self) -> None:
        """The run passes to the window that is looked at, and back when that one is hidden."""
        first, second = self.two()
        together(2_000, first, second)
        first.host.tell(Signal.HIDDEN)
        together(3_000, first, second)
        assert (first.activity.total_active_ms, second.activity.total_active_ms) == (7_250, 3_000)
        first.host.tell(Signal.SHOWN)
        together(4_000, first, second)
        assert (first.activity.total_active_ms, second.activity.total_active_ms) == (7_250, 7_000)
        second.host.tell(Signal.HIDDEN)
        together(1_000, first, second)
        assert (first.activity.total_active_ms, second.activity.total_active_ms) == (8_250, 7_000)

    @pytest.mark.parametrize("how", ["ends", "dies", "freezes"])
    def test_when_the_first_is_gone_the_second_counts(self, how: str) -> None:
        """Ended, crashed or frozen, the first window holds nothing back."""
        first, second = self.two()
        if how == "ends":
            first.host.run(first.activity.end())
        elif how == "dies":
            first.die()
        else:
            first.host.tell(Signal.FROZEN)
        second.host.advance(4_000)
        assert second.activity.total_active_ms == 4_000

    def test_a_second_that_comes_back_alone_counts(self) -> None:
        """Hidden while the first window counted, shown when that is gone: the second one counts."""
        first, second = self.two()
        together(2_000, first, second)
        second.host.tell(Signal.HIDDEN)
        together(1_000, first, second)
        first.host.run(first.activity.end())
        second.host.tell(Signal.SHOWN)
        second.host.advance(4_000)
        assert second.activity.total_active_ms == 4_000

    def test_another_run_is_not_held_back(self) -> None:
        """Two windows with different runs both count."""
        first = Page()
        first.start("run-1")
        second = Page(beside=first, tab="tab-2")
        second.start("run-2")
        together(4_000, first, second)
        assert (first.activity.total_active_ms, second.activity.total_active_ms) == (4_000, 4_000)
        assert first.errors == second.errors == []

    def test_the_second_is_told(self) -> None:
        """The second `start()` of a run tells on_error that the same run is open elsewhere."""
        first, second = self.two()
        assert [type(error) for error in second.errors] == [SameRunElsewhereError]
        assert first.errors == []

    def test_it_is_told_once(self) -> None:
        """However long both are open, the second hears it once."""
        first, second = self.two()
        together(120_000, first, second)
        assert [type(error) for error in second.errors].count(SameRunElsewhereError) == 1

    @pytest.mark.parametrize("first_told", [0, 1])
    def test_windows_that_begin_together_are_not_lost_in_silence(self, first_told: int) -> None:
        """The screen is locked and unlocked over both: the server takes two windows for one, and the loss is told.

        Which of the two pages hears of it first is the browser's choice. Each knows of the other after a heartbeat.
        """
        pages = self.two()
        server = Server(lambda: pages[0].now_s)
        for page in pages:
            page.answer = server.answer
        in_order = pages if first_told == 0 else pages[::-1]
        together(32_000, *pages)
        for signal in (Signal.HIDDEN, Signal.SHOWN, Signal.HIDDEN):
            for page in pages if signal is Signal.SHOWN else in_order:
                page.host.tell(signal)
            together(3_000, *pages)
        for page in pages:
            page.host.run(page.activity.end())
        told_ms = [error.lost_ms for page in pages for error in page.errors if isinstance(error, LostError)]
        counted_ms = sum(page.activity.total_active_ms + page.activity.total_inactive_ms for page in pages)
        assert told_ms
        assert server.active_ms + server.inactive_ms + sum(told_ms) == counted_ms
        assert [page.stats.duplicates for page in pages] == [0, 0]


def active_ms(transport: MemoryTransport) -> int:
    """Active time in everything that was sent."""
    requests = [*transport.sent, *transport.on_exit]
    return sum(json.loads(request.body)["elapsedMs"] for request in requests if request.body)


class TestGuard:
    """Where the browser can, it sends the window in progress itself once the page is gone."""

    def test_it_stands_while_the_window_is_open(self) -> None:
        """One guard at a time, renewed with each checkpoint, with the body that a sending would have."""
        page = Page(can_guard=True)
        page.start()
        page.host.advance(5_000)
        (guard,) = page.transport.guards
        assert spans([guard]) == [(0, 5)]
        assert guard.url == f"{BASE}/activity/heartbeat"

    def test_it_is_lifted_before_the_window_is_sent(self) -> None:
        """When a window is sent, no guard of the same window stands."""
        seen = list[list[Request]]()

        def answer(_request: Request) -> Answer:
            seen.append(list(page.transport.guards))
            return OK

        page = Page(can_guard=True, answer=answer)
        page.start()
        page.host.advance(15_000)
        page.host.tell(Signal.HIDDEN)
        page.host.advance(3_000)
        page.host.run(page.activity.end())
        assert len(seen) >= 2
        assert all(spans(guards) == [] or spans(guards)[0][0] >= 15 for guards in seen)
        assert page.transport.guards == []

    def test_it_stands_until_the_last_window_leaves(self) -> None:
        """A browser may end a page in the middle of its exit: up to the sending itself the guard is there."""
        page = Page(can_guard=True)
        page.start()
        page.host.advance(5_000)
        standing = list[int]()
        write = page.storage.set

        def noted(key: str, value: str) -> bool:
            standing.append(len(page.transport.guards))
            return write(key, value)

        page.storage.set = noted  # pyright: ignore[reportAttributeAccessIssue] - watched, not replaced
        page.host.tell(Signal.FROZEN)
        assert standing
        assert set(standing) == {1}
        assert spans(page.transport.on_exit) == [(0, 5)]
        assert page.transport.guards == []

    def test_a_closed_client_leaves_none(self) -> None:
        """After `aclose()` the browser sends nothing by itself."""
        page = Page(can_guard=True)
        page.start()
        page.host.advance(5_000)
        page.host.run(page.client.aclose())
        assert page.transport.guards == []

    def test_a_window_whose_guard_may_have_fired_is_doubtful(self) -> None:
        """What the browser may have sent is sent again unchanged, within the server's memory only."""
        old = Page(can_guard=True)
        old.start()
        old.host.advance(7_000)
        (fired,) = old.transport.guards
        page = Page(storage=old.storage, wall_ms=WALL + 8_000)
        page.answer = lambda r: DUPLICATE if r.body == fired.body else OK
        page.start("run-2", time={"heartbeat_ms": 1_000_000})
        assert page.transport.sent == []
        page.host.advance(40_000)
        assert [request.body for request in page.transport.sent] == [fired.body]
        assert page.stats.duplicates == 1

    def test_after_the_servers_memory_it_is_not_sent_again(self) -> None:
        """Ten minutes later the guard's window is dropped and told, rather than counted twice."""
        old = Page(can_guard=True)
        old.start()
        old.host.advance(7_000)
        page = Page(storage=old.storage, wall_ms=WALL + 600_000)
        page.start("run-2")
        assert page.transport.sent == []
        assert page.stats.lost == {LossReason.AMBIGUOUS: 1}
        assert add_up(page.stats)

    def test_no_guard_for_a_failing_server(self) -> None:
        """While the server fails, a guard would only make the window doubtful."""
        page = Page(can_guard=True, answer=UNAVAILABLE)
        page.start()
        page.host.advance(20_000)
        assert page.transport.guards == []


class TestUsers:
    """What waits belongs to somebody (delivery.md, Shared computers)."""

    def test_another_user_never_sends_it(self) -> None:
        """Under another `user_key` a window is neither sent nor counted; its owner finds it again."""
        old = Page(answer=UNAVAILABLE)
        old.start()
        old.host.advance(17_000)
        other = Page(storage=old.storage, wall_ms=WALL + 60_000, user_key="other@school.example")
        other.start("run-2")
        other.host.advance(100)
        assert other.transport.sent == []
        assert (other.stats.waiting, other.stats.recovered) == (0, 0)
        again = Page(storage=old.storage, wall_ms=WALL + 120_000, tab="tab-3")
        again.start("run-3")
        assert again.stats.delivered == 1
        assert again.tried == [(0, 17)]

    def test_another_server_never_gets_it(self) -> None:
        """What waits for one `base_url` is not sent to another."""
        old = Page(answer=UNAVAILABLE)
        old.start()
        old.host.advance(17_000)
        other = Page(
            storage=old.storage, wall_ms=WALL + 60_000, client_options={"base_url": "https://other.example/api"}
        )
        other.start("run-2")
        assert other.transport.sent == []

    def test_nothing_personal_is_stored(self) -> None:
        """The raw storage holds a digest: no user key, no e-mail, no name of a person, no token, no id."""
        profile = b'{"verified":true,"timebackId":"student-1","email":"sam@school.example","name":"Sam Student"}'
        for user_key in ("sam@school.example", None):
            page = Page(
                user_key=user_key,
                verify=Response(200, body=profile),
                answer=UNAVAILABLE,
                client_options={"auth": bearer(lambda: "secret-token")},
            )
            page.start()
            page.host.advance(20_000)
            raw = json.dumps(page.storage_content)
            assert page.kept
            for word in ("sam@", "Sam", "secret-token", "student-1", "Bearer"):
                assert word not in raw
            assert owner_of("student-1" if user_key is None else user_key) in raw

    def test_verify_is_asked_only_without_a_user_key(self) -> None:
        """With a `user_key` nobody is asked who is signed in; without one it is asked once a page."""
        known, unknown = Page(), Page(user_key=None, verify=Response(200, body=b'{"verified":false}'))
        for page in (known, unknown):
            page.start()
            page.host.advance(20_000)
            page.host.run(page.activity.end())
            page.start()
            page.host.advance(20_000)
        assert known.asked.count("verify") == 0
        assert unknown.asked.count("verify") == 1

    @pytest.mark.parametrize(
        "verify", [RESET, UNAVAILABLE, Response(200, body=b"<html>"), Response(401), Response(404)]
    )
    def test_a_failing_verify_disturbs_nothing(self, verify: Answer) -> None:
        """If nobody can say who is signed in, time is delivered all the same, and no error is told."""
        page = Page(user_key=None, verify=verify)
        page.start()
        page.verify = VERIFIED if verify is RESET else verify
        page.host.advance(15_000)
        assert page.tried == [(0, 15)]
        assert page.errors == []

    def test_verify_binds_what_this_tab_left(self) -> None:
        """Windows of this tab that nobody owned yet belong to the user as soon as he is known."""
        old = Page(user_key=None, verify=UNAVAILABLE, answer=UNAVAILABLE)
        old.start()
        old.host.advance(17_000)
        assert {entry.owner for entry in entries_in(old.storage)} == {"tab:tab-1"}
        page = Page(storage=old.storage, wall_ms=WALL + 60_000, user_key=None, answer=UNAVAILABLE)
        page.start("run-2")
        assert {entry.owner for entry in entries_in(page.storage)} == {owner_of("student-1")}

    def test_verify_is_asked_again_after_an_outage(self) -> None:
        """An outage at the start keeps nobody's leftovers back: when the server answers again, it is asked again."""
        page = Page(user_key=None, verify=UNAVAILABLE, answer=UNAVAILABLE)
        page.start()
        page.host.advance(40_000)
        assert page.asked.count("verify") == 1
        page.verify, page.answer = VERIFIED, OK
        page.host.advance(40_000)
        assert page.asked.count("verify") == 2
        page.answer = UNAVAILABLE
        page.host.advance(17_000)
        assert {entry.owner for entry in entries_in(page.storage)} == {owner_of("student-1")}

    def test_who_the_user_is_may_become_known_during_a_run(self) -> None:
        """What another tab left is taken over all the same, although that run had looked for it before."""

        async def play() -> int:
            page, tasks = Page(user_key=None), set[asyncio.Task[None]]()
            page.host.spawn = lambda work: tasks.add(asyncio.ensure_future(work)) or True
            known, sent = asyncio.Event(), asyncio.Event()

            async def send(request: Request, *, timeout_ms: float) -> Answer:  # noqa: ARG001
                await (known if request.url.endswith("/user/verify") else sent).wait()
                return page.answered(request)

            page.transport.send = send
            page.start()
            await asyncio.sleep(0)
            Shelf(page.storage).put(waiting_entry(-60, owner=owner_of("student-1")))
            page.host.advance(15_000)
            for step in (known, sent):
                await asyncio.sleep(0.01)
                step.set()
            await asyncio.sleep(0.01)
            assert all(task.done() for task in tasks)
            return page.stats.recovered

        assert asyncio.run(play()) == 1

    def test_only_the_same_tab_recovers_what_nobody_owns(self) -> None:
        """Before it is known who is signed in, another tab neither sends nor counts what this one left."""
        old = Page(user_key=None, verify=UNAVAILABLE, answer=UNAVAILABLE)
        old.start()
        old.host.advance(17_000)
        other = Page(storage=old.storage, wall_ms=WALL + 60_000, user_key=None, verify=UNAVAILABLE, tab="tab-2")
        other.start("run-2")
        assert other.transport.sent[1:] == []
        same = Page(storage=old.storage, wall_ms=WALL + 60_000, user_key=None, verify=UNAVAILABLE)
        same.start("run-3")
        assert same.tried == [(0, 17)]

    def test_a_window_bound_during_the_probe_stays_bound(self) -> None:
        """The user becomes known while a window is about to be sent: it keeps its new owner, whatever is answered."""
        page = Page(user_key=None, verify=RESET)
        page.start()
        page.verify, page.answer = VERIFIED, UNAVAILABLE
        page.host.advance(16_000)
        assert {entry.owner for entry in entries_in(page.storage)} == {owner_of("student-1")}
        assert page.stats.waiting == 1

    @pytest.mark.parametrize("owner", ["user:of another", "tab:of another"])
    def test_what_others_left_ages_out(self, owner: str) -> None:
        """What another user, or nobody, left is kept until it is too old, and no longer."""
        page = Page()
        Shelf(page.storage).put(waiting_entry(-8 * 86_400, owner=owner))
        page.start()
        page.host.advance(60_000)
        assert page.kept == []


class TestStorage:
    """Corrupt, full and overflowing storage."""

    def test_corrupt_storage_disturbs_nothing(self) -> None:
        """Garbage among what waits is set aside; the rest is delivered."""
        page = Page()
        page.storage_content.update({WINDOWS + "a/1": "{", OPEN + "b": "null"})
        Shelf(page.storage).put(waiting_entry(-30))
        page.start()
        page.host.advance(15_000)
        assert page.tried == [(-30, -25), (0, 15)]
        assert page.stats.waiting == 0

    def test_corrupt_storage_is_told(self) -> None:
        """Garbage is counted as lost(corrupt), and on_error hears of it."""
        page = Page()
        page.storage_content.update({WINDOWS + "a/1": "{", OPEN + "b": "null"})
        page.start()
        page.host.advance(15_000)
        assert page.stats.lost == {LossReason.CORRUPT: 2}
        assert any(isinstance(error, LostError) for error in page.errors)

    def test_a_window_under_a_wrong_key_keeps_nobody_busy(self) -> None:
        """A window that lies under another one's key is sent or set aside; nothing waits for it without end."""
        page = Page()
        page.storage_content[WINDOWS + "elsewhere/1"] = to_json(waiting_entry(-30).stored())
        page.start()
        assert [timer for timer in page.host._timers if timer[0] <= page.host.now().mono_ms] == []
        assert page.stats.waiting == 0

    def test_overflow_is_lost_and_told(self) -> None:
        """Over 256 KiB of windows that cannot be joined, the oldest are lost(overflow), and each is told."""
        page = Page(answer=UNAVAILABLE)
        for number in range(140):
            Shelf(page.storage).put(waiting_entry(-2_000 + 10 * number, name="x" * 2_000))
        page.start()
        overflowed = page.stats.lost[LossReason.OVERFLOW]
        assert overflowed == sum(isinstance(error, LostError) for error in page.errors) > 0
        assert len(page.kept) + overflowed == 140
        assert page.kept[0][0] == -2_000 + 10 * overflowed
        assert sum(map(len, page.storage_content.values())) <= 256 * 1024
        assert add_up(page.stats)

    @pytest.mark.parametrize("why", ["offline", "held"])
    def test_the_bound_holds_when_nothing_is_sent(self, why: str) -> None:
        """Offline or signed out for hours, what waits is joined and bounded all the same."""
        page = Page(answer=UNAUTHORIZED)
        page.host.online = why == "held"
        page.start(time={"heartbeat_ms": 1_000})
        page.host.advance(60_000)
        assert len(page.kept) <= 5


class TestStats:
    """closed + recovered == delivered + duplicates + joined + lost + waiting."""

    def test_the_counts_add_up_at_every_moment(self) -> None:
        """Through an outage, a doubt, a rejection and a duplicate the counts always add up."""
        answers = iter([OK, UNAVAILABLE, RESET, RESET, Response(400), DUPLICATE])
        page = Page(answer=lambda _request: next(answers, OK))
        page.start()
        for _ in range(200):
            page.host.advance(1_500)
            assert add_up(page.stats)
        page.host.run(page.activity.end())
        assert add_up(page.stats)
        assert page.stats.waiting == 0
        assert page.stats.duplicates == 1
        assert page.stats.lost[LossReason.REJECTED] == 1

    def test_aclose_leaves_no_timer_and_no_listener(self) -> None:
        """A closed client is silent, even with windows that wait."""
        page = Page(answer=UNAVAILABLE)
        page.start()
        page.host.advance(20_000)
        page.host.run(page.client.aclose())
        sent = len(page.transport.sent)
        assert (page.host._timers, page.host.watching, page.host._online_calls) == ([], 0, [])
        page.host.advance(600_000)
        assert len(page.transport.sent) == sent
        assert page.kept == [(0, 20)]


class TestDrivenWorld:
    """`ManualHost` as it is, without this file's loaded dice."""

    def test_a_failing_server_does_not_stop_the_clock(self) -> None:
        """With a server that fails, retries take time: `advance()` comes to its end."""

        def answer(_request: Request) -> Answer:
            if len(transport.sent) > 100:
                pytest.fail("a hundred requests at one instant")
            return UNAVAILABLE

        host, transport = ManualHost(), MemoryTransport(answer)
        client = create_client(host=host, transport=transport, user_key="student")
        client.activity.start(id="fractions-1", name="Fractions", course={"code": "MATH-3"})
        host.advance(16_000)

    def test_two_worlds_name_their_runs_apart(self) -> None:
        """Two pages over one storage never take each other's sessions and runs for their own."""
        one, two = ManualHost(), ManualHost()
        assert not {one.new_run_id() for _ in range(5)} & {two.new_run_id() for _ in range(5)}

    def test_two_windows_with_one_run_can_be_played(self) -> None:
        """Two driven worlds that share their names are two windows, and the second one is told that it waits."""
        one, two = ManualHost(), ManualHost()
        two.held_names = one.held_names
        for host in (one, two):
            client = create_client(host=host, transport=MemoryTransport(), user_key="student")
            activity = client.activity.start(id="a", name="A", course={"code": "MATH-3"}, run_id="run-1")
            host.advance(1_000)
        assert activity.total_active_ms == 0
