"""What is kept for later: written, read back, bounded in what it sets aside, and never fatal."""

import json

import pytest

from tb_browser._ledger import Window
from tb_browser._outbox import Entry, to_json
from tb_browser._shelf import CORRUPT, KEPT_CORRUPT, OPEN, WINDOWS, Shelf
from tb_browser.hosts.storage import MemoryStorage
from tb_browser.models import ActivityRef, Course

WALL = 1_748_779_200_000


def entry(
    start_s: int = 0,
    *,
    active_ms: int = 15_000,
    name: str = "Fractions",
    run: str = "run-1",
    page: str = "tab-1/page-1",
) -> Entry:
    activity = ActivityRef(id="fractions-1", name=name, course=Course(code="MATH-3"), run_id=run)
    window = Window(WALL + start_s * 1000, active_ms, 0)
    return Entry(activity, window, "user:a", "https://school.example/api/timeback", page)


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage(durable=True)


def test_entries_come_back_as_they_were(storage: MemoryStorage) -> None:
    """What one page puts, another reads: every window, with what is known of its sendings."""
    kept = [entry(0), entry(15).sent(WALL + 40_000), entry(30, name="Brüche 😀", run="a/b run")]
    for each in kept:
        Shelf(storage).put(each)
    assert sorted(Shelf(storage).entries(), key=lambda each: each.window.started_at_ms) == kept


def test_put_replaces_and_drop_forgets(storage: MemoryStorage) -> None:
    """One window has one place; dropped, nothing of it is left."""
    shelf = Shelf(storage)
    shelf.put(entry())
    shelf.put(entry(active_ms=20_000))
    assert shelf.entries() == [entry(active_ms=20_000)]
    assert shelf.find(entry())
    shelf.drop(entry())
    assert shelf.find(entry()) is None
    assert storage.content == {}


def test_open_windows_come_back_and_go(storage: MemoryStorage) -> None:
    """A page has one window in progress, which another page can read and take away."""
    shelf, other = Shelf(storage), Shelf(storage)
    one, two = entry(), entry(page="tab-2/page-2").sent(WALL + 15_000)
    shelf.keep_open(entry(active_ms=14_000))
    shelf.keep_open(one)
    shelf.keep_open(two)
    assert sorted(other.open_windows(), key=lambda each: each.page) == [one, two]
    assert other.entries() == []
    other.drop_open(one.page)
    assert shelf.open_windows() == [two]


def test_the_format_is_versioned(storage: MemoryStorage) -> None:
    """Every key names the package and the version of the format, so that a later version can tell."""
    shelf = Shelf(storage)
    shelf.put(entry())
    shelf.keep_open(entry())
    assert all(key.startswith("tb_browser/1/") for key in storage.content)


def test_keys_of_others_are_left_alone(storage: MemoryStorage) -> None:
    """The app's own keys, and those of another version of the format, are neither read nor touched."""
    foreign = {"app": "{", "tb_browser/2/window/x/1": "{", "tb_browser": "{", "x" + WINDOWS: "{"}
    storage.content.update(foreign)
    shelf = Shelf(storage)
    assert shelf.entries() == []
    assert shelf.open_windows() == []
    assert storage.content == foreign
    assert shelf.corrupt == 0


def damaged(path: str, value: object) -> str:
    """A stored entry with one thing wrong."""
    stored = entry().stored()
    *parents, last = path.split(".")
    target = stored
    for parent in parents:
        target = target[parent]
    target[last] = value
    return json.dumps(stored)


GARBAGE = {
    "empty": "",
    "no JSON": "{",
    "null": "null",
    "list": "[]",
    "number": "7",
    "text": '"window"',
    "no keys": "{}",
    "too few numbers": damaged("window", [1, 2]),
    "too many numbers": damaged("window", [1, 2, 3, 4]),
    "fraction": damaged("window", [WALL, 1.5, 0]),
    "negative": damaged("window", [WALL, -1, 0]),
    "boolean": damaged("window", [WALL, True, 0]),
    "no window": damaged("window", None),
    "no activity": damaged("activity", None),
    "grade 13": damaged("activity.course", {"subject": "Math", "grade": 13}),
    "sent never ends": damaged("sent", [1, 2, 3]),
    "sent as text": damaged("sent", ["a", "b"]),
    "no page": json.dumps({key: value for key, value in entry().stored().items() if key != "page"}),
}


@pytest.mark.parametrize("text", GARBAGE.values(), ids=GARBAGE)
@pytest.mark.parametrize("prefix", [WINDOWS, OPEN])
def test_garbage_is_set_aside_and_counted(storage: MemoryStorage, prefix: str, text: str) -> None:
    """What cannot be read is moved aside as it was, counted once, and hides nothing else."""
    shelf = Shelf(storage)
    shelf.put(entry())
    shelf.keep_open(entry())
    storage.content[prefix + "run/1"] = text
    for _ in range(2):
        assert shelf.entries() == [entry()]
        assert shelf.open_windows() == [entry()]
    assert shelf.corrupt == 1
    assert storage.content[CORRUPT + prefix + "run/1"] == text
    assert prefix + "run/1" not in storage.content


def test_half_a_character_is_set_aside(storage: MemoryStorage) -> None:
    """Text that cannot be sent (half of a surrogate pair) is garbage: what is read can be sent."""
    storage.content[WINDOWS + "run/1"] = damaged("activity.name", "\ud800")
    assert [each.body() for each in Shelf(storage).entries()] == []


def test_deeply_nested_garbage_is_not_fatal(storage: MemoryStorage) -> None:
    """JSON that is nested without end is garbage like any other."""
    storage.content[WINDOWS + "run/1"] = "[" * 100_000
    assert Shelf(storage).entries() == []


@pytest.mark.parametrize("number", [float("inf"), float("nan"), -1])
def test_a_sending_at_no_time_is_not_fatal(storage: MemoryStorage, number: float) -> None:
    """A number that is none is garbage like any other."""
    storage.content[OPEN + entry().page] = to_json(entry().stored() | {"sent": [number, number]})
    assert Shelf(storage).open_windows() == []


def test_a_window_beyond_all_dates_is_set_aside(storage: MemoryStorage) -> None:
    """A window whose date cannot be written is garbage: what is read can be sent."""
    storage.content[WINDOWS + "run/1"] = damaged("window", [10**30, 1, 0])
    assert [each.body() for each in Shelf(storage).entries()] == []


@pytest.mark.parametrize("prefix", [WINDOWS, OPEN])
def test_what_lies_under_a_wrong_key_is_set_aside(storage: MemoryStorage, prefix: str) -> None:
    """What is read can be forgotten again; what lies under another's key would be sent for ever."""
    shelf = Shelf(storage)
    storage.content[prefix + "elsewhere/1"] = to_json(entry().stored())
    assert shelf.entries() == shelf.open_windows() == []
    assert shelf.corrupt == 1
    assert list(storage.content) == [f"{CORRUPT}{prefix}elsewhere/1"]


def test_what_is_set_aside_is_bounded(storage: MemoryStorage) -> None:
    """Only the newest few pieces of garbage are kept; all are counted."""
    shelf = Shelf(storage)
    for number in range(3 * KEPT_CORRUPT):
        storage.content[f"{WINDOWS}run/{number}"] = "{"
        shelf.entries()
    assert shelf.corrupt == 3 * KEPT_CORRUPT
    kept = [key for key in storage.content if key.startswith(CORRUPT)]
    assert kept == [f"{CORRUPT}{WINDOWS}run/{number}" for number in range(2 * KEPT_CORRUPT, 3 * KEPT_CORRUPT)]


def test_without_room_memory_serves() -> None:
    """What storage has no room for is kept in memory: the same behaviour, and `durable` says that it is less."""
    shelf = Shelf(MemoryStorage(durable=True, room=0))
    assert shelf.durable
    shelf.put(entry())
    shelf.keep_open(entry())
    assert not shelf.durable
    assert shelf.entries() == [entry()]
    assert shelf.open_windows() == [entry()]
    assert shelf.find(entry())
    shelf.drop(entry())
    shelf.drop_open(entry().page)
    assert shelf.entries() == shelf.open_windows() == []
    assert shelf.durable


def test_no_older_version_outlives_a_newer_one() -> None:
    """An entry that has outgrown storage is not left there as it was: another page would count it so."""
    storage = MemoryStorage(durable=True)
    shelf = Shelf(storage)
    shelf.put(entry())
    storage.room = sum(len(key) + len(text) for key, text in storage.content.items())
    shelf.put(entry().sent(WALL + 20_000))
    assert shelf.entries() == [entry().sent(WALL + 20_000)]
    assert Shelf(storage).entries() == []
    storage.room = None
    shelf.put(entry().sent(WALL + 20_000))
    assert Shelf(storage).entries() == [entry().sent(WALL + 20_000)]
    assert shelf.durable


def test_without_room_garbage_goes_all_the_same() -> None:
    """Garbage that cannot be set aside is removed, or it would be counted for ever."""
    storage = MemoryStorage(durable=True)
    storage.content[WINDOWS + "run/1"] = "{" * 50
    storage.room = 10
    shelf = Shelf(storage)
    assert shelf.entries() == shelf.entries() == []
    assert shelf.corrupt == 1
    assert storage.content == {}


def test_memory_that_does_not_last_is_not_durable() -> None:
    """Storage that dies with the page says so."""
    assert not Shelf(MemoryStorage()).durable
