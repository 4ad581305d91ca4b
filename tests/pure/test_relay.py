"""The link to a page that Python cannot see: what the page tells, what it is told, and who sends a window."""

import asyncio
import gzip
import json
from importlib.resources import files
from typing import Any

import pytest

from tb_browser._ports import Answer, Moment, NoAnswer, Request, Response, Signal
from tb_browser.hosts import kernel as kernel_module
from tb_browser.hosts.kernel import KernelHost
from tb_browser.hosts.relay import PageLink
from tb_browser.transports.memory import MemoryTransport
from tb_browser.transports.relayed import RelayedTransport

ORIGIN_MS = 1_748_779_200_000.0
NOON = "2025-06-01T12:00:00.000Z"


class Page:
    """A page by hand: keeps what it is told; `now` is the host's clock."""

    def __init__(self) -> None:
        self.told = list[dict[str, Any]]()
        self.now = 0.0
        self.heard = list[tuple[Signal, float]]()
        self.link = PageLink(self.told.append, lambda ms: ms - ORIGIN_MS, lambda: ORIGIN_MS + self.now)
        self.link.watch(lambda signal, at_ms: self.heard.append((signal, at_ms)), inputs=False)

    def says(self, **message: Any) -> None:
        self.link.take(message)


def heartbeat(start: str, end: str, run: str = "run-1") -> Request:
    body = {"runId": run, "startedAt": start, "endedAt": end, "elapsedMs": 1, "pausedMs": 0}
    return Request("POST", "https://school.example/x", {"content-type": "application/json"}, json.dumps(body).encode())


def test_the_pages_part_stays_small() -> None:
    """Every page with a worker loads it: at most 2 KB, compressed as a server would."""
    assert len(gzip.compress((files("tb_browser") / "assets" / "page.js").read_bytes(), mtime=0)) <= 2_048


def test_visibility_is_unknown_until_a_page_tells() -> None:
    """No page has said anything: unknown; a first word that agrees with what was assumed is no event."""
    page = Page()
    assert page.link.visible is None
    page.says(hello=1, at=ORIGIN_MS + 5, visible=True)
    assert page.link.visible is True
    assert page.heard == []


def test_a_page_that_was_hidden_all_along_is_told_as_soon_as_it_says_so() -> None:
    """Time that was taken for visible is charged from when the page was known to be hidden."""
    page = Page()
    page.says(hello=1, at=ORIGIN_MS + 5, visible=False)
    assert page.heard == [(Signal.HIDDEN, 5)]


def test_events_come_with_the_pages_own_times() -> None:
    """However late they are told."""
    page = Page()
    page.now = 9_000
    for name, at in (("hidden", 1_000), ("shown", 2_000), ("frozen", 3_000)):
        page.says(signal=name, at=ORIGIN_MS + at)
    assert page.heard == [(Signal.HIDDEN, 1_000), (Signal.SHOWN, 2_000), (Signal.FROZEN, 3_000)]


def test_a_gap_with_signs_of_life_of_the_page_is_work() -> None:
    """The page was awake all the while, so it was Python that was busy; without signs both slept."""
    page = Page()
    for at in range(0, 60_000, 2_000):
        page.says(pulse=ORIGIN_MS + at)
    assert page.link.was_awake(500, 59_000)
    assert not page.link.was_awake(500, 90_000)


def test_a_new_page_is_told_what_it_may_have_to_send() -> None:
    """A guard that was given before anybody listened is repeated."""
    page = Page()
    page.link.guard(heartbeat(NOON, NOON), "omit", active=True)
    page.told.clear()
    page.says(hello=0, at=ORIGIN_MS, visible=True)
    assert page.told[-1]["guard"]["body"]["startedAt"] == NOON


class TestTransport:
    """Who sends: the page what it was left with, Python everything else."""

    def test_what_the_page_sent_is_not_sent_again(self) -> None:
        """The page's answer counts for the window, and for every part of it."""
        page, inner = Page(), MemoryTransport()
        transport = RelayedTransport(inner, page.link, "omit")
        sent = {"runId": "run-1", "startedAt": NOON, "endedAt": "2025-06-01T12:00:09.000Z"}
        page.says(signal="frozen", at=ORIGIN_MS, sent=sent)
        answers = list[Answer]()
        transport.send_on_exit(heartbeat(NOON, "2025-06-01T12:00:09.001Z"), answers.append)
        transport.send_on_exit(heartbeat("2025-06-01T12:00:05.000Z", "2025-06-01T12:00:09.001Z"), answers.append)
        assert (inner.on_exit, answers) == ([], [])
        page.says(answered=sent, status=204, text="")
        assert answers == [Response(204), Response(204)]

    @pytest.mark.parametrize(
        "other",
        [heartbeat("2025-06-01T12:00:09.000Z", "2025-06-01T12:00:15.000Z"), heartbeat(NOON, NOON, run="run-2")],
        ids=["later", "another run"],
    )
    def test_what_the_page_did_not_send_is_sent(self, other: Request) -> None:
        """A later window, and one of another run."""
        page, inner = Page(), MemoryTransport()
        page.says(
            signal="frozen",
            at=ORIGIN_MS,
            sent={"runId": "run-1", "startedAt": NOON, "endedAt": "2025-06-01T12:00:09.000Z"},
        )
        RelayedTransport(inner, page.link, "omit").send_on_exit(other, lambda _answer: None)
        assert inner.on_exit == [other]

    def test_a_page_that_got_no_answer_leaves_the_window_in_doubt(self) -> None:
        """It may have arrived, as with any exit."""
        page = Page()
        sent = {"runId": "run-1", "startedAt": NOON, "endedAt": "2025-06-01T12:00:09.000Z"}
        page.says(signal="frozen", at=ORIGIN_MS, sent=sent)
        page.says(answered=sent, why="TypeError: failed")
        answers = list[Answer]()
        RelayedTransport(MemoryTransport(), page.link, "omit").send_on_exit(
            heartbeat(NOON, "2025-06-01T12:00:09.000Z"), answers.append
        )
        assert answers == [NoAnswer("TypeError: failed")]

    def test_a_window_leaves_only_when_the_page_knows_of_it(self) -> None:
        """Else the page, left at that moment, would send the same window at the same time."""

        async def play() -> None:
            page, inner = Page(), MemoryTransport()
            page.says(hello=1, at=ORIGIN_MS, visible=True)
            sending = asyncio.ensure_future(
                RelayedTransport(inner, page.link, "omit").send(heartbeat(NOON, NOON), timeout_ms=1_000)
            )
            await asyncio.sleep(0)
            assert inner.sent == []
            page.says(pong=page.told[-1]["ping"])
            assert await sending == Response(204)
            assert len(inner.sent) == 1

        asyncio.run(play())


class DrivenKernel(KernelHost):
    """A kernel whose clock is driven by hand."""

    now_ms = 1_000_000.0

    def __init__(self, wall_ms: float = 0.0) -> None:
        self.wall_ms = wall_ms
        super().__init__(lambda _message: None)

    def now(self) -> Moment:
        return Moment(self.now_ms, self.now_ms + self.wall_ms)


class TestKernel:
    """An ordinary kernel, whose clock is another machine's."""

    @pytest.fixture
    def host(self) -> "DrivenKernel":
        """A kernel with a page."""
        return DrivenKernel()

    def test_the_quickest_message_tells_how_the_clocks_differ(self, host: "DrivenKernel") -> None:
        """An event that waited behind a cell is charged when it happened."""
        heard = list[float]()
        host.link.watch(lambda _signal, at_ms: heard.append(at_ms), inputs=False)
        host.take({"hello": 1, "at": 500.0, "visible": True})
        host.now_ms += 60_000
        host.take({"signal": "hidden", "at": 2_500.0})
        assert heard == [1_002_000.0]

    @pytest.mark.parametrize(
        ("page_ahead_ms", "expected_ms"), [(0, 1_000_900), (-3_600_000, 1_005_000), (3_600_000, 1_005_000)]
    )
    def test_messages_that_all_waited_count_when_they_happened(self, page_ahead_ms: float, expected_ms: float) -> None:
        """A cell follows at once, and the page is left meanwhile: the time of day tells, if both clocks are right.

        If one is wrong, the page's last word is taken to have come at once.
        """
        host, heard = DrivenKernel(ORIGIN_MS), list[float]()
        host.link.watch(lambda _signal, at_ms: heard.append(at_ms), inputs=False)
        page_ms = host.now_ms + ORIGIN_MS + page_ahead_ms
        host.now_ms += 5_000
        host.take({"hello": 1, "at": page_ms + 100, "visible": True})
        host.take({"signal": "frozen", "at": page_ms + 900})
        assert heard == [expected_ms]

    def test_a_timer_that_a_cell_kept_waiting_lets_the_pages_messages_go_first(self, host: "DrivenKernel") -> None:
        """They are older; what they tell would come too late for a window that the timer closes."""

        async def play() -> list[str]:
            seen = list[str]()
            host.after(1, lambda: seen.append("timer"))
            host.now_ms += 60_000
            for _ in range(10):
                await asyncio.sleep(0.05)
                host.now_ms += 50
                host.take({"pulse": 1_500.0})
                seen.append("message")
            host.now_ms += 200
            await asyncio.sleep(0.25)
            return seen

        assert asyncio.run(play()) == ["message"] * 10 + ["timer"]

    def test_a_clock_that_stood_still_in_sleep_keeps_nobody_silent(
        self, host: "DrivenKernel", monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The page's machine slept for an hour, and so did its clock: time goes on with the page's next sign."""
        monkeypatch.setattr(kernel_module, "LOOK_S", 0.001)
        monkeypatch.setattr(kernel_module, "SILENT_MS", 30)

        async def play() -> list[tuple[Signal, float]]:
            heard = list[tuple[Signal, float]]()
            stop = host.watch(lambda signal, at_ms: heard.append((signal, at_ms)), inputs=False)
            host.take({"hello": 1, "at": 500.0, "visible": True})
            while not heard:
                host.now_ms += 1
                await asyncio.sleep(0.001)
            host.now_ms += 3_600_000
            for page_ms in range(2_500, 2_600):
                host.take({"pulse": float(page_ms)})
                host.now_ms += 1
                await asyncio.sleep(0.001)
            stop()
            return heard

        (gone, _), (back, back_ms) = asyncio.run(play())
        assert (gone, back) == (Signal.FROZEN, Signal.THAWED)
        assert back_ms > 4_600_000

    def test_a_message_that_comes_at_once_tells_more_than_the_time_of_day(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The page's clock is three seconds behind, and the first message waited for longer than that."""
        monkeypatch.setattr(kernel_module, "LOOK_S", 0.001)
        monkeypatch.setattr(kernel_module, "LATE_S", 0.002)

        async def play() -> list[float]:
            host, heard = DrivenKernel(ORIGIN_MS), list[float]()
            stop = host.watch(lambda _signal, at_ms: heard.append(at_ms), inputs=False)
            host.now_ms += 5_000
            host.take({"hello": 1, "at": host.now_ms + ORIGIN_MS - 4_000, "visible": True})
            for _ in range(10):
                host.take({"pulse": host.now_ms + ORIGIN_MS - 3_000})
                await asyncio.sleep(0.002)
            host.take({"signal": "hidden", "at": host.now_ms + ORIGIN_MS - 3_000})
            stop()
            return heard

        assert asyncio.run(play()) == [1_005_000]

    def test_a_page_that_falls_silent_is_taken_to_be_gone(
        self, host: "DrivenKernel", monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No sign of life while the kernel is idle: time ended with the last sign, and goes on with the next."""
        monkeypatch.setattr(kernel_module, "LOOK_S", 0.001)
        monkeypatch.setattr(kernel_module, "SILENT_MS", 3)

        async def play() -> list[tuple[Signal, float]]:
            heard = list[tuple[Signal, float]]()
            stop = host.watch(lambda signal, at_ms: heard.append((signal, at_ms)), inputs=False)
            host.take({"hello": 1, "at": 500.0, "visible": True})
            host.take({"pulse": 1_500.0})
            while not heard:
                host.now_ms += 1
                await asyncio.sleep(0.001)
            host.take({"pulse": 6_600.0})
            stop()
            return heard

        (gone, gone_ms), (back, _) = asyncio.run(play())
        assert (gone, back) == (Signal.FROZEN, Signal.THAWED)
        assert gone_ms == 1_000_000
