"""What a page keeps: `localStorage`, with IndexedDB behind it.

`localStorage` is synchronous, so that it works in an exit handler, and it survives a crashed tab. But Chromium writes
it to disk only now and then: after a SIGKILL of the browser it came back seconds old in a young session, and up to a
minute old later, while IndexedDB came back less than a second old (docs/delivery.md, Storage). So every change goes to
both, with a generation that counts the changes. A page that finds IndexedDB ahead knows that the browser was killed,
and takes IndexedDB's content; otherwise `localStorage` is right. Without the generation, a window that was delivered
and removed could come back with an old `localStorage`, and count twice.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any, Final

PREFIX: Final = "tb_browser/"
GENERATION: Final = "tb_browser/generation"
DATABASE: Final = "tb_browser"
STORE: Final = "entries"
PATIENCE_S: Final = 5.0
"""A database that does not open within this is done without."""

type Changes = Mapping[str, str | None]
"""New values by key; None removes."""


class WebStorage:
    """`localStorage` or `sessionStorage` by itself."""

    durable = True

    def __init__(self, js_storage: Any) -> None:
        self._js_storage = js_storage
        self._js_object: Any = import_module("js").Object

    def keys(self) -> Iterable[str]:
        return [str(key) for key in self._js_object.keys(self._js_storage)]

    def get(self, key: str) -> str | None:
        value = self._js_storage.getItem(key)
        return value if isinstance(value, str) else None

    def set(self, key: str, value: str) -> bool:
        try:
            self._js_storage.setItem(key, value)
        except Exception:  # noqa: BLE001 - JsException: full, or forbidden; the caller is told
            return False
        return True

    def remove(self, key: str) -> None:
        self._js_storage.removeItem(key)

    async def catch_up(self) -> None:
        pass


class PageStorage(WebStorage):
    """`localStorage` with IndexedDB behind it, from `catch_up()` on."""

    def __init__(self, js_storage: Any) -> None:
        super().__init__(js_storage)
        self._database: Database | None = None
        self._early = dict[str, str | None]()
        self._catching_up = asyncio.Lock()

    def set(self, key: str, value: str) -> bool:
        if not super().set(key, value):
            return False
        self._mirror(key, value)
        return True

    def remove(self, key: str) -> None:
        super().remove(key)
        self._mirror(key, None)

    async def catch_up(self) -> None:
        """Take over what IndexedDB knows better; what this page has written already stands."""
        async with self._catching_up:
            if self._database is not None:
                return
            try:
                database = await asyncio.wait_for(Database.open(), PATIENCE_S)
                mirrored = await asyncio.wait_for(database.read(), PATIENCE_S)
            except (OSError, TimeoutError):
                return
        here = {key: self.get(key) for key in self.keys() if key.startswith(PREFIX) and key not in self._early}
        there = {key: value for key, value in mirrored.items() if key not in self._early}
        if _number(there.get(GENERATION)) > _number(here.get(GENERATION)):
            for key in here.keys() - there.keys():
                super().remove(key)
            for key, value in there.items():
                super().set(key, value)
        else:
            database.write(dict.fromkeys(there.keys() - here.keys()) | here)
        self._database = database
        early, self._early = self._early, {}
        for key, written in early.items():
            self._mirror(key, written)

    def _mirror(self, key: str, value: str | None) -> None:
        if self._database is None:
            self._early[key] = value
            return
        generation = str(_number(self.get(GENERATION)) + 1)
        super().set(GENERATION, generation)
        self._database.write({key: value, GENERATION: generation})


class Database:
    """One IndexedDB store of strings by key. Writes are fire and forget: what follows them needs no answer."""

    def __init__(self, js_database: Any) -> None:
        self._js: Any = import_module("js")
        self._ffi: Any = import_module("pyodide.ffi")
        self._js_database = js_database
        self._js_options = self._ffi.to_js({"durability": "relaxed"}, dict_converter=self._js.Object.fromEntries)

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
        js_store = self._js_database.transaction(STORE).objectStore(STORE)
        js_keys, js_values = js_store.getAllKeys(), js_store.getAll()
        keys, values = await asyncio.gather(_result_of(js_keys), _result_of(js_values))
        return {str(key): str(value) for key, value in zip(keys, values, strict=True)}

    def write(self, changes: Changes) -> None:
        """Change values, all or none. A database that fails is one that is behind: the next page will see that."""
        try:
            js_store = self._js_database.transaction(STORE, "readwrite", self._js_options).objectStore(STORE)
            for key, value in changes.items():
                if value is None:
                    js_store.delete(key)
                else:
                    js_store.put(value, key)
        except self._ffi.JsException:  # closed by the browser: the site's data was cleared
            return


async def _result_of(js_request: Any, make: Callable[[], None] | None = None) -> Any:
    """An IDBRequest's result; `make` builds a database that is new. Raises OSError."""
    ffi = import_module("pyodide.ffi")
    done = asyncio.get_running_loop().create_future()

    def on_success(_js_event: Any) -> None:
        done.set_result(js_request.result)

    def on_failure(_js_event: Any) -> None:
        done.set_exception(OSError(f"IndexedDB: {js_request.error}"))

    def on_upgrade(_js_event: Any) -> None:
        if make is not None:
            make()

    handlers = {"onsuccess": on_success, "onerror": on_failure, "onupgradeneeded": on_upgrade}
    proxies = {name: ffi.create_proxy(handler) for name, handler in handlers.items()}
    for name, proxy in proxies.items():
        setattr(js_request, name, proxy)
    try:
        return await done
    finally:
        for name, proxy in proxies.items():
            setattr(js_request, name, None)
            proxy.destroy()


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isdecimal() else 0
