"""What is kept for later, and how: waiting windows and checkpoints under versioned keys of a `Storage`.

    tb_browser/1/window/<run>/<start>   a closed window that waits               (`Entry`)
    tb_browser/1/open/<session>         the window in progress of a live page     (`Checkpoint`)
    tb_browser/corrupt/…                what could not be read, set aside         (the newest few)

What storage has no room for stays in memory: fewer guarantees, same behaviour.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from tb_browser._outbox import Entry, to_json
from tb_browser._ports import Storage

WINDOWS: Final = "tb_browser/1/window/"
OPEN: Final = "tb_browser/1/open/"
CORRUPT: Final = "tb_browser/corrupt/"
KEPT_CORRUPT: Final = 8
UNREADABLE: Final = (ValueError, TypeError, KeyError, OverflowError, RecursionError)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The window in progress of a session, as it would be if its page had died at `at_ms` (wall clock)."""

    session: str
    entry: Entry
    at_ms: int
    tab: str
    guarded: bool
    """Whether the browser was asked to send this window by itself if the page dies."""

    def stored(self) -> dict[str, Any]:
        """The checkpoint as plain values, for storage."""
        return {"entry": self.entry.stored(), "at": self.at_ms, "tab": self.tab, "guarded": self.guarded}

    @classmethod
    def from_stored(cls, session: str, stored: dict[str, Any]) -> "Checkpoint":
        """Read a stored checkpoint. Raises ValueError, TypeError or KeyError if it is none."""
        entry = Entry.from_stored(stored["entry"])
        return cls(session, entry, int(stored["at"]), str(stored["tab"]), bool(stored["guarded"]))


class Shelf:
    """Reads and writes one origin's storage; other pages write it too, so nothing is remembered here."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._unstored = dict[str, str]()
        self.corrupt = 0
        """Things found that could not be read."""

    @property
    def durable(self) -> bool:
        """Whether what is put here outlives the page."""
        return self._storage.durable and not self._unstored

    def put(self, entry: Entry) -> None:
        """Keep an entry, in place of an earlier one of the same key."""
        self._write(WINDOWS + entry.key, to_json(entry.stored()))

    def drop(self, entry: Entry) -> None:
        """Forget an entry."""
        self._erase(WINDOWS + entry.key)

    def find(self, entry: Entry) -> Entry | None:
        """The entry that is kept under this one's key."""
        text = self._read(WINDOWS + entry.key)
        return None if text is None else Entry.from_stored(json.loads(text))

    def entries(self) -> list[Entry]:
        """Everything that waits, of every user; what cannot be read is set aside and counted."""
        found = list[Entry]()
        for key, text in self._under(WINDOWS):
            try:
                entry = Entry.from_stored(json.loads(text))
                entry.body()  # dates and characters that no body can hold are found here
                if WINDOWS + entry.key != key:
                    raise ValueError(key)
                found.append(entry)
            except UNREADABLE:
                self._set_aside(key, text)
        return found

    def keep_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Write down the window in progress."""
        self._write(OPEN + checkpoint.session, to_json(checkpoint.stored()))

    def drop_checkpoint(self, session: str) -> None:
        """Forget a session's window in progress: it is closed, or empty."""
        self._erase(OPEN + session)

    def has_checkpoint(self, session: str) -> bool:
        """Whether a session's checkpoint is still there: another page may have claimed it."""
        return self._read(OPEN + session) is not None

    def checkpoints(self) -> list[Checkpoint]:
        """Every session's window in progress, of every page of this origin."""
        found = list[Checkpoint]()
        for key, text in self._under(OPEN):
            try:
                found.append(Checkpoint.from_stored(key.removeprefix(OPEN), json.loads(text)))
            except UNREADABLE:
                self._set_aside(key, text)
        return found

    def _under(self, prefix: str) -> Iterator[tuple[str, str]]:
        keys = dict.fromkeys([*self._storage.keys(), *self._unstored])
        for key in keys:
            if key.startswith(prefix) and (text := self._read(key)) is not None:
                yield key, text

    def _read(self, key: str) -> str | None:
        return self._unstored[key] if key in self._unstored else self._storage.get(key)

    def _write(self, key: str, text: str) -> None:
        if self._storage.set(key, text):
            self._unstored.pop(key, None)
        else:
            self._storage.remove(key)  # an older version of it must not outlive this one
            self._unstored[key] = text

    def _erase(self, key: str) -> None:
        self._unstored.pop(key, None)
        self._storage.remove(key)

    def _set_aside(self, key: str, text: str) -> None:
        self.corrupt += 1
        self._erase(key)
        aside = [other for other in tuple(self._storage.keys()) if other.startswith(CORRUPT)]
        for other in aside[: max(0, len(aside) + 1 - KEPT_CORRUPT)]:
            self._storage.remove(other)
        self._storage.set(CORRUPT + key, text)
