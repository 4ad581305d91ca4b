"""What a page keeps: a mirror in memory, which is read and written at once, and IndexedDB, which outlives the page.

Why not `localStorage`, which is synchronous? Measured in Chromium (docs/faults.md): after a SIGKILL of the browser it
came back up to a minute old, with windows in it that had been delivered and removed; and another tab's removal is not
seen at once, even under a lock. IndexedDB came back less than a second old, and its transactions are one behind the
other for all tabs. A put in an exit handler arrives if its transaction is committed there and then.
"""

import asyncio
import logging
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
    """IndexedDB behind a mirror; from `refresh()` on, what is written outlives the page."""

    def __init__(self) -> None:
        self._content = dict[str, str]()
        self._database: Database | None = None
        self._meanwhile = dict[str, str | None]()
        self._refreshing = asyncio.Lock()
        self._warned = False

    @property
    def durable(self) -> bool:
        return self._database is not None and not self._database.failed

    def keys(self) -> Iterable[str]:
        return list(self._content)

    def get(self, key: str) -> str | None:
        return self._content.get(key)

    def set(self, key: str, value: str) -> bool:
        self._content[key] = value
        self._write(key, value)
        return True

    def remove(self, key: str) -> None:
        if self._content.pop(key, None) is not None:
            self._write(key, None)

    async def refresh(self) -> None:
        async with self._refreshing:
            try:
                if self._database is None:
                    self._database = await asyncio.wait_for(Database.open(), PATIENCE_S)
                    if self._meanwhile:
                        self._database.write(self._meanwhile)
                # What this page wrote before the reading is in it, as transactions are one behind the other.
                self._meanwhile = dict[str, str | None]()
                content = await asyncio.wait_for(self._database.read(), PATIENCE_S)
            except (OSError, TimeoutError) as error:
                if not self._warned:
                    self._warned = True
                    _logger.warning("no storage here (%s): time that is not delivered ends with the page", error)
                return
            for key, value in self._meanwhile.items():
                if value is None:
                    content.pop(key, None)
                else:
                    content[key] = value
            self._content = content

    def _write(self, key: str, value: str | None) -> None:
        self._meanwhile[key] = value
        if self._database is not None:
            self._database.write({key: value})


class Database:
    """One IndexedDB store of strings by key. Writes are fire and forget, so that exit handlers can make them."""

    def __init__(self, js_database: Any) -> None:
        ffi = import_module("pyodide.ffi")
        self._ffi: Any = ffi
        self._js_database = js_database
        self._js_options = ffi.to_js({"durability": "relaxed"}, dict_converter=import_module("js").Object.fromEntries)
        self.failed = False
        """Whether a write has failed: no room, or the site's data was cleared under our feet."""
        # A frozen tab must not keep a later version of us from its upgrade.
        js_database.onversionchange = ffi.create_proxy(self._give_way)
        self._js_note_failure = ffi.create_proxy(self._note_failure)

    @classmethod
    async def open(cls) -> "Database":
        """Open it, and make it if it is not there. Raises OSError if the browser forbids it."""
        js, ffi = import_module("js"), import_module("pyodide.ffi")
        try:
            js_request = js.indexedDB.open(DATABASE, 1)
        except (AttributeError, ffi.JsException) as error:
            raise OSError(str(error)) from None

        def make() -> None:
            js_request.result.createObjectStore(STORE)

        return cls(await _result_of(js_request, make))

    async def read(self) -> dict[str, str]:
        """Everything in it. Raises OSError."""
        try:
            js_store = self._js_database.transaction(STORE).objectStore(STORE)
            js_keys, js_values = js_store.getAllKeys(), js_store.getAll()
        except self._ffi.JsException as error:
            raise OSError(str(error)) from None
        keys, values = await asyncio.gather(_result_of(js_keys), _result_of(js_values))
        return {str(key): str(value) for key, value in zip(keys, values, strict=True)}

    def write(self, changes: Changes) -> None:
        """Change values, all or none."""
        try:
            js_transaction = self._js_database.transaction(STORE, "readwrite", self._js_options)
            js_transaction.onabort = self._js_note_failure
            js_store = js_transaction.objectStore(STORE)
            for key, value in changes.items():
                if value is None:
                    js_store.delete(key)
                else:
                    js_store.put(value, key)
            # Without this a page that goes into the back/forward cache takes the transaction with it.
            js_transaction.commit()
        except self._ffi.JsException:  # the connection was closed by the browser
            self.failed = True

    def _note_failure(self, _js_event: Any) -> None:
        self.failed = True

    def _give_way(self, _js_event: Any) -> None:
        self._js_database.close()
        self.failed = True


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
