"""The sender: brings what waits to the server, one request at a time, and follows the answers (delivery.md)."""

import asyncio
from typing import Final

from tb_browser._ledger import Window
from tb_browser._outbox import Entry, Fate, backoff_ms, read_answer
from tb_browser._ports import Answer, Host, NoAnswer, Request, Response, Stop
from tb_browser.backlog import Backlog, Observer, page_lock
from tb_browser.courier import Courier
from tb_browser.errors import (
    DeliveryError,
    LossReason,
    NotSignedInError,
    TimebackError,
    UnavailableError,
    UnreachableError,
)
from tb_browser.models import ActivityRef, Completion, Retry, Verification

EXIT_BYTES: Final = 32 * 1024
"""Half of the 64 KiB that all keepalive bodies in flight may have together (Fetch standard)."""
LANDING_S: Final = 10.0
"""How long `flush()` waits for answers to what was sent as the page was hidden."""


class Delivery:
    """Delivers the windows of one server on this origin; `open()` starts it and `close()` ends it."""

    def __init__(self, host: Host, courier: Courier, user_key: str | None) -> None:
        self._host = host
        self._courier = courier
        self._backlog = Backlog(host, courier.base_url, user_key)
        self._sending = asyncio.Lock()
        self._ask_for_user, self._ask_again = True, False
        self._running = 0
        self._failures = 0
        self._unreachable = False
        self._held = False
        self._told: type[TimebackError] | None = None
        self._landed: asyncio.Future[None] | None = None
        self._guard: Stop | None = None
        self._retry_timer: Stop | None = None
        self._settle_timer: Stop | None = None
        self._stop_online: Stop | None = None
        self._let_go: Stop | None = None

    # --- for an activity ---

    def open(self, retry: Retry, observer: Observer) -> None:
        """An activity starts: find what earlier pages left, learn who the user is, deliver."""
        self._backlog.retry, self._backlog.observer = retry, observer
        if self._stop_online is None:
            self._stop_online = self._host.on_online(self.try_now)
        self.hold()
        self._held = False
        self._cancel_retry()
        self._start_run()

    def hold(self) -> None:
        """Let other pages know that this one lives, and delivers what it keeps."""
        if self._let_go is None:
            self._let_go = self._host.hold(page_lock(self._backlog.page), lambda _ours: None)

    def let_go(self) -> None:
        """This page may be gone for good: others may take over what it keeps."""
        if self._let_go is not None:
            self._let_go()
            self._let_go = None

    def put(self, activity: ActivityRef, window: Window) -> None:
        """Keep a closed window until it is delivered or lost."""
        self._backlog.put(activity, window)

    def waiting(self, run_id: str | None = None) -> int:
        """How many windows wait: of one run, or all of this user's."""
        return self._backlog.waiting(run_id)

    def checkpoint(self, activity: ActivityRef, window: Window | None, *, active: bool) -> None:
        """Write the window in progress down, and have the browser guard it (delivery.md, Checkpoint and Guard)."""
        transport = self._courier.transport
        empty = window is None or window.ended_at_ms == window.started_at_ms
        if window is None or (empty and not transport.guards_grow):
            self.forget_checkpoint()
            return
        self._lift_guard()
        entry = self._backlog.entry(activity, window)
        # With or without a guard: a page that dies after its exit handler has sent this window, too.
        may_arrive = self._may_send_blindly()
        if may_arrive:
            self._guard = transport.guard(self._courier.signed(self._courier.heartbeat(entry)), active=active)
        if empty:
            self._backlog.forget_checkpoint()
        else:
            self._backlog.checkpoint(entry, may_arrive=may_arrive)

    def forget_checkpoint(self, *, leaving: bool = False) -> None:
        """The window in progress has closed, or is empty; when leaving, its guard is left to `leave()`."""
        if not leaving:
            self._lift_guard()
        self._backlog.forget_checkpoint()

    # --- sending ---

    def try_now(self) -> None:
        """Something has changed (the network, the person is back): do not wait any longer."""
        self._held = False
        self._cancel_retry()
        self.kick()

    def kick(self) -> None:
        """See to it that what waits is sent: now, or when the wait after a failure is over."""
        if not self._held and self._retry_timer is None and self._backlog.due():
            self._start_run()

    async def flush(self) -> None:
        """Try everything now, and wait for the answers."""
        self.hold()
        self._held = False
        self._cancel_retry()
        await self._run_again()
        if self._backlog.in_flight:
            self._landed = self._landed or asyncio.get_running_loop().create_future()
            await asyncio.wait([self._landed], timeout=LANDING_S)

    def flush_blocking(self) -> None:
        """Try everything that is not in flight, before returning. What earlier pages left waits for `flush()`."""
        self._held = False
        self._cancel_retry()
        while not self._held and self._host.online and (due := self._backlog.due()):
            if self._unreachable and not self._is_heard(self._courier.ask_blocking(self._courier.verification())):
                return
            marked = self._backlog.mark_sent(due[0])
            if not self._settle(due[0], marked, self._courier.ask_blocking(self._courier.heartbeat(due[0]))):
                return

    async def complete(self, completion: Completion) -> DeliveryError | None:
        """Record a completion, once: it is not deduplicated by the server, so it is not tried again by itself."""
        request = self._courier.completion(completion)
        return read_answer(await self._courier.ask(request), request.url)[1]

    def complete_blocking(self, completion: Completion) -> DeliveryError | None:
        """The same before returning."""
        request = self._courier.completion(completion)
        return read_answer(self._courier.ask_blocking(request), request.url)[1]

    def leave(self) -> None:
        """Send before returning: this page may never run again (delivery.md, Exit).

        A browser gives a page that it closes little time, and ends it in the middle; so the guard holds until the
        window that it guards is about to be sent.
        """
        if self._backlog.durable and not self._may_send_blindly():
            self._lift_guard()
            return  # it is sure that the next visit delivers it; a sending that nobody answers would not be
        room = EXIT_BYTES - sum(self._backlog.in_flight.values())
        for entry in reversed(self._backlog.due()):
            request = self._courier.signed(self._courier.heartbeat(entry))
            room -= len(request.body or b"")
            if room < 0:
                break
            self._send_on_exit(entry, request)
        self._lift_guard()

    def close(self) -> None:
        """Stop every timer and listener."""
        self._cancel_retry()
        self._lift_guard()
        self.let_go()
        for stop in (self._settle_timer, self._stop_online):
            if stop is not None:
                stop()
        self._settle_timer = self._stop_online = None

    # --- inside ---

    def _may_send_blindly(self) -> bool:
        """Whether a request whose answer nobody will see is likely to be taken."""
        return self._host.online and not self._held and not self._failures

    def _lift_guard(self) -> None:
        if self._guard is not None:
            self._guard()
            self._guard = None

    def _start_run(self) -> None:
        if not self._running and self._host.spawn(self._run()):
            self._running += 1

    async def _run_again(self) -> None:
        """Run even if a run is under way: that one may be past the step that matters."""
        self._running += 1
        await self._run()

    async def _run(self) -> None:
        try:
            await self._host.exclusively(self._backlog.adopt)
            async with self._sending:
                await self._send_all()
        finally:
            self._running -= 1
        self._plan()
        if self._ask_for_user and not self._backlog.knows_user and not (self._ask_again and self._failures):
            self._ask_for_user = False
            self._host.spawn(self._identify())

    async def _send_all(self) -> None:
        while not self._held and self._host.online and self._backlog.due():
            if self._unreachable and not await self._is_back():
                return
            due = self._backlog.due()  # once more: time has passed, and the page may have been hidden meanwhile
            if due and not await self._send(due[0]):
                return

    async def _send(self, entry: Entry) -> bool:
        marked = self._backlog.mark_sent(entry)
        try:
            answer = await self._courier.ask(self._courier.heartbeat(entry))
        except BaseException:  # whoever waited has given up: it may have arrived, and nothing waits for its answer
            self._land(marked)
            raise
        return self._settle(entry, marked, answer)

    def _send_on_exit(self, entry: Entry, request: Request) -> None:
        marked = self._backlog.mark_sent(entry)

        def answered(answer: Answer) -> None:
            self._settle(entry, marked, answer)
            self._plan()

        self._lift_guard()
        self._courier.transport.send_on_exit(request, answered)

    def _land(self, entry: Entry) -> None:
        """It is no longer in flight."""
        del self._backlog.in_flight[entry.key]
        if not self._backlog.in_flight and self._landed is not None:
            if not self._landed.done():
                self._landed.set_result(None)
            self._landed = None

    def _settle(self, before: Entry, marked: Entry, answer: Answer) -> bool:
        """Follow an answer (delivery.md, Answers); True if the next window may be sent at once."""
        self._land(marked)
        fate, error = read_answer(answer, f"{self._courier.base_url}/activity/heartbeat")
        if error is None:
            self._failures, self._unreachable, self._held, self._told = 0, False, False, None
            first_sending = before.first_sent_ms is None
            self._backlog.deliver(marked, duplicate=fate is Fate.DUPLICATE, first_sending=first_sending)
            return True
        if fate is Fate.REJECTED:
            self._backlog.lose(marked, LossReason.REJECTED, error)
            return True
        if fate is Fate.KEEP:
            self._backlog.take_back(before)
        self._unreachable = isinstance(answer, NoAnswer) and answer.sent
        self._fail(error)
        return False

    def _fail(self, error: DeliveryError) -> None:
        self._failures += 1
        self._held = isinstance(error, NotSignedInError)
        wait_ms = backoff_ms(self._failures, self._backlog.retry, self._host.random())
        if isinstance(error, UnavailableError) and error.retry_after_ms is not None:
            wait_ms = max(wait_ms, error.retry_after_ms)
        self._cancel_retry()
        if not self._held:
            self._retry_in(wait_ms)
        if self._backlog.observer and self._told is not type(error):  # an outage is told once, not at every try
            self._told = type(error)
            self._backlog.observer.on_trouble(error)

    def _plan(self) -> None:
        """Wake up again for what may be sent later; other windows do not wait for it."""
        if self._settle_timer is None and not self._held and self._host.online:
            wait_ms = self._backlog.next_wait_ms()
            if wait_ms is not None:
                self._settle_timer = self._host.after(wait_ms, self._settled)

    def _retry_in(self, ms: float) -> None:
        def over() -> None:
            self._retry_timer = None
            self.kick()

        self._retry_timer = self._host.after(ms, over)

    def _settled(self) -> None:
        self._settle_timer = None
        self.kick()

    def _cancel_retry(self) -> None:
        if self._retry_timer is not None:
            self._retry_timer()
            self._retry_timer = None

    async def _is_back(self) -> bool:
        """Ask for something harmless first: a window that is sent to a dead server would be ambiguous."""
        return self._is_heard(await self._verify())

    def _is_heard(self, answer: Answer) -> bool:
        _, error = read_answer(answer, self._courier.base_url)
        if isinstance(answer, NoAnswer) and error is not None:
            self._fail(error)
            return False
        self._unreachable = False
        return True

    async def _identify(self) -> None:
        """Learn whose windows these are; a failure disturbs nothing (delivery.md, Shared computers)."""
        answer = await self._verify()
        if isinstance(answer, NoAnswer):
            self._unreachable = answer.sent
        _, error = read_answer(answer, self._courier.base_url)
        if isinstance(error, UnreachableError | UnavailableError):
            self._ask_for_user = self._ask_again = True  # an outage is no answer: ask when windows are delivered again
        elif self._backlog.knows_user and self._retry_timer is None and not self._held:
            await self._run_again()  # what pages before this one left can be told apart now

    async def _verify(self) -> Answer:
        answer = await self._courier.ask(self._courier.verification())
        if isinstance(answer, Response) and answer.status == 200 and not self._backlog.knows_user:
            verification = Verification.read(answer.body)
            if verification is not None and verification.timeback_id is not None:
                self._backlog.bind(verification.timeback_id)
        return answer
