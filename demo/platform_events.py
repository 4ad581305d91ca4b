"""What the platform received, read from Caliper events into plain values."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from urllib.parse import unquote

Kind = Literal["time_spent", "completed"]


@dataclass(frozen=True)
class PlatformEvent:
    """One event as it arrived.

    `active_seconds` and `inactive_seconds` belong to `time_spent` events and are None in `completed` ones;
    `metrics` (`xpEarned`, `totalQuestions`, …), `attempt` and `pct_complete` the other way round.
    """

    kind: Kind
    run_id: str | None
    activity_id: str
    activity_url: str
    email: str
    event_time: datetime
    received_at: datetime
    active_seconds: float | None
    inactive_seconds: float | None
    metrics: Mapping[str, float]
    attempt: int | None
    pct_complete: float | None
    raw: Mapping[str, Any]


@dataclass(frozen=True)
class RunTotal:
    """The sum over one run's events."""

    run_id: str | None
    windows: int
    active_seconds: float
    inactive_seconds: float
    completions: int


def parse_event(raw: Mapping[str, Any], received_at: datetime) -> PlatformEvent:
    """Read one Caliper event. Raises ValueError or KeyError for anything the package does not send."""
    kinds: dict[str, Kind] = {"TimeSpentEvent": "time_spent", "ActivityEvent": "completed"}
    kind = kinds.get(str(raw.get("type")))
    if kind is None:
        raise ValueError(f"unexpected event type {raw.get('type')!r}")
    generated = raw["generated"]
    values = {item["type"]: float(item["value"]) for item in generated["items"]}
    session = raw.get("session")
    url = str(raw["object"]["id"])
    is_time = kind == "time_spent"
    return PlatformEvent(
        kind=kind,
        run_id=session.removeprefix("urn:uuid:") if isinstance(session, str) else None,
        activity_id=unquote(url.rsplit("/", 1)[-1]),
        activity_url=url,
        email=str(raw["actor"]["email"]),
        event_time=datetime.fromisoformat(raw["eventTime"]),
        received_at=received_at,
        active_seconds=values.get("active", 0.0) if is_time else None,
        # The official server leaves the metric out when it is zero.
        inactive_seconds=values.get("inactive", 0.0) if is_time else None,
        metrics={} if is_time else values,
        attempt=generated.get("attempt"),
        pct_complete=(generated.get("extensions") or {}).get("pctCompleteApp"),
        raw=raw,
    )


def totals_by_run(events: Iterable[PlatformEvent]) -> list[RunTotal]:
    """One total per run, in the order in which the runs first appeared."""
    runs: dict[str | None, list[PlatformEvent]] = {}
    for event in events:
        runs.setdefault(event.run_id, []).append(event)
    return [
        RunTotal(
            run_id=run_id,
            windows=sum(event.kind == "time_spent" for event in of_run),
            active_seconds=round(sum(event.active_seconds or 0 for event in of_run), 3),
            inactive_seconds=round(sum(event.inactive_seconds or 0 for event in of_run), 3),
            completions=sum(event.kind == "completed" for event in of_run),
        )
        for run_id, of_run in runs.items()
    ]
