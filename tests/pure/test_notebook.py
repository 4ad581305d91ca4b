"""One line in a notebook's cell, without a notebook: which run it is, and what its badge is told."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from tb_browser import notebook
from tb_browser.errors import ActivityInProgressError
from tb_browser.notebook import Badge, track
from tb_browser.testing import TimebackServer

LESSON: Mapping[str, Any] = {"id": "fractions-1", "name": "Fractions", "course": {"subject": "Math", "grade": 3}}


class Kernel:
    """What IPython gives in a kernel; `metadata` came along with the cell that runs."""

    def __init__(self) -> None:
        self.metadata = dict[str, Any]()

    @property
    def kernel(self) -> "Kernel":
        return self

    def get_parent(self) -> dict[str, Any]:
        return {"header": {}, "metadata": self.metadata}

    async def restart(self) -> None:
        """End what runs, and let the next cell find the metadata that the page was told to write into it."""
        (badge,) = notebook._badges
        await badge.activity.end()
        self.metadata = {"cellId": "cell-1", **{key: value for key, value in badge.kept.items() if key != "cell"}}


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """A kernel that has just started."""
    fresh = Kernel()
    fresh.metadata["cellId"] = "cell-1"
    monkeypatch.setattr(notebook, "get_ipython", lambda: fresh)
    monkeypatch.setattr(notebook, "_badges", [])
    return fresh


def play(lesson: Callable[[Callable[..., Badge]], Awaitable[None]]) -> TimebackServer:
    """Let a lesson call `track` against a server, end what still runs, and return the server."""

    async def run(server: TimebackServer) -> None:
        await lesson(lambda **more: track(**{**LESSON, "base_url": server.api, **more}))
        await notebook._badges[0].timeback.aclose()

    with TimebackServer() as server:
        asyncio.run(run(server))
    return server


def test_running_the_cell_again_shows_the_same_badge(kernel: Kernel) -> None:  # noqa: ARG001
    """No second activity; another lesson beside it is refused, by the name of the one that runs."""

    async def lesson(track: Callable[..., Badge]) -> None:
        badge = track()
        assert track() is badge
        with pytest.raises(ActivityInProgressError, match="fractions-1"):
            track(id="fractions-2")

    play(lesson)


def test_without_a_page_the_badge_says_that_visibility_is_unknown(kernel: Kernel) -> None:  # noqa: ARG001
    """Until a page tells, all time counts as active; the badge says what is not known, as its text does."""

    async def lesson(track: Callable[..., Badge]) -> None:
        badge = track()
        assert badge.shown["visibility_known"] is False
        assert "visibility unknown" in repr(badge)
        await asyncio.sleep(0.05)
        assert badge.activity.total_inactive_ms == 0
        badge._on_message(None, {"relay": {"hello": 0, "at": 1_748_779_200_000.0, "visible": True}}, None)
        badge._on_message(None, {"ask": "pause"}, None)
        assert (badge.shown["visibility_known"], badge.shown["state"]) == (True, "paused")
        assert "visibility unknown" not in repr(badge)

    play(lesson)


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ({"user_key": "ada"}, {"user_key": "ada"}, True),
        ({"user_key": "ada"}, {"user_key": "bob"}, False),
        ({"user_key": "ada"}, {}, False),
        ({"user_key": "ada"}, {"user_key": "ada", "id": "fractions-2"}, False),
        ({}, {}, False),
        ({"run_id": "5b0b2f9e-33ab-4a43-8a67-9b2d1b1b6b7c"}, {"run_id": "5b0b2f9e-33ab-4a43-8a67-9b2d1b1b6b7c"}, True),
    ],
    ids=["same student", "another student", "nobody named", "another lesson", "never named", "passed"],
)
def test_a_restarted_kernel_goes_on_with_its_students_run(
    kernel: Kernel, before: dict[str, Any], after: dict[str, Any], same: bool
) -> None:
    """The cell keeps the run for the student it is of; whoever gets a copy of the notebook begins one of their own."""
    runs = list[str]()

    async def lesson(track: Callable[..., Badge]) -> None:
        runs.append(track(**before).activity.run_id)
        assert "ada" not in str(notebook._badges[0].kept)
        await kernel.restart()
        runs.append(track(**after).activity.run_id)

    play(lesson)
    assert (runs[0] == runs[1]) is same


@pytest.mark.parametrize("kept", ["x", 7, {"run_id": 7}, {"run_id": "x"}, {}])
def test_metadata_that_say_something_else_are_left_alone(kernel: Kernel, kept: Any) -> None:
    """Somebody edited them: a new run begins."""
    kernel.metadata["tb_browser"] = kept

    async def lesson(track: Callable[..., Badge]) -> None:
        assert len(track(user_key="ada").activity.run_id) == 36

    play(lesson)
