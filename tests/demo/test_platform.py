"""The stand-in tells truly what arrived, and nothing goes past it."""

import asyncio
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from demo.platform import PlatformStandIn
from demo.platform_directory import select

HEARTBEAT = "/api/timeback/activity/heartbeat"

Build = Callable[..., dict[str, Any]]


def test_time_arrives_with_its_values(
    client: httpx.Client, platform: PlatformStandIn, heartbeat: Build, run_id: str, learner: str
) -> None:
    """An event carries run, activity, user and both times in seconds; its time is the window's end."""
    client.post(HEARTBEAT, json=heartbeat(elapsedMs=12_345, pausedMs=2_655))
    [event] = platform.events
    assert (event.kind, event.run_id, event.activity_id) == ("time_spent", run_id, "lesson-1")
    assert (event.active_seconds, event.inactive_seconds) == (12.345, 2.655)
    assert event.event_time == datetime(2025, 6, 1, 12, 0, 15, tzinfo=UTC)
    assert event.email == learner
    assert event.raw["action"] == "SpentTime"


def test_no_inactive_time_is_zero(client: httpx.Client, platform: PlatformStandIn, heartbeat: Build) -> None:
    """The official server leaves inactive time out when there was none; it reads as zero."""
    client.post(HEARTBEAT, json=heartbeat(pausedMs=0))
    [event] = platform.events
    assert [item["type"] for item in event.raw["generated"]["items"]] == ["active"]
    assert event.inactive_seconds == 0


def test_order_and_totals(client: httpx.Client, platform: PlatformStandIn, heartbeat: Build, run_id: str) -> None:
    """Events stay in order of arrival, and a run's total is their sum."""
    for second in (30, 0, 15):
        client.post(HEARTBEAT, json=heartbeat(startedAt=f"2025-06-01T12:00:{second:02}.000Z", elapsedMs=second + 1))
    assert [event.active_seconds for event in platform.events_of(run_id)] == [0.031, 0.001, 0.016]
    [run] = platform.runs
    assert (run.run_id, run.windows, run.active_seconds, run.inactive_seconds) == (run_id, 3, 0.048, 9)


def test_nothing_leaves_the_process(client: httpx.Client, heartbeat: Build) -> None:
    """While the official server works, every connection goes to loopback and no name is looked up."""
    seen: list[object] = []
    watching = True

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event == "socket.connect":
            seen.append(arguments[1][0])
        elif watching and event == "socket.getaddrinfo":
            seen.append(arguments[0])

    sys.addaudithook(watch)
    client.post(HEARTBEAT, json=heartbeat())
    client.get("/api/timeback/user/me")
    client.post("/api/progress/lesson-1", json={"run_id": heartbeat()["runId"]})
    client.post("/api/progress/lesson-1", json={"finish": True})
    watching = False
    assert set(seen) <= {"127.0.0.1", b"127.0.0.1"}
    assert seen


def test_a_hanging_platform_answers_late(client: httpx.Client, platform: PlatformStandIn, heartbeat: Build) -> None:
    """While the stand-in hangs nothing is answered or counted; released, it takes what waited."""
    platform.hang()
    statuses: list[int] = []
    sender = threading.Thread(target=lambda: statuses.append(client.post(HEARTBEAT, json=heartbeat()).status_code))
    sender.start()
    sender.join(0.3)
    assert (sender.is_alive(), platform.events) == (True, ())
    platform.answer()
    assert len(platform.wait_for(lambda events: len(events) == 1)) == 1
    sender.join(5)
    assert statuses == [204]


def test_waiting_in_vain_tells_what_came(platform: PlatformStandIn) -> None:
    """`wait_for` gives up with a message that lists what arrived."""
    with pytest.raises(TimeoutError, match="nothing"):
        platform.wait_for(lambda events: len(events) == 1, timeout_s=0.01)


def test_no_token_no_answer(platform: PlatformStandIn) -> None:
    """The stand-in refuses who has no token, so the official server's sign-in is really used."""

    async def ask() -> int:
        transport = httpx.ASGITransport(app=platform.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://stand-in") as client:
            return (await client.post("/caliper/event", json={"data": []})).status_code

    assert asyncio.run(ask()) == 401


def test_filters() -> None:
    """The directory's filter compares every term, and a quote in a value is doubled."""
    people = [{"name": "O'Hara", "org": {"id": "a"}}, {"name": "Sam", "org": {"id": "a"}}]
    assert select(people, "name='O''Hara' AND org.id='a'") == people[:1]
    assert select(people, "org.id='b'") == []
    assert select(people, "") == people
