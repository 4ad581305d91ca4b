"""What a page keeps: a mirror in memory, which is read and written at once, and IndexedDB, which outlives the page.

Why not `localStorage`, which is synchronous? Measured in Chromium (docs/delivery.md, Storage): after a SIGKILL of the
browser it came back up to a minute old, with windows in it that had been delivered and removed; and another tab's
removal is not seen at once, even under a lock. IndexedDB came back less than a second old, and its transactions are one
behind the other for all tabs. A put in an exit handler arrives if its transaction is committed there and then.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any, Final

_logger = logging.getLogger("tb_browser")

DATABASE: Final = "tb_browser"
STORE: Final = "entries"
PATIENCE_S: Final = 5.0
"""A database that does not answer within this is done without."""

type Changes = Mapping[str, str | None]
"""New values by key; None removes."""


class PageStorage:
    """IndexedDB behind a mirror. What it has no room for stays in the mirror, as long as the page lives."""

    def __init__(self) -> None:
        self._content = dict[str, str]()
        self._database: Database | None = None
        self._unwritten = dict[str, str | None]()
        """Changes that no database holds: none is open yet, or it refused them."""
        self._pending = deque[Changes]()
        """Changes whose transactions are under way. They end in the order in which they were made."""
        self._refreshing = asyncio.Lock()
        self._warned = False

    @property
    def durable(self) -> bool:
        return self._database is not None and not self._database.closed and not self._unwritten

    def keys(self) -> Iterable[str]:
        return list(self._content)

    def get(self, key: str) -> str | None:
        return self._content.get(key)

    def set(self, key: str, value: str) -> bool:
        self._content[key] = value
        self._write({key: value})
        return True

    def remove(self, key: str) -> None:
        if self._content.pop(key, None) is not None:
            self._write({key: None})

    async def refresh(self) -> None:
        async with self._refreshing:
            try:
                if self._database is None or self._database.closed:
                    self._database = await asyncio.wait_for(Database.open(self._on_written), PATIENCE_S)
                if self._unwritten:
                    unwritten, self._unwritten = self._unwritten, {}
                    self._write(unwritten)
                content = await asyncio.wait_for(self._database.read(), PATIENCE_S)
            except (OSError, TimeoutError) as error:
                if not self._warned:
                    self._warned = True
                    _logger.warning("no storage here (%s): time that is not delivered ends with the page", error)
                return
            # What this page wrote stands: it is in what was read, or on its way, or nowhere but here.
            for changes in (*self._pending, self._unwritten):
                for key, value in changes.items():
                    if value is None:
                        content.pop(key, None)
                    else:
                        content[key] = value
            self._content = content

    def _write(self, changes: Changes) -> None:
        if self._database is not None and self._database.write(changes):
            self._pending.append(changes)
        else:
            self._unwritten.update(changes)

    def _on_written(self, stored: bool) -> None:
        changes = self._pending.popleft()
        for key, value in changes.items():
            if any(key in later for later in self._pending):
                continue
            if stored:
                self._unwritten.pop(key, None)
            else:
                self._unwritten[key] = value


class Database:
    """One IndexedDB store of strings by key. Nobody waits for a write, so that exit handlers can make them.

    `on_written` is told of every write, in their order, whether it was stored: there may be no room for it.
    """

    def __init__(self, js_database: Any, on_written: Callable[[bool], None]) -> None:
        ffi = import_module("pyodide.ffi")
        self._ffi: Any = ffi
        self._js_database = js_database
        self._js_options = ffi.to_js({"durability": "relaxed"}, dict_converter=import_module("js").Object.fromEntries)

        def note_end(js_event: Any) -> None:
            on_written(js_event.type == "complete")

        self._js_note_end = ffi.create_proxy(note_end)
        self.closed = False
        """Whether the connection is gone: the site's data was cleared, or a later version of us wants an upgrade."""
        js_database.onversionchange = ffi.create_proxy(self._give_way)
        js_database.onclose = ffi.create_proxy(self._note_close)

    @classmethod
    async def open(cls, on_written: Callable[[bool], None]) -> "Database":
        """Open it, and make it if it is not there. Raises OSError if the browser forbids it."""
        js, ffi = import_module("js"), import_module("pyodide.ffi")
        try:
            js_request = js.indexedDB.open(DATABASE, 1)
        except (AttributeError, ffi.JsException) as error:
            raise OSError(str(error)) from None

        def make() -> None:
            js_request.result.createObjectStore(STORE)

        return cls(await _result_of(js_request, make), on_written)

    async def read(self) -> dict[str, str]:
        """Everything in it. Raises OSError."""
        try:
            js_store = self._js_database.transaction(STORE).objectStore(STORE)
            js_keys, js_values = js_store.getAllKeys(), js_store.getAll()
        except self._ffi.JsException as error:
            raise OSError(str(error)) from None
        keys, values = await asyncio.gather(_result_of(js_keys), _result_of(js_values))
        return {str(key): str(value) for key, value in zip(keys, values, strict=True)}

    def write(self, changes: Changes) -> bool:
        """Change values, all or none; False if it could not even begin."""
        if self.closed:
            return False
        try:
            js_transaction = self._js_database.transaction(STORE, "readwrite", self._js_options)
            js_transaction.oncomplete = js_transaction.onabort = self._js_note_end
            js_store = js_transaction.objectStore(STORE)
            for key, value in changes.items():
                if value is None:
                    js_store.delete(key)
                else:
                    js_store.put(value, key)
            # Without this a page that goes into the back/forward cache takes the transaction with it.
            js_transaction.commit()
        except self._ffi.JsException:
            self.closed = True
            return False
        return True

    def _give_way(self, _js_event: Any) -> None:
        # A frozen tab must not keep a later version of us from its upgrade.
        self._js_database.close()
        self.closed = True

    def _note_close(self, _js_event: Any) -> None:
        self.closed = True


def _result_of(js_request: Any, make: Callable[[], None] | None = None) -> asyncio.Future[Any]:
    """An IDBRequest's result; `make` builds a database that is new. The future's error is OSError.

    No coroutine: that would listen in a later task, when the request may have succeeded already.
    """
    ffi = import_module("pyodide.ffi")
    done = asyncio.get_running_loop().create_future()

    def on_success(_js_event: Any) -> None:
        if not done.done():
            done.set_result(js_request.result)

    def on_failure(js_event: Any) -> None:
        js_event.preventDefault()  # an error that nobody prevents is reported to the page
        if not done.done():
            done.set_exception(OSError(f"IndexedDB: {js_request.error}"))

    def on_upgrade(_js_event: Any) -> None:
        if make is not None:
            make()

    handlers = {"onsuccess": on_success, "onerror": on_failure, "onupgradeneeded": on_upgrade}
    proxies = {name: ffi.create_proxy(handler) for name, handler in handlers.items()}
    for name, proxy in proxies.items():
        setattr(js_request, name, proxy)

    def forget(_done: asyncio.Future[Any]) -> None:
        for name, proxy in proxies.items():
            setattr(js_request, name, None)
            proxy.destroy()

    done.add_done_callback(forget)
    return done
