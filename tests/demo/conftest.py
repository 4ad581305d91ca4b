"""A really served demo over a stand-in, for each test its own."""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from demo.platform import PlatformStandIn
from demo.server import create_app
from demo.serving import serve


@pytest.fixture
def platform() -> PlatformStandIn:
    return PlatformStandIn()


@pytest.fixture
def client(platform: PlatformStandIn) -> Iterator[httpx.Client]:
    """An HTTP client of the served demo."""
    app = create_app(database=":memory:", platform=platform)
    with serve(app) as base_url, httpx.Client(base_url=base_url, timeout=20) as client:
        yield client


@pytest.fixture
def run_id() -> str:
    """A fresh one for each test: the official server remembers windows for the whole process."""
    return str(uuid.uuid4())


@pytest.fixture
def heartbeat(run_id: str) -> Callable[..., dict[str, Any]]:
    """A heartbeat's body; keyword arguments change fields, `...` leaves one out."""

    def build(**changes: object) -> dict[str, Any]:
        body: dict[str, Any] = {
            "id": "lesson-1",
            "name": "Fractions",
            "course": {"subject": "Math", "grade": 3},
            "runId": run_id,
            "startedAt": "2025-06-01T12:00:00.000Z",
            "endedAt": "2025-06-01T12:00:15.000Z",
            "elapsedMs": 12_000,
            "pausedMs": 3_000,
        }
        return {name: value for name, value in (body | changes).items() if value is not ...}

    return build
