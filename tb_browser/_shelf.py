"""What is kept for later, and how: waiting windows and checkpoints, as `Entry`s under versioned keys of a `Storage`.

    tb_browser/1/window/<run>/<start>/<page>   a closed window that waits
    tb_browser/1/open/<page>                   a page's window in progress, as it was at its last checkpoint
    tb_browser/corrupt/…                       what could not be read, set aside: the newest few

What storage has no room for stays in memory: fewer guarantees, same behaviour.
"""

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from tb_browser._outbox import MAX_ENTRIES, Entry, to_json
from tb_browser._ports import Storage

WINDOWS: Final = "tb_browser/1/window/"
OPEN: Final = "tb_browser/1/open/"
CORRUPT: Final = "tb_browser/corrupt/"
KEPT_CORRUPT: Final = 8
UNREADABLE: Final = (ValueError, TypeError, KeyError, OverflowError, RecursionError)


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
        return None if text is None else _parsed(text)

    def entries(self) -> list[Entry]:
        """Everything that waits, of every user and page; what cannot be read is set aside and counted."""
        return list(self._read_all(WINDOWS))

    def open_windows(self) -> list[Entry]:
        """The window in progress of every page, as it was at its last checkpoint."""
        return list(self._read_all(OPEN))

    def keep_open(self, entry: Entry) -> None:
        """Write down a page's window in progress: the checkpoint."""
        self._write(OPEN + entry.page, to_json(entry.stored()))

    def drop_open(self, page: str) -> None:
        """Forget a page's window in progress: it is closed, or empty."""
        self._erase(OPEN + page)

    def _read_all(self, prefix: str) -> Iterator[Entry]:
        for key, text in list(self._under(prefix)):
            try:
                entry = _parsed(text)
                if key != prefix + (entry.key if prefix == WINDOWS else entry.page):
                    raise ValueError(key)
            except UNREADABLE:
                self._set_aside(key, text)
            else:
                yield entry

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


@lru_cache(maxsize=2 * MAX_ENTRIES)
def _parsed(text: str) -> Entry:
    """An entry out of its stored text; the same texts are read again and again. Raises one of UNREADABLE."""
    entry = Entry.from_stored(json.loads(text))
    entry.body()  # dates and characters that no body can hold are found here
    return entry
