"""A really served demo over a stand-in: one for all tests, with a learner of its own for each."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from starlette.requests import Request

from demo.platform import STUDENT, PlatformStandIn
from demo.server import create_app
from demo.serving import serve

STAND_IN = PlatformStandIn()


def learner_of(request: Request) -> str:
    return request.headers["X-Learner"]


@pytest.fixture(scope="session")
def base_url() -> Iterator[str]:
    app = create_app(database=":memory:", platform=STAND_IN, get_email=learner_of)
    with serve(app) as base_url:
        yield base_url


@pytest.fixture
def learner() -> str:
    """The e-mail of a learner without progress."""
    return f"{uuid.uuid4()}@example.com"


@pytest.fixture
def platform(learner: str) -> Iterator[PlatformStandIn]:
    """The stand-in, as new, and the learner is known to it."""
    STAND_IN.users[:] = [replace(STUDENT, email=learner)]
    yield STAND_IN
    STAND_IN.reset()


@pytest.fixture
def client(base_url: str, learner: str, platform: PlatformStandIn) -> Iterator[httpx.Client]:
    """An HTTP client of the served demo, signed in as the learner."""
    assert platform.events == ()
    with httpx.Client(base_url=base_url, headers={"X-Learner": learner}, timeout=20) as client:
        yield client


@pytest.fixture
def client_of_new_server(learner: str, platform: PlatformStandIn) -> Iterator[httpx.Client]:
    """The same over a server of its own, which has no platform token yet: tokens are kept for an hour."""
    app = create_app(database=":memory:", platform=platform, get_email=learner_of)
    with serve(app) as base_url, httpx.Client(base_url=base_url, headers={"X-Learner": learner}) as client:
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
