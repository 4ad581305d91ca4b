"""A local stand-in for the Timeback platform: what the official server package talks to.

It answers what the package asks for: a token, users by e-mail, enrollments, analytics (always empty: it
aggregates nothing), the gradebook, and `POST /caliper/event`. It keeps the events that arrived, and fails on
request.
"""

import asyncio
import hashlib
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from demo.platform_directory import STUDENT, User, enrollment_entity, select, user_entity
from demo.platform_events import PlatformEvent, RunTotal, parse_event, totals_by_run

ACCESS_TOKEN = "stand-in-token"  # noqa: S105
ROSTERING = "/ims/oneroster/rostering/v1p2"
GRADEBOOK = "/ims/oneroster/gradebook/v1p2"


class PlatformStandIn:
    """The stand-in: `app` is its ASGI app; everything else may be called from any thread.

    >>> platform = PlatformStandIn()
    >>> platform.fail_events(500, times=2)      # the next two deliveries fail
    >>> platform.events                         # what arrived, in order of arrival
    ()
    """

    def __init__(self, users: Sequence[User] = (STUDENT,)) -> None:
        self._first_users = tuple(users)
        self.users = list(users)
        self.directory_down = False
        self.token_service_down = False
        self.line_items: dict[str, dict[str, Any]] = {}
        self.results: dict[str, dict[str, Any]] = {}
        self._events: list[PlatformEvent] = []
        self._arrived = threading.Condition()
        self._failures: list[int] = []
        self._answering = threading.Event()
        self._answering.set()
        self.app = self._build_app()

    # What arrived

    @property
    def events(self) -> tuple[PlatformEvent, ...]:
        """Every event taken so far, in order of arrival."""
        with self._arrived:
            return tuple(self._events)

    @property
    def runs(self) -> list[RunTotal]:
        return totals_by_run(self.events)

    def events_of(self, run_id: str) -> tuple[PlatformEvent, ...]:
        return tuple(event for event in self.events if event.run_id == run_id)

    def wait_for(
        self, reached: Callable[[tuple[PlatformEvent, ...]], bool], timeout_s: float = 10
    ) -> tuple[PlatformEvent, ...]:
        """Block until `reached(events)` holds; return them. Raises TimeoutError, listing what arrived."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: reached(tuple(self._events)), timeout_s):
                listed = ", ".join(f"{event.kind} {event.run_id}" for event in self._events) or "nothing"
                raise TimeoutError(f"The events waited for did not arrive in {timeout_s} s. Arrived: {listed}.")
            return tuple(self._events)

    def reset(self) -> None:
        """Be as at first: no events, no grades, no faults, the first users."""
        with self._arrived:
            self._events.clear()
            self._failures.clear()
        self.line_items.clear()
        self.results.clear()
        self.users[:] = self._first_users
        self.directory_down = self.token_service_down = False
        self.answer()

    # Faults

    def fail_events(self, status: int, times: int = 1) -> None:
        """Refuse the next deliveries. The package retries 429 and 503 itself: after 1 s, then 2 s."""
        with self._arrived:
            self._failures.extend([status] * times)

    def hang(self) -> None:
        """Take deliveries but answer none, until `answer()`. The official package gives up after 30 s."""
        self._answering.clear()

    def answer(self) -> None:
        """End `hang()`: what still waits is taken and answered now."""
        self._answering.set()

    # The app

    def _build_app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/oauth2/token", self._token, methods=["POST"]),
                Route(f"{ROSTERING}/users", self._signed(self._users)),
                Route("/edubridge/enrollments/user/{user_id}", self._signed(self._enrollments)),
                Route("/edubridge/analytics/{rest:path}", self._signed(self._analytics)),
                Route(f"{GRADEBOOK}/{{collection}}", self._signed(self._gradebook), methods=["GET", "POST"]),
                Route(
                    f"{GRADEBOOK}/{{collection}}/{{id}}",
                    self._signed(self._gradebook_entry),
                    methods=["GET", "PUT"],
                ),
                Route("/caliper/event", self._signed(self._caliper), methods=["POST"]),
            ]
        )

    def _signed(self, handler: Callable[[Request], Any]) -> Callable[[Request], Any]:
        async def checked(request: Request) -> Response:
            if request.headers.get("Authorization") != f"Bearer {ACCESS_TOKEN}":
                return JSONResponse({"message": "Unauthorized"}, 401)
            return await handler(request)

        return checked

    async def _token(self, request: Request) -> Response:
        if self.token_service_down:
            return JSONResponse({"message": "Token service down"}, 500)
        if not request.headers.get("Authorization", "").startswith("Basic "):
            return JSONResponse({"error": "invalid_client"}, 401)
        return JSONResponse({"access_token": ACCESS_TOKEN, "token_type": "Bearer", "expires_in": 3600})

    async def _users(self, request: Request) -> Response:
        if self.directory_down:
            return JSONResponse({"message": "Directory down"}, 500)
        found = select([user_entity(user) for user in self.users], request.query_params.get("filter", ""))
        return JSONResponse({"users": found[: int(request.query_params.get("limit", 100))]})

    async def _enrollments(self, request: Request) -> Response:
        enrolled = [user for user in self.users if user.id == request.path_params["user_id"]]
        return JSONResponse({"data": [enrollment_entity(course) for user in enrolled for course in user.course_ids]})

    async def _analytics(self, request: Request) -> Response:
        weekly = request.path_params["rest"].startswith("facts/weekly")
        return JSONResponse({"message": "ok", "startDate": "", "endDate": "", "facts": [] if weekly else {}})

    async def _gradebook(self, request: Request) -> Response:
        store, name = self._collection(request)
        if request.method == "POST":
            entity = (await request.json())[name]
            store[entity["sourcedId"]] = entity
            return JSONResponse({"sourcedIdPairs": {"suppliedSourcedId": entity["sourcedId"]}}, 201)
        return JSONResponse({f"{name}s": select(list(store.values()), request.query_params.get("filter", ""))})

    async def _gradebook_entry(self, request: Request) -> Response:
        store, name = self._collection(request)
        key = request.path_params["id"]
        if request.method == "PUT":
            store[key] = (await request.json())[name]
        if key not in store:
            return JSONResponse({"message": "Not found"}, 404)
        return JSONResponse({name: store[key]})

    def _collection(self, request: Request) -> tuple[dict[str, dict[str, Any]], str]:
        is_result = request.path_params["collection"] == "assessmentResults"
        return (self.results, "assessmentResult") if is_result else (self.line_items, "assessmentLineItem")

    async def _caliper(self, request: Request) -> Response:
        envelope = await request.json()
        await self._until_answering(request)
        with self._arrived:
            failure = self._failures.pop(0) if self._failures else None
        if failure is not None:
            return JSONResponse({"message": f"Event service fails on request ({failure})"}, failure)
        try:
            events = [parse_event(raw, datetime.now(UTC)) for raw in envelope["data"]]
        except (ValueError, KeyError, TypeError) as error:
            return JSONResponse({"message": f"Not a Timeback event: {error}"}, 400)
        with self._arrived:
            self._events.extend(events)
            self._arrived.notify_all()
        for event in events:
            self._grade(event)
        return JSONResponse({"jobId": f"job-{len(self._events)}"})

    async def _until_answering(self, request: Request) -> None:
        # Several event loops may serve this stand-in, so no asyncio.Event; and who gave up is not counted.
        while not self._answering.is_set() and not await request.is_disconnected():  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    def _grade(self, event: PlatformEvent) -> None:
        """Write the result that the platform derives from a completion; the next attempt follows it."""
        if event.kind != "completed":
            return
        course_id = (event.raw.get("extensions") or {}).get("courseId")
        line_item_id = "caliper_" + hashlib.sha256(f"{event.activity_url}_{course_id}".encode()).hexdigest()
        student_id = str(event.raw["actor"]["id"]).rsplit("/", 1)[-1]
        result_id = f"{line_item_id}_{student_id}_{event.attempt}"
        self.line_items[line_item_id] = {
            "sourcedId": line_item_id,
            "title": event.activity_id,
            "status": "active",
        }
        self.results[result_id] = {
            "sourcedId": result_id,
            "status": "active",
            "assessmentLineItem": {"sourcedId": line_item_id},
            "student": {"sourcedId": student_id},
            "scoreDate": event.raw["eventTime"],
            "scoreStatus": "fully graded",
            "metadata": {"attempt": event.attempt},
        }
