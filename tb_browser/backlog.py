"""The windows of one user that wait for one server: kept, joined, lost, recovered.

The rules are in `_outbox.py`; here they meet storage, which other pages of the origin read and write too.
"""

from dataclasses import replace
from hashlib import sha256
from typing import Final, Protocol

from tb_browser._ledger import Window
from tb_browser._outbox import Entry, coalesce, judge, overflow
from tb_browser._ports import Host
from tb_browser._shelf import Shelf
from tb_browser.errors import LossReason, LostError, TimebackError
from tb_browser.models import ActivityRef, Retry

GONE_MS: Final = 120_000.0
"""Where nobody can tell which pages live: a live page renews its checkpoint at least once a minute."""
COLLISION: Final = "another page counts the same run, and a window of one of them began in the same millisecond"


class Observer(Protocol):
    """Who is told what becomes of windows: the activity that runs."""

    def on_delivered(self, entry: Entry, *, duplicate: bool) -> None: ...

    def on_lost(self, reason: LossReason, error: TimebackError, *, windows: int = 1) -> None: ...

    def on_joined(self, windows: int) -> None: ...

    def on_recovered(self, entry: Entry) -> None: ...

    def on_elsewhere(self, entry: Entry) -> None: ...

    def on_trouble(self, error: TimebackError) -> None: ...


def owner_of(user: str) -> str:
    """Who entries are bound to: a digest, so that nothing personal lies in storage."""
    return f"user:{sha256(user.encode()).hexdigest()[:32]}"


def length_ms(entry: Entry) -> int:
    """How much time an entry holds, active and inactive."""
    return entry.window.active_ms + entry.window.inactive_ms


def page_lock(page: str) -> str:
    """The name that a page holds for as long as it may deliver what it keeps."""
    return f"tb_browser/page/{page}"


class Backlog:
    """What waits; `in_flight` holds the keys (and body sizes) of what is being sent by this page."""

    def __init__(self, host: Host, base_url: str, user_key: str | None) -> None:
        self._host = host
        self._base_url = base_url
        self._shelf = Shelf(host.storage)
        self._owner = owner_of(user_key) if user_key is not None else f"tab:{host.tab_token}"
        self.page = f"{host.tab_token}/{host.new_run_id()}"
        self.knows_user = user_key is not None
        self.in_flight = dict[str, int]()
        self._elsewhere = set[str]()
        self.retry = Retry()
        self.observer: Observer | None = None

    @property
    def durable(self) -> bool:
        """Whether what is kept outlives the page."""
        return self._shelf.durable

    # --- windows ---

    def put(self, activity: ActivityRef, window: Window) -> None:
        """Keep a closed window until it is delivered or lost."""
        self._shelf.put(self.entry(activity, window))
        self.tidy()

    def waiting(self, run_id: str | None = None) -> int:
        """How many windows wait: of one run, or all of this user's."""
        return sum(1 for entry in self._mine() if run_id in (None, entry.activity.run_id))

    def tidy(self) -> list[Entry]:
        """Join what can be joined, lose what must be lost; the rest that is not in flight, oldest first."""
        found = [entry for entry in self._mine() if entry.key not in self.in_flight]
        joined = coalesce(found)
        if len(joined) < len(found):
            kept = {entry.key for entry in joined}
            for entry in joined:
                self._shelf.put(entry)
            for entry in found:
                if entry.key not in kept:
                    self._shelf.drop(entry)
            if self.observer:
                self.observer.on_joined(len(found) - len(joined))
        lost = {entry.key: LossReason.OVERFLOW for entry in overflow(joined)}
        wall_ms = self._host.now().wall_ms
        for entry in joined:
            reason = lost.get(entry.key) or judge(entry, wall_ms, self.retry).loss
            if reason is not None:
                lost[entry.key] = reason
                self.lose(entry, reason)
        return sorted(
            (entry for entry in joined if entry.key not in lost), key=lambda entry: entry.window.started_at_ms
        )

    def due(self) -> list[Entry]:
        """What may be sent now, oldest first."""
        wall_ms = self._host.now().wall_ms
        return [entry for entry in self.tidy() if not judge(entry, wall_ms, self.retry).wait_ms]

    def next_wait_ms(self) -> float | None:
        """How long until something may be sent; None if nothing waits."""
        wall_ms = self._host.now().wall_ms
        waits = [judge(entry, wall_ms, self.retry).wait_ms for entry in self.tidy()]
        return min(waits, default=None)

    def mark_sent(self, entry: Entry) -> Entry:
        """Write down that it is being sent: from now on it may have arrived."""
        marked = entry.sent(self._host.now().wall_ms)
        self._shelf.put(marked)
        self.in_flight[entry.key] = len(entry.body())
        return marked

    def deliver(self, entry: Entry, *, duplicate: bool, first_sending: bool) -> None:
        """The server has it, or says so: it knows a window by its run and start alone.

        Two pages of one run may begin a window in the same millisecond, when the screen is locked over both. Then the
        second one that arrives is no duplicate; but nothing tells which of them the server has.
        """
        if duplicate and first_sending and entry.activity.run_id in self._elsewhere:
            error = LostError(LossReason.AMBIGUOUS, 1, length_ms(entry), COLLISION)
            self.lose(entry, LossReason.AMBIGUOUS, error)
            return
        self._shelf.drop(entry)
        if self.observer:
            self.observer.on_delivered(entry, duplicate=duplicate)

    def take_back(self, before: Entry) -> None:
        """The server has not taken it: what is known of its sendings is what was known before this one."""
        kept = self._shelf.find(before)
        if kept is not None and kept.keeper == self.page:  # its owner may have become known meanwhile
            self._shelf.put(replace(kept, first_sent_ms=before.first_sent_ms, last_sent_ms=before.last_sent_ms))

    def lose(self, entry: Entry, reason: LossReason, error: TimebackError | None = None) -> None:
        """It will never be delivered."""
        self._shelf.drop(entry)
        if self.observer:
            self.observer.on_lost(reason, error or LostError(reason, 1, length_ms(entry)))

    # --- pages ---

    def checkpoint(self, entry: Entry, *, may_arrive: bool) -> None:
        """Write the window in progress down; `may_arrive` if it may be sent should the page die now."""
        self._shelf.keep_open(entry.sent(self._host.now().wall_ms) if may_arrive else entry)

    def forget_checkpoint(self) -> None:
        """The window in progress has closed, or is empty."""
        self._shelf.drop_open(self.page)

    async def adopt(self) -> None:
        """Take over what pages that are gone have left, of the same user; call it while no other page does."""
        await self._host.storage.refresh()
        held = await self._host.held()
        for entry in self._shelf.open_windows():
            if entry.page == self.page or not self._is_of_user(entry):
                continue
            if not self._is_gone(entry, held):
                self._elsewhere.add(entry.activity.run_id)
                if self.observer:
                    self.observer.on_elsewhere(entry)
                continue
            self._shelf.drop_open(entry.page)
            if self._shelf.find(entry) is None:  # else it was closed, and the page died before it could say so
                self._shelf.put(entry)
        for entry in self._shelf.entries():
            if entry.keeper != self.page and self._is_of_user(entry) and self._is_gone(entry, held):
                self._shelf.put(replace(entry, adopted_by=self.page))
                if self.observer:
                    self.observer.on_recovered(entry)
        self._age_out()

    def _is_gone(self, entry: Entry, held: frozenset[str] | None) -> bool:
        """Whether the page that keeps this entry runs no more."""
        if held is not None:
            return page_lock(entry.keeper) not in held
        of_this_tab = entry.keeper.startswith(f"{self._host.tab_token}/")
        return of_this_tab or self._host.now().wall_ms - entry.window.ended_at_ms > GONE_MS

    # --- users ---

    def bind(self, user: str) -> None:
        """The user is known now: what this tab has kept so far is theirs (delivery.md, Shared computers)."""
        ownerless = self._mine()
        self.knows_user, self._owner = True, owner_of(user)
        for entry in ownerless:
            self._shelf.put(replace(entry, owner=self._owner))

    def entry(self, activity: ActivityRef, window: Window) -> Entry:
        """A window as it would be kept."""
        return Entry(activity, window, self._owner, self._base_url, self.page)

    def _is_of_user(self, entry: Entry) -> bool:
        return (entry.owner, entry.base_url) == (self._owner, self._base_url)

    def _mine(self) -> list[Entry]:
        """What this page has to deliver: its own windows, and those that it took over."""
        return [entry for entry in self._shelf.entries() if entry.keeper == self.page and self._is_of_user(entry)]

    def _age_out(self) -> None:
        """Drop what has waited too long for its user, or for its tab, to come back; tell what could not be read."""
        wall_ms = self._host.now().wall_ms
        for entry in self._shelf.entries():
            if wall_ms - entry.window.ended_at_ms > self.retry.max_age_ms and not self._is_of_user(entry):
                self.lose(entry, LossReason.EXPIRED)
        if self._shelf.corrupt and self.observer:
            detail = "what lay in storage could not be read, and was set aside"
            error = LostError(LossReason.CORRUPT, self._shelf.corrupt, 0, detail)
            self.observer.on_lost(LossReason.CORRUPT, error, windows=self._shelf.corrupt)
            self._shelf.corrupt = 0
