"""Pages and assets are served as browsers need them, and `/events` shows what arrived."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from demo.official import RealPlatform
from demo.platform import PlatformStandIn
from demo.server import create_app
from demo.serving import serve


@pytest.fixture
def with_assets(platform: PlatformStandIn, tmp_path: Path) -> Iterator[httpx.Client]:
    """A demo over a folder with one asset of each kind."""
    for name in (
        "pyodide.mjs",
        "pyodide.asm.wasm",
        "core.js",
        "core.css",
        "lock.json",
        "a.whl",
        "stdlib.zip",
    ):
        (tmp_path / name).write_bytes(b"content")
    app = create_app(database=":memory:", static=tmp_path, platform=platform)
    with serve(app) as base_url, httpx.Client(base_url=base_url) as client:
        yield client


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("pyodide.mjs", "text/javascript"),
        ("pyodide.asm.wasm", "application/wasm"),
        ("core.js", "text/javascript"),
        ("core.css", "text/css"),
        ("lock.json", "application/json"),
        ("a.whl", "application/zip"),
        ("stdlib.zip", "application/zip"),
    ],
)
def test_media_types(with_assets: httpx.Client, name: str, media_type: str) -> None:
    """Each asset has the type that browsers insist on, whatever the system's own table says."""
    response = with_assets.get(f"/static/{name}")
    assert response.status_code == 200
    assert response.headers["Content-Type"].split(";")[0] == media_type


def test_unchanged_assets_are_not_sent_again(with_assets: httpx.Client) -> None:
    """An asset is revalidated at each use and costs a 304 while it is unchanged."""
    first = with_assets.get("/static/pyodide.asm.wasm")
    again = with_assets.get("/static/pyodide.asm.wasm", headers={"If-None-Match": first.headers["ETag"]})
    assert first.headers["Cache-Control"] == "no-cache"
    assert (again.status_code, again.content) == (304, b"")


def test_nothing_outside_the_folder(with_assets: httpx.Client) -> None:
    """No path leads out of the static folder."""
    assert with_assets.get("/static/..%2f..%2fetc/passwd").status_code == 404
    assert with_assets.get("/pages/..%2fserver.py").status_code == 404


def test_every_local_part_of_the_pages_exists(client: httpx.Client) -> None:
    """The pages come from this server alone: they name no other host, and their own parts are there."""
    for page in ("/", "/events"):
        text = client.get(page).text
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in text
    for part in ("style.css", "boot.js", "events.js", "lesson.py", "page.py"):
        assert client.get(f"/pages/{part}").status_code == 200


def test_events_are_listed(client: httpx.Client, heartbeat: Callable[..., dict[str, Any]], run_id: str) -> None:
    """`/events.json` lists the events in order and the totals of each run."""
    client.post("/api/timeback/activity/heartbeat", json=heartbeat())
    client.post("/api/progress/lesson-1", json={"run_id": run_id, "finish": True})
    listed = client.get("/events.json").json()
    assert listed["platform"] == "stand-in"
    assert [event["kind"] for event in listed["events"]] == ["time_spent", "completed"]
    total = {"windows": 1, "active_seconds": 12.0, "inactive_seconds": 3.0, "completions": 1}
    assert listed["runs"] == [{"run_id": run_id} | total]


def test_the_real_platform_lists_itself(tmp_path: Path) -> None:
    """With the real platform `/events.json` says which one it is and lists nothing."""
    app = create_app(database=tmp_path / "db", platform=RealPlatform("staging", "id", "secret"))
    with serve(app) as base_url:
        listed = httpx.get(base_url + "/events.json").json()
    assert listed == {"platform": "staging", "events": None, "runs": None}
