"""The demo's one server process: the lesson, its progress, the official Timeback routes, and what arrived.

    python -m demo.server [--port 8000] [--host 127.0.0.1] [--database PATH]

With TIMEBACK_ENV, TIMEBACK_CLIENT_ID and TIMEBACK_CLIENT_SECRET set it talks to the real platform, for the
learner whose e-mail is in DEMO_STUDENT_EMAIL and the course whose ids are in timeback.config.json.
"""

import argparse
import os
import sqlite3
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from demo.assets import Assets, missing_assets
from demo.events_page import PAGES, events_router
from demo.official import GetEmail, RealPlatform, connected, official_server
from demo.platform import STUDENT, PlatformStandIn
from demo.progress import ProgressStore
from demo.progress_api import api_router
from demo.serving import address_of, listen

STATIC = Path(__file__).parent.parent / "static" / "dist"
DATABASE = Path(__file__).parent / "progress.sqlite3"


class StartError(Exception):
    """The server cannot start; the message is one line that says why and what to do."""


def default_student(_request: Request) -> str:
    """Who is signed in: the demo has one learner and no sign-in."""
    return os.environ.get("DEMO_STUDENT_EMAIL", STUDENT.email)


def create_app(
    *,
    database: Path | str,
    static: Path = STATIC,
    platform: PlatformStandIn | RealPlatform,
    get_email: GetEmail = default_student,
) -> FastAPI:
    """The demo as an ASGI app, to be run with its lifespan (`demo.serving.serve` does).

    `database` may be ":memory:". An app is served once; to start again, make another over the same
    database and platform. Raises sqlite3.Error when the database cannot be opened.
    """
    timeback = official_server(platform, get_email)
    store = ProgressStore(database)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with connected(timeback, platform):
            yield
        store.close()

    app = FastAPI(title="Fractions demo", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(timeback.router, prefix="/api/timeback")
    app.include_router(api_router(store, timeback, get_email))
    app.include_router(events_router(platform))

    @app.get("/")
    async def lesson_page() -> Response:
        return FileResponse(PAGES / "lesson.html", headers={"Cache-Control": "no-cache"})

    app.mount("/pages", Assets(directory=PAGES))
    app.mount("/static", Assets(directory=static, check_dir=False))
    return app


def platform_from(environment: Mapping[str, str]) -> PlatformStandIn | RealPlatform:
    """The real platform when all three variables are set, the stand-in when none is."""
    names = ("TIMEBACK_ENV", "TIMEBACK_CLIENT_ID", "TIMEBACK_CLIENT_SECRET")
    missing = [name for name in names if not environment.get(name)]
    if len(missing) == len(names):
        return PlatformStandIn()
    if missing:
        raise StartError(f"For the real platform {', '.join(names)} are needed; set {' and '.join(missing)}, or none.")
    env, client_id, client_secret = (environment[name] for name in names)
    match env:
        case "staging" | "production":
            return RealPlatform(env, client_id, client_secret)
        case _:
            raise StartError(f"TIMEBACK_ENV is {env!r}; set it to staging or production.")


def run(arguments: argparse.Namespace, environment: Mapping[str, str]) -> None:
    """Serve until interrupted. Raises StartError."""
    if missing := missing_assets(STATIC):
        raise StartError(f"static/dist lacks {', '.join(missing)}; `python3 -m demo` assembles it and starts this.")
    platform = platform_from(environment)
    try:
        app = create_app(database=arguments.database, platform=platform)
    except sqlite3.Error as error:
        raise StartError(
            f"Cannot use the database {arguments.database}: {error}; name another with --database."
        ) from None
    try:
        listener = listen(arguments.host, arguments.port)
    except (OSError, OverflowError) as error:
        raise StartError(
            f"Cannot listen on {arguments.host} port {arguments.port}: {error}; "
            "stop what uses it or choose another with --port."
        ) from None
    print(f"Open {address_of(listener)}/ (what Timeback received: {address_of(listener)}/events)", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2)).run(sockets=[listener])


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m demo.server", description="Serve the fractions demo.")
    parser.add_argument("--port", type=int, default=8000, help="8000 by default; 0 picks a free one")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--database", default=str(DATABASE), help="where progress is kept (SQLite)")
    try:
        run(parser.parse_args(argv), os.environ)
    except StartError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
