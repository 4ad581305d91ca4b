"""The outbox over random windows: time is neither made nor lost, and what may have been seen never changes."""

import json
from collections import Counter, defaultdict
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from tb_browser._ledger import Window
from tb_browser._outbox import Entry, coalesce, judge, overflow, to_json
from tb_browser._shelf import CORRUPT, OPEN, WINDOWS, Shelf
from tb_browser.errors import LossReason
from tb_browser.hosts.storage import MemoryStorage
from tb_browser.models import ActivityRef, Course, Retry

WALL = 1_748_779_200_000

COURSES = [Course(subject="Math", grade=0), Course(subject="Naturwissenschaften", grade=12), Course(code="a b")]
activities = st.builds(
    lambda name, course, run_id: ActivityRef(id="größe", name=name, course=course, run_id=run_id),
    st.sampled_from(["Fractions", "Brüche 😀", '"'.join("ab")]),
    st.sampled_from(COURSES),
    st.sampled_from(["run-1", "run/2", "run 3"]),
)
owners = st.sampled_from(["user:a", "tab:b"])
pages = st.sampled_from(["tab-1/one", "tab-2/two"])
servers = st.sampled_from(["https://one.example/api/timeback", "https://two.example/api/timeback"])


@st.composite
def sessions(draw: st.DrawFn) -> list[Entry]:
    """Windows of one session: disjoint and ordered, some touching, some sent and not answered."""
    activity, owner, server, page = draw(activities), draw(owners), draw(servers), draw(pages)
    at_ms, found = WALL + draw(st.integers(0, 50)) * 1_000_000, list[Entry]()
    for gap_ms, active_ms, inactive_ms, sent in draw(
        st.lists(
            st.tuples(
                st.sampled_from([0, 0, 0, 1, 5_000]), st.integers(1, 15_000), st.integers(0, 15_000), st.booleans()
            ),
            max_size=8,
        )
    ):
        window = Window(at_ms + gap_ms, active_ms, inactive_ms)
        entry = Entry(activity, window, owner, server, page)
        found.append(entry.sent(window.ended_at_ms) if sent else entry)
        at_ms = window.ended_at_ms
    return found


@st.composite
def outboxes(draw: st.DrawFn) -> list[Entry]:
    """What several sessions left, in any order, one at a time of every run."""
    found = dict[str, list[Entry]]()
    for session in draw(st.lists(sessions(), max_size=4)):
        if session:
            found[session[0].activity.run_id] = session
    return draw(st.permutations([entry for session in found.values() for entry in session]))


def sums(entries: list[Entry]) -> dict[str, tuple[int, int]]:
    """(active, inactive) of every run."""
    active, inactive = Counter[str](), Counter[str]()
    for entry in entries:
        active[entry.activity.run_id] += entry.window.active_ms
        inactive[entry.activity.run_id] += entry.window.inactive_ms
    return {run: (active[run], inactive[run]) for run in active}


@given(outboxes())
def test_joining_keeps_the_sums(found: list[Entry]) -> None:
    """Active and inactive time of every run are the same before and after, to the millisecond."""
    assert sums(coalesce(found)) == sums(found)


@given(outboxes())
def test_joined_windows_never_overlap(found: list[Entry]) -> None:
    """What is disjoint stays disjoint, and no joined window covers time that was in none."""
    by_run = defaultdict[str, list[Window]](list)
    for entry in coalesce(found):
        by_run[entry.activity.run_id].append(entry.window)
    for windows in by_run.values():
        windows.sort(key=lambda window: window.started_at_ms)
        for earlier, later in pairwise(windows):
            assert earlier.ended_at_ms <= later.started_at_ms


@given(outboxes())
def test_joining_twice_changes_nothing_more(found: list[Entry]) -> None:
    """Joining is idempotent, also over what an interrupted join left behind."""
    joined = coalesce(found)
    assert coalesce(joined) == joined
    unseen = [entry for entry in found if entry.first_sent_ms is None]
    interrupted = {entry.key: entry for entry in [*found, *coalesce(unseen)]}
    assert sums(coalesce(interrupted.values())) == sums(found)


@given(outboxes())
def test_what_may_have_been_seen_never_changes(found: list[Entry]) -> None:
    """A window that was sent goes out again as the very same bytes under the same key, or not at all."""
    after = {entry.key: entry for entry in coalesce(found)}
    for entry in found:
        if entry.first_sent_ms is not None:
            assert after[entry.key] == entry
            assert after[entry.key].body() == entry.body()
    for entry in after.values():
        if entry.first_sent_ms is not None:
            assert entry in found


@given(outboxes(), st.integers(0, 8), st.integers(0, 4_000))
def test_overflow_drops_the_oldest_and_no_more(found: list[Entry], max_entries: int, max_bytes: int) -> None:
    """What is left fits, what goes is older, and one less would not have been enough."""
    gone = overflow(found, max_entries, max_bytes)
    left = [entry for entry in found if entry not in gone]
    assert len(left) == len(found) - len(gone)
    assert len(left) <= max_entries
    assert sum(entry.size for entry in left) <= max_bytes
    if gone:
        newest = gone[-1]
        assert all(newest.window.started_at_ms <= entry.window.started_at_ms for entry in left)
        assert len(left) == max_entries or sum(entry.size for entry in [newest, *left]) > max_bytes


@given(outboxes())
def test_what_is_stored_comes_back(found: list[Entry]) -> None:
    """Through JSON and back nothing changes: neither the entry nor a byte of what will be sent."""
    for entry in found:
        back = Entry.from_stored(json.loads(to_json(entry.stored())))
        assert back == entry
        assert back.body() == entry.body()
        assert back.key == entry.key


@given(sessions(), st.lists(st.integers(0, 300_000), max_size=4))
def test_every_sending_has_the_same_bytes(found: list[Entry], sendings: list[int]) -> None:
    """However often a window is sent, and whatever was answered, its body is the same bytes, integers and all."""
    for entry in found:
        again = entry
        for wait_ms in sendings:
            again = again.sent(WALL + wait_ms)
            assert again.body() == entry.body()
        wire = json.loads(entry.body())
        assert (wire["elapsedMs"], wire["pausedMs"]) == (entry.window.active_ms, entry.window.inactive_ms)
        assert type(wire["elapsedMs"]) is type(wire["pausedMs"]) is int
        assert wire["startedAt"].endswith("Z")
        assert None not in wire.values()


@given(
    st.integers(0, 10_000_000),
    st.integers(0, 10_000_000),
    st.integers(-10_000_000, 20_000_000),
    st.sampled_from(["drop", "resend"]),
)
def test_a_doubtful_window_is_never_sent_in_doubt(first_ms: int, more_ms: int, now_ms: int, ambiguous: str) -> None:
    """With `drop`, what was sent goes out again only while the server surely knows it, and never while it settles."""
    retry = Retry.model_validate({"ambiguous": ambiguous})
    activity = ActivityRef(id="a", name="A", course=Course(code="c"), run_id="r")
    entry = Entry(activity, Window(WALL, 1, 0), "user:a", "https://one.example", "t/p").sent(WALL + first_ms)
    verdict = judge(entry.sent(WALL + first_ms + more_ms), WALL + now_ms, retry)
    assert verdict.wait_ms >= 0
    if verdict.loss is None and verdict.wait_ms == 0 and ambiguous == "drop":
        assert 0 <= now_ms - first_ms < 240_000
        assert now_ms - first_ms - more_ms >= retry.settle_ms
    assert verdict.loss in ((None, LossReason.AMBIGUOUS) if ambiguous == "drop" else (None,))


texts = st.text(st.characters(codec="utf-8"), max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)
GOOD = Entry(
    ActivityRef(id="a", name="A", course=Course(code="c"), run_id="run-1"),
    Window(WALL, 1_000, 500),
    "user:a",
    "https://one.example",
    "tab-1/page-1",
)


@st.composite
def mutilated(draw: st.DrawFn) -> str:
    """A stored entry with one value, somewhere, replaced by something else; or cut off."""
    stored = draw(st.sampled_from([GOOD, GOOD.sent(WALL)])).stored()
    target, value = stored, draw(json_values)
    while True:
        key = draw(st.sampled_from(list(target)))
        if not isinstance(target[key], dict) or draw(st.booleans()):
            break
        target = target[key]
    target[key] = value
    text = to_json(stored)
    return text[: draw(st.integers(0, len(text)))] if draw(st.booleans()) else text


@given(st.lists(st.tuples(st.sampled_from([WINDOWS, OPEN]), texts, texts | json_values.map(to_json) | mutilated())))
@example([(WINDOWS, "a", "[]"), (OPEN, "a", "{}"), (WINDOWS, "", "NaN")])
def test_garbage_is_never_fatal(garbage: list[tuple[str, str, str]]) -> None:
    """Whatever lies in storage: it is read or set aside, each piece counted once, and a good window is still found."""
    storage = MemoryStorage(durable=True)
    for prefix, key, text in garbage:
        storage.content[prefix + key] = text
    before = len(storage.content)
    shelf = Shelf(storage)
    shelf.put(GOOD)
    before += WINDOWS + GOOD.key not in {prefix + key for prefix, key, _ in garbage}
    read = len(shelf.entries()) + len(shelf.open_windows())
    assert GOOD in shelf.entries()
    assert read + shelf.corrupt == before
    corrupt = shelf.corrupt
    assert len(shelf.entries()) + len(shelf.open_windows()) == read
    assert shelf.corrupt == corrupt
    assert sum(key.startswith(CORRUPT) for key in storage.content) <= corrupt
