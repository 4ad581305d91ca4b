"""Storage in memory: for private mode, blocked storage, plain CPython and tests."""

from collections.abc import Iterable


class MemoryStorage:
    """Keeps strings for as long as the process lives. `room` bounds how many characters, for tests."""

    def __init__(self, *, durable: bool = False, room: int | None = None) -> None:
        self._durable = durable
        self.room = room
        self.content = dict[str, str]()

    @property
    def durable(self) -> bool:
        """False, unless a test plays a storage that outlives the page."""
        return self._durable

    def keys(self) -> Iterable[str]:
        return list(self.content)

    def get(self, key: str) -> str | None:
        return self.content.get(key)

    def set(self, key: str, value: str) -> bool:
        used = sum(len(k) + len(v) for k, v in self.content.items() if k != key)
        if self.room is not None and used + len(key) + len(value) > self.room:
            return False
        self.content[key] = value
        return True

    def remove(self, key: str) -> None:
        self.content.pop(key, None)

    async def refresh(self) -> None:
        pass
