"""`/events` and `/events.json`: what the platform received, as it arrives."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from starlette.responses import FileResponse, Response

from demo.official import RealPlatform
from demo.platform import PlatformStandIn
from demo.platform_events import PlatformEvent

PAGES = Path(__file__).parent / "pages"


def events_router(platform: PlatformStandIn | RealPlatform) -> APIRouter:
    router = APIRouter()

    @router.get("/events")
    async def events_page() -> Response:
        return FileResponse(PAGES / "events.html", headers={"Cache-Control": "no-cache"})

    @router.get("/events.json")
    async def events_json() -> dict[str, Any]:
        if isinstance(platform, RealPlatform):
            return {"platform": platform.env, "events": None, "runs": None}
        return {
            "platform": "stand-in",
            "events": [_listed(event) for event in platform.events],
            "runs": [asdict(run) for run in platform.runs],
        }

    return router


def _listed(event: PlatformEvent) -> dict[str, Any]:
    return {
        "kind": event.kind,
        "run_id": event.run_id,
        "activity_id": event.activity_id,
        "email": event.email,
        "event_time": event.event_time.isoformat(),
        "received_at": event.received_at.isoformat(),
        "active_seconds": event.active_seconds,
        "inactive_seconds": event.inactive_seconds,
        "metrics": dict(event.metrics),
        "attempt": event.attempt,
        "pct_complete": event.pct_complete,
    }
