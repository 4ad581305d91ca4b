"""The official server package, unmodified, in front of the real platform or of the local stand-in."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from starlette.requests import Request
from timeback import ApiCredentials, CustomIdentityConfig, TimebackConfig
from timeback.server.adapters.fastapi import TimebackFastAPI
from timeback_core import TimebackClient

from demo.platform import PlatformStandIn
from demo.serving import serve

STAND_IN_CREDENTIALS = ApiCredentials("stand-in", "stand-in")
CONFIG = Path(__file__).parent / "timeback.config.json"

GetEmail = Callable[[Request], str | None] | Callable[[Request], Awaitable[str | None]]
"""Who is signed in: the e-mail that belongs to a request, or None."""


@dataclass(frozen=True)
class RealPlatform:
    """Where Timeback really runs, and the credentials for it."""

    env: Literal["staging", "production"]
    client_id: str
    client_secret: str


def official_server(platform: PlatformStandIn | RealPlatform, get_email: GetEmail) -> TimebackFastAPI:
    """The official adapter. Behind a stand-in it reaches nobody until `connected` runs."""
    real = platform if isinstance(platform, RealPlatform) else None
    timeback = TimebackFastAPI(
        TimebackConfig(
            env=real.env if real else "staging",
            api=ApiCredentials(real.client_id, real.client_secret) if real else STAND_IN_CREDENTIALS,
            identity=CustomIdentityConfig(get_email=get_email),
            config_path=str(CONFIG),
        )
    )
    if real is None:
        _send_to(timeback, "http://127.0.0.1:0")
    return timeback


@asynccontextmanager
async def connected(timeback: TimebackFastAPI, platform: PlatformStandIn | RealPlatform) -> AsyncIterator[None]:
    """Hold the way to the platform open: for the stand-in, a second port on loopback."""
    if isinstance(platform, RealPlatform):
        yield
        await timeback.close()
        return
    with serve(platform.app) as base_url:
        client = _send_to(timeback, base_url)
        yield
        # Not `timeback.close()`: it drops the client, and the next use would make one for the real platform.
        await client.close()


def _send_to(timeback: TimebackFastAPI, base_url: str) -> TimebackClient:
    """Give the package a client for `base_url`.

    `TimebackClient(base_url=…)` is public, but the server's configuration cannot ask for it: so the client
    that the server would make at first use is put in place before that.
    """
    client = TimebackClient(base_url=base_url, auth_url=f"{base_url}/oauth2/token", **asdict(STAND_IN_CREDENTIALS))
    timeback.instance._client_factory._client = client  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    return client
