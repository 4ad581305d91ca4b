"""The sender: feeds what waits to the transport, one request at a time, and follows the answers.

The rules are in `_outbox.py`; here they meet storage, timers and the network (delivery.md).
"""

import asyncio
import inspect
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final, Protocol

from tb_browser._ledger import Window
from tb_browser._outbox import (
    Entry,
    Fate,
    backoff_ms,
    coalesce,
    judge,
    overflow,
    read_answer,
)
from tb_browser._ports import Answer, Host, NoAnswer, Request, Response, Stop, Transport
from tb_browser._shelf import Checkpoint, Shelf
from tb_browser.auth import Ask, Auth
from tb_browser.errors import (
    DeliveryError,
    LossReason,
    LostError,
    NotSignedInError,
    TimebackError,
    UnavailableError,
)
from tb_browser.models import ActivityRef, Retry, Verification

TIMEOUT_MS: Final = 40_000.0
"""The official server answers 502 after up to 30 s when the platform hangs."""
EXIT_BYTES: Final = 32 * 1024
"""Half of the 64 KiB that all keepalive bodies in flight may have together (Fetch standard)."""
STALE_MS: Final = 5_000
"""A live page renews its checkpoint every second; one that is older belongs to a page that is gone, or asleep."""
LANDING_S: Final = 10.0
"""How long `flush()` waits for answers to what was sent as the page was hidden."""


class Observer(Protocol):
    """Who is told what becomes of windows: the activity that runs."""

    def on_delivered(self, entry: Entry, *, duplicate: bool) -> None: ...

    def on_lost(self, reason: LossReason, error: TimebackError, *, windows: int = 1) -> None: ...

    def on_joined(self, windows: int) -> None: ...

    def on_recovered(self, entry: Entry) -> None: ...

    def on_elsewhere(self, entry: Entry) -> None: ...

    def on_trouble(self, error: TimebackError) -> None: ...


@dataclass(frozen=True, slots=True)
class Courier:
    """How one server is asked: its address, and how requests are signed."""

    base_url: str
    transport: Transport
    auth: Auth

    def request(self, method: str, path: str, body: bytes | None = None) -> Request:
        """A request to a route below the base URL."""
        headers = {"content-type": "application/json"} if body is not None else {}
        return Request(method, f"{self.base_url}{path}", headers, body)

    async def ask(self, request: Request) -> Answer:
        """Send by the rules of `auth`; a token that cannot be had means that nothing was sent."""
        flow = self.auth.flow(request)
        answer: Answer = NoAnswer("auth sent nothing", sent=False)
        try:
            step = next(flow)
            while True:
                if step is Ask.TOKEN:
                    assert self.auth.ask is not None  # noqa: S101 - a flow that asks has somebody to ask
                    token = self.auth.ask()
                    step = flow.send(await token if inspect.isawaitable(token) else token)
                else:
                    answer = await self.transport.send(step, timeout_ms=TIMEOUT_MS)
                    step = flow.send(answer)
        except StopIteration:
            return answer
        except Exception as error:  # noqa: BLE001 - whatever get_token raises, the window is kept
            return NoAnswer(f"get_token raised {type(error).__name__}: {error}", sent=False)


def owner_of(user: str) -> str:
    """Who entries are bound to: a digest, so that nothing personal lies in storage."""
    return f"user:{sha256(user.encode()).hexdigest()[:32]}"


class Delivery:
    """Keeps, sends and recovers the windows of one server on this origin."""

    def __init__(self, host: Host, courier: Courier, user_key: str | None) -> None:
        self._host = host
        self._courier = courier
        self._shelf = Shelf(host.storage)
        self._known = user_key is not None
        self._asked = False
        self._owner = owner_of(user_key) if user_key is not None else f"tab:{host.tab_token}"
        self._in_flight = dict[str, int]()
        self._landed: asyncio.Future[None] | None = None
        self._running = 0
        self._failures = 0
        self._unreachable = False
        self._held = False
        self._told: type[TimebackError] | None = None
        self._timer: Stop | None = None
        self._guard: Stop | None = None
        self._sessions = set[str]()
        self._stop_online: Stop | None = None
        self.retry = Retry()
        self.observer: Observer | None = None

    # --- what is kept ---

    def put(self, activity: ActivityRef, window: Window) -> None:
        """Keep a closed window until it is delivered or lost."""
        self._shelf.put(self._entry(activity, window))

    def waiting(self, run_id: str | None = None) -> int:
        """How many windows wait: of one run, or all of this user's."""
        return sum(1 for entry in self._mine() if run_id in (None, entry.activity.run_id))

    def checkpoint(self, session: str, activity: ActivityRef, window: Window | None) -> None:
        """Write the window in progress down, and have the browser guard it (delivery.md, Checkpoint and Guard)."""
        self.lift_guard()
        if window is None:
            self.forget_checkpoint(session)
            return
        entry = self._entry(activity, window)
        self._guard = self._courier.transport.guard(self._signed(entry)) if self._may_send_blindly() else None
        self._sessions.add(session)
        self._shelf.keep_checkpoint(
            Checkpoint(session, entry, int(self._host.now().wall_ms), self._host.tab_token, self._guard is not None)
        )

    def was_claimed(self, session: str) -> bool:
        """Whether another page took this session's checkpoint for a dead page's, and delivers it."""
        return session in self._sessions and not self._shelf.has_checkpoint(session)

    def forget_checkpoint(self, session: str) -> None:
        """The window in progress has closed, or is empty."""
        self.lift_guard()
        self._sessions.discard(session)
        self._shelf.drop_checkpoint(session)

    def lift_guard(self) -> None:
        """Call the guard off: the window is going to be sent otherwise."""
        if self._guard is not None:
            self._guard()
            self._guard = None

    # --- sending ---

    def open(self) -> None:
        """Start: find what earlier pages left, learn who the user is, deliver."""
        if self._stop_online is None:
            self._stop_online = self._host.on_online(self.try_now)
        self._recover()
        if not self._known and not self._asked:
            self._asked = True
            self._host.spawn(self._identify())
        self.try_now()

    def try_now(self) -> None:
        """Something has changed (the network, the person is back): do not wait any longer."""
        self._held = False
        self._cancel_timer()
        self.kick()

    def kick(self) -> None:
        """See to it that what waits is sent: now, or when the wait after a failure is over."""
        if self._running or self._held or self._timer is not None or not self._mine():
            return
        self._running += 1
        self._host.spawn(self._run())

    async def flush(self) -> None:
        """Try everything now, and wait for the answers."""
        self._held = False
        self._cancel_timer()
        self._running += 1
        await self._run()
        if self._in_flight:
            self._landed = self._landed or asyncio.get_running_loop().create_future()
            await asyncio.wait([self._landed], timeout=LANDING_S)

    def leave(self) -> None:
        """Send before returning: this page may never run again (delivery.md, Exit)."""
        if self._shelf.durable and not self._may_send_blindly():
            return  # it is sure that the next visit delivers it; a sending that nobody answers would not be
        wall_ms = self._host.now().wall_ms
        room = EXIT_BYTES - sum(self._in_flight.values())
        for entry in sorted(self._tidy(), key=lambda entry: -entry.window.started_at_ms):
            verdict = judge(entry, wall_ms, self.retry)
            if verdict.loss or verdict.wait_ms or entry.key in self._in_flight:
                continue
            request = self._signed(entry)
            room -= len(request.body or b"")
            if room < 0:
                break
            self._send_on_exit(entry, request)

    def close(self) -> None:
        """Stop every timer and listener."""
        self._cancel_timer()
        self.lift_guard()
        if self._stop_online is not None:
            self._stop_online()
            self._stop_online = None

    # --- inside ---

    def _entry(self, activity: ActivityRef, window: Window) -> Entry:
        return Entry(activity, window, self._owner, self._courier.base_url)

    def _is_mine(self, entry: Entry) -> bool:
        return (entry.owner, entry.base_url) == (self._owner, self._courier.base_url)

    def _mine(self) -> list[Entry]:
        """This user's entries for this server."""
        return [entry for entry in self._shelf.entries() if self._is_mine(entry)]

    def _age_out(self) -> None:
        """Drop what has waited too long for its user, or for its tab, to come back; nobody else may send it."""
        wall_ms = self._host.now().wall_ms
        for entry in self._shelf.entries():
            if wall_ms - entry.window.ended_at_ms > self.retry.max_age_ms and not self._is_mine(entry):
                self._lose(entry, LossReason.EXPIRED)
        if self._shelf.corrupt and self.observer:
            detail = "what lay in storage could not be read, and was set aside"
            error = LostError(LossReason.CORRUPT, self._shelf.corrupt, 0, detail)
            self.observer.on_lost(LossReason.CORRUPT, error, windows=self._shelf.corrupt)
            self._shelf.corrupt = 0

    def _signed(self, entry: Entry) -> Request:
        request = self._courier.request("POST", "/activity/heartbeat", entry.body())
        return self._courier.auth.last_known(request)

    def _may_send_blindly(self) -> bool:
        """Whether a request whose answer nobody will see is likely to be taken."""
        return self._host.online and not self._held and not self._failures

    async def _run(self) -> None:
        try:
            await self._host.exclusively(self._send_all)
        finally:
            self._running -= 1
        self._plan()

    async def _send_all(self) -> None:
        while not self._held and self._host.online and (entry := self._next()) is not None:
            if self._unreachable and not await self._is_back():
                return
            if not await self._send(entry):
                return

    def _tidy(self) -> list[Entry]:
        """Join what can be joined, lose what must be lost; the rest, oldest first."""
        found = [entry for entry in self._mine() if entry.key not in self._in_flight]
        joined = coalesce(found)
        if len(joined) < len(found):
            for entry in joined:
                self._shelf.put(entry)
            kept = {entry.key for entry in joined}
            for entry in found:
                if entry.key not in kept:
                    self._shelf.drop(entry)
            self._tell_joined(len(found) - len(joined))
        for entry in overflow(joined):
            self._lose(entry, LossReason.OVERFLOW)
        wall_ms = self._host.now().wall_ms
        for entry in joined:
            loss = judge(entry, wall_ms, self.retry).loss
            if loss is not None and self._shelf.has(entry):
                self._lose(entry, loss)
        left = [entry for entry in joined if self._shelf.has(entry)]
        return sorted(left, key=lambda entry: entry.window.started_at_ms)

    def _next(self) -> Entry | None:
        wall_ms = self._host.now().wall_ms
        due = (entry for entry in self._tidy() if not judge(entry, wall_ms, self.retry).wait_ms)
        return next(due, None)

    async def _send(self, entry: Entry) -> bool:
        marked = self._mark_sent(entry)
        request = self._courier.request("POST", "/activity/heartbeat", entry.body())
        answer = await self._courier.ask(request)
        return self._settle(entry, marked, answer)

    def _send_on_exit(self, entry: Entry, request: Request) -> None:
        marked = self._mark_sent(entry)

        def answered(answer: Answer) -> None:
            self._settle(entry, marked, answer)
            self._plan()

        self._courier.transport.send_on_exit(request, answered)

    def _mark_sent(self, entry: Entry) -> Entry:
        marked = entry.sent(self._host.now().wall_ms)
        self._shelf.put(marked)
        self._in_flight[entry.key] = len(entry.body())
        return marked

    def _settle(self, before: Entry, marked: Entry, answer: Answer) -> bool:
        """Follow an answer; True if the next window may be sent at once."""
        del self._in_flight[marked.key]
        if not self._in_flight and self._landed is not None:
            self._landed.set_result(None)
            self._landed = None
        fate, error = read_answer(answer, f"{self._courier.base_url}/activity/heartbeat")
        if fate in (Fate.DELIVERED, Fate.DUPLICATE):
            self._failures, self._unreachable, self._held, self._told = 0, False, False, None
            self._shelf.drop(marked)
            if self.observer:
                self.observer.on_delivered(marked, duplicate=fate is Fate.DUPLICATE)
            return True
        assert error is not None  # noqa: S101 - only the two fates above come without one
        if fate is Fate.REJECTED:
            self._lose(marked, LossReason.REJECTED, error)
            return True
        if fate is Fate.KEEP:
            self._shelf.put(before)
        self._unreachable = isinstance(answer, NoAnswer) and answer.sent
        self._failed(error)
        return False

    def _failed(self, error: DeliveryError) -> None:
        self._failures += 1
        self._held = isinstance(error, NotSignedInError)
        wait_ms = backoff_ms(self._failures, self.retry, self._host.random())
        if isinstance(error, UnavailableError) and error.retry_after_ms is not None:
            wait_ms = max(wait_ms, error.retry_after_ms)
        if not self._held:
            self._wait(wait_ms)
        if self.observer and self._told is not type(error):  # an outage is told once, not at every try
            self._told = type(error)
            self.observer.on_trouble(error)

    def _plan(self) -> None:
        """Wake up again for what still waits, if nothing else will."""
        if self._timer is not None or self._running or self._held or not self._host.online:
            return
        wall_ms = self._host.now().wall_ms
        waits = [
            judge(entry, wall_ms, self.retry).wait_ms for entry in self._mine() if entry.key not in self._in_flight
        ]
        if waits:
            self._wait(min(waits))

    def _wait(self, ms: float) -> None:
        def over() -> None:
            self._timer = None
            self.kick()

        self._cancel_timer()
        self._timer = self._host.after(ms, over)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer()
            self._timer = None

    async def _is_back(self) -> bool:
        """Ask for something harmless first: a window that is sent to a dead server would be ambiguous."""
        answer = await self._verify()
        _, error = read_answer(answer, self._courier.base_url)
        if isinstance(answer, NoAnswer) and error is not None:
            self._failed(error)
            return False
        self._unreachable = False
        return True

    async def _identify(self) -> None:
        """Learn whose windows these are; a failure disturbs nothing (delivery.md, Shared computers)."""
        answer = await self._verify()
        if isinstance(answer, NoAnswer):
            self._unreachable = answer.sent
        self.kick()

    async def _verify(self) -> Answer:
        answer = await self._courier.ask(self._courier.request("GET", "/user/verify"))
        if isinstance(answer, Response) and answer.status == 200 and not self._known:
            self._bind(Verification.read(answer.body))
        return answer

    def _bind(self, verification: Verification | None) -> None:
        if verification is None or verification.timeback_id is None:
            return
        ownerless = self._mine()
        self._known, self._owner = True, owner_of(verification.timeback_id)
        for entry in ownerless:
            self._shelf.put(replace(entry, owner=self._owner))
        self._recover()

    def _recover(self) -> None:
        """Take over what pages that are gone left open (delivery.md, Checkpoint)."""
        wall_ms = self._host.now().wall_ms
        checkpoints = self._shelf.checkpoints()
        self._age_out()
        for checkpoint in checkpoints:
            entry = checkpoint.entry
            if checkpoint.session in self._sessions or not self._is_mine(entry):
                continue
            if checkpoint.tab != self._host.tab_token and abs(wall_ms - checkpoint.at_ms) < STALE_MS:
                if self.observer:
                    self.observer.on_elsewhere(entry)
                continue
            self._shelf.drop_checkpoint(checkpoint.session)
            if self._shelf.has(entry):  # it was closed, and the page died before it could take the checkpoint away
                continue
            self._shelf.put(entry.sent(checkpoint.at_ms) if checkpoint.guarded else entry)
            if self.observer:
                self.observer.on_recovered(entry)

    def _lose(self, entry: Entry, reason: LossReason, error: TimebackError | None = None) -> None:
        self._shelf.drop(entry)
        if self.observer:
            lost_ms = entry.window.active_ms + entry.window.inactive_ms
            self.observer.on_lost(reason, error or LostError(reason, 1, lost_ms))

    def _tell_joined(self, windows: int) -> None:
        if self.observer:
            self.observer.on_joined(windows)
