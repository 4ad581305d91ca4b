"""What user code sees of the official server, unmodified, on a real socket: every route, every answer."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from timeback import SsoIdentityConfig, TimebackConfig
from timeback.server.adapters.fastapi import TimebackFastAPI
from timeback.server.handlers.identity import create_identity_handlers

from demo.official import CONFIG, STAND_IN_CREDENTIALS, connected
from demo.platform import STUDENT, PlatformStandIn
from demo.server import create_app
from demo.serving import serve
from tb_browser import (
    Activity,
    DeliveryError,
    ErrorContext,
    LossReason,
    NotSignedInError,
    RejectedError,
    Timeback,
    TimebackError,
    UnavailableError,
    UserUnresolvedError,
    WrongAddressError,
    bearer,
    create_client,
)
from tb_browser._ports import Answer, NoAnswer
from tb_browser._ports import Request as Sent
from tb_browser.transports.plain import PlainTransport

PLATFORM = PlatformStandIn()
RETRY = {"first_ms": 60_000, "max_ms": 60_000, "settle_ms": 1}
"""Nothing is tried again by itself while a test runs; an unanswered window may be sent again at once."""

type Work = Callable[["Learner"], Awaitable[None]]


def token_of(request: Request) -> str | None:
    """Who is signed in: in this school the token is the e-mail."""
    token = request.headers.get("authorization", "").removeprefix("Bearer ")
    return token if "@" in token else None


@pytest.fixture(scope="module")
def school() -> Iterator[str]:
    """The address of the official server's routes."""
    with serve(create_app(database=":memory:", platform=PLATFORM, get_email=token_of)) as url:
        yield f"{url}/api/timeback"


@pytest.fixture
def platform() -> Iterator[PlatformStandIn]:
    """The platform behind it, as new."""
    yield PLATFORM
    PLATFORM.reset()


@dataclass
class Learner:
    """Code of a user of tb_browser, and what it is told."""

    timeback: Timeback
    told: list[tuple[TimebackError, ErrorContext]] = field(default_factory=list[tuple[TimebackError, ErrorContext]])
    flushed: list[int] = field(default_factory=list[int])

    async def work(self, **options: Any) -> Activity:
        """Work on the lesson for a moment."""
        lesson = {"id": "lesson-1", "name": "Fractions", "course": {"subject": "Math", "grade": 3}}
        activity = self.timeback.activity.start(
            **{**lesson, **options},
            time={"retry": RETRY},
            on_error=lambda error, context: self.told.append((error, context)),
            on_flush=self.flushed.append,
        )
        await asyncio.sleep(0.02)
        return activity

    @property
    def error(self) -> TimebackError:
        """The one error that was told."""
        ((error, _),) = self.told
        return error


def learn(url: str, work: Work, *, token: Callable[[], str] = lambda: STUDENT.email, **options: Any) -> None:
    """Run some code with a client; `token` is who is signed in."""

    async def main() -> None:
        options.setdefault("auth", bearer(token))
        async with create_client(base_url=url, user_key="learner", **options) as timeback:
            await work(Learner(timeback))

    asyncio.run(main())


# --- POST /activity/heartbeat ---


def test_time_is_taken(school: str, platform: PlatformStandIn) -> None:
    """204: the receipt says so, and the platform has the seconds."""

    async def work(learner: Learner) -> None:
        activity = await learner.work()
        receipt = await activity.end()
        assert (receipt.delivered, receipt.waiting, learner.told) == (True, 0, [])
        assert sum(learner.flushed) == receipt.active_ms
        (event,) = platform.events_of(activity.run_id)
        assert event.active_seconds == pytest.approx(receipt.active_ms / 1000)

    learn(school, work)


class DeafOnce(PlainTransport):
    """The first answer gets lost on its way."""

    def __init__(self) -> None:
        super().__init__()
        self.deaf = True

    async def send(self, request: Sent, *, timeout_ms: float) -> Answer:
        answer = await super().send(request, timeout_ms=timeout_ms)
        if self.deaf and request.method == "POST":
            self.deaf = False
            return NoAnswer("the connection was reset")
        return answer


def test_a_window_sent_twice_counts_once(school: str, platform: PlatformStandIn) -> None:
    """200 with `duplicate`: its answer was lost, it is sent again unchanged, and counted once."""

    async def work(learner: Learner) -> None:
        activity = await learner.work()
        assert not (await activity.flush()).delivered
        await asyncio.sleep(0.01)
        await learner.timeback.flush()
        assert activity.stats.duplicates == 1
        await activity.end()
        events = platform.events_of(activity.run_id)
        assert sum(event.active_seconds or 0 for event in events) == pytest.approx(activity.total_active_ms / 1000)

    learn(school, work, transport=DeafOnce())


@pytest.mark.parametrize(
    ("options", "named", "said"),
    [
        ({"run_id": "assignment-7"}, "runId", "Expected UUID"),
        ({"course": {"code": "ART-1"}}, None, "Unknown course"),
        ({"course": {"subject": "Maths", "grade": 3}}, "course.subject", ""),
    ],
)
def test_what_will_never_pass_is_lost_and_told(
    school: str, platform: PlatformStandIn, options: dict[str, Any], named: str | None, said: str
) -> None:
    """400: a RejectedError with the server's field and words, counted as lost; `end()` raises nothing."""

    async def work(learner: Learner) -> None:
        activity = await learner.work(**options)
        receipt = await activity.end()
        assert (receipt.delivered, receipt.waiting) == (False, 0)
        assert activity.stats.lost == {LossReason.REJECTED: 1}
        assert isinstance(learner.error, RejectedError)
        assert (learner.error.status, learner.error.field, learner.error.retryable) == (400, named, False)
        assert said in str(learner.error)

    learn(school, work)
    assert platform.events == ()


def unknown(platform: PlatformStandIn) -> None:
    platform.users.clear()


def directory_down(platform: PlatformStandIn) -> None:
    platform.directory_down = True


def two_of_them(platform: PlatformStandIn) -> None:
    platform.users.append(replace(STUDENT, id="student-2"))


def events_fail(platform: PlatformStandIn) -> None:
    platform.fail_events(500)


@pytest.mark.parametrize(
    ("fault", "kind", "status"),
    [
        (unknown, UserUnresolvedError, 404),
        (directory_down, UserUnresolvedError, 404),
        (two_of_them, DeliveryError, 409),
        (events_fail, UnavailableError, 502),
    ],
)
def test_what_may_pass_later_is_kept(
    school: str,
    platform: PlatformStandIn,
    fault: Callable[[PlatformStandIn], None],
    kind: type[DeliveryError],
    status: int,
) -> None:
    """404 of a user, 409, 502: one error is told, the window waits, and `flush()` delivers it once all is well."""

    async def work(learner: Learner) -> None:
        activity = await learner.work()
        fault(platform)
        receipt = await activity.end()
        assert (receipt.delivered, receipt.waiting) == (False, 1)
        assert type(learner.error) is kind
        assert isinstance(learner.error, DeliveryError)
        assert (learner.error.status, learner.error.url) == (status, f"{school}/activity/heartbeat")
        platform.reset()
        await learner.timeback.flush()
        assert activity.stats.waiting == 0
        (event,) = platform.events_of(activity.run_id)
        assert event.active_seconds == pytest.approx(receipt.active_ms / 1000)

    learn(school, work)


def test_nobody_is_signed_in(school: str, platform: PlatformStandIn) -> None:
    """401: what waits is kept until somebody signs in."""

    async def work(learner: Learner) -> None:
        activity = await learner.work()
        receipt = await activity.end()
        assert (receipt.waiting, type(learner.error)) == (1, NotSignedInError)

    learn(school, work, auth=None)
    assert platform.events == ()


def test_a_refused_token_is_asked_for_again(school: str, platform: PlatformStandIn) -> None:
    """401 with a token: `get_token` is asked once more, and nothing is told."""
    asked = iter(["out of date", STUDENT.email])

    async def work(learner: Learner) -> None:
        activity = await learner.work()
        assert (await activity.end()).delivered
        assert learner.told == []
        assert len(platform.events_of(activity.run_id)) == 1

    learn(school, work, token=lambda: next(asked))


def test_a_wrong_address(school: str) -> None:
    """404 of the framework: no such route; the error names the URL, and time is kept."""

    async def work(learner: Learner) -> None:
        receipt = await (await learner.work()).end()
        assert (receipt.waiting, type(learner.error)) == (1, WrongAddressError)
        assert f"{school}-old/activity/heartbeat" in str(learner.error)

    learn(f"{school}-old", work)


# --- POST /activity/submit ---


def test_a_completion_is_taken(school: str, platform: PlatformStandIn) -> None:
    """204: time first, then one completion with its metrics."""

    async def work(learner: Learner) -> None:
        activity = await learner.work()
        assert (await activity.end(xp_earned=8, total_questions=5, correct_questions=4)).completed
        time, completion = platform.events_of(activity.run_id)
        assert (time.kind, completion.kind, completion.attempt) == ("time_spent", "completed", 1)
        assert completion.metrics == {"xpEarned": 8, "totalQuestions": 5, "correctQuestions": 4}

    learn(school, work)


def test_an_apps_own_time_is_taken(school: str, platform: PlatformStandIn) -> None:
    """The given time is what the platform has, whatever was tracked."""

    async def work(learner: Learner) -> None:
        activity = await learner.work()
        assert (await activity.end(xp_earned=1, time={"active_ms": 90_000, "inactive_ms": 1_500})).delivered
        (time,) = (event for event in platform.events_of(activity.run_id) if event.kind == "time_spent")
        assert (time.active_seconds, time.inactive_seconds) == (90, 1.5)

    learn(school, work)


def test_a_completion_that_fails_is_raised_and_can_be_tried_again(school: str, platform: PlatformStandIn) -> None:
    """502: raised and told; the second try is the same attempt, and the only one."""

    async def work(learner: Learner) -> None:
        activity = await learner.work()
        await activity.flush()
        activity.pause()
        platform.fail_events(500, times=2)  # the rest of the time, then the completion
        with pytest.raises(UnavailableError):
            await activity.end(xp_earned=8)
        assert [context.during for _, context in learner.told][-1] == "completion"
        platform.reset()
        assert (await activity.end(xp_earned=8)).completed
        (completion,) = (event for event in platform.events_of(activity.run_id) if event.kind == "completed")
        assert completion.attempt == 1

    learn(school, work)


@pytest.mark.parametrize(
    ("options", "fault", "kind"),
    [
        ({"run_id": "assignment-7"}, None, RejectedError),
        ({"course": {"code": "ART-1"}}, None, RejectedError),
        ({}, unknown, UserUnresolvedError),
        ({}, two_of_them, DeliveryError),
    ],
)
def test_a_completion_that_is_refused_is_raised(
    school: str,
    platform: PlatformStandIn,
    options: dict[str, Any],
    fault: Callable[[PlatformStandIn], None] | None,
    kind: type[DeliveryError],
) -> None:
    """400, 404, 409: raised, with the address that was asked."""

    async def work(learner: Learner) -> None:
        if fault is not None:
            fault(platform)
        activity = await learner.work(**options)
        with pytest.raises(DeliveryError) as caught:
            await activity.end(xp_earned=1)
        assert type(caught.value) is kind
        assert caught.value.url == f"{school}/activity/submit"

    learn(school, work)


# --- GET /user/me, GET /user/verify ---


def test_who_is_signed_in(school: str, platform: PlatformStandIn) -> None:
    """200: typed results."""
    assert platform.users == [STUDENT]

    async def work(learner: Learner) -> None:
        profile = await learner.timeback.user.me()
        assert (profile.id, profile.email) == (STUDENT.id, STUDENT.email)
        assert [course.code for course in profile.courses] == ["MATH-3"]
        assert profile.goals is not None
        assert profile.goals.daily_xp == 20
        assert profile.xp is not None
        assert profile.xp.today == 0
        verification = await learner.timeback.user.verify()
        assert (verification.verified, verification.timeback_id) == (True, STUDENT.id)

    learn(school, work)


def test_somebody_who_is_unknown(school: str, platform: PlatformStandIn) -> None:
    """`verify()` answers False; `me()` raises, as there is no profile."""
    unknown(platform)

    async def work(learner: Learner) -> None:
        assert not (await learner.timeback.user.verify()).verified
        with pytest.raises(UserUnresolvedError, match="Timeback user not found"):
            await learner.timeback.user.me()

    learn(school, work)


@pytest.mark.parametrize("ask", ["me", "verify"])
@pytest.mark.parametrize(
    ("fault", "kind", "status"),
    [(directory_down, UnavailableError, 502), (two_of_them, DeliveryError, 409), (None, NotSignedInError, 401)],
)
def test_who_cannot_be_told(  # noqa: PLR0917 - pytest gives them by name
    school: str,
    platform: PlatformStandIn,
    ask: str,
    fault: Callable[[PlatformStandIn], None] | None,
    kind: type[DeliveryError],
    status: int,
) -> None:
    """401, 409, 502: raised."""
    if fault is not None:
        fault(platform)

    async def work(learner: Learner) -> None:
        with pytest.raises(DeliveryError) as caught:
            await getattr(learner.timeback.user, ask)()
        assert (type(caught.value), caught.value.status) == (kind, status)

    signed_in: dict[str, Any] = {} if fault is not None else {"auth": None}
    learn(school, work, **signed_in)


# --- GET /identity/signin, /identity/callback, /identity/signout ---


def identity_provider() -> FastAPI:
    """Signs everybody in as the student, at once."""
    app = FastAPI()

    @app.get("/.well-known/openid-configuration")
    async def configuration(request: Request) -> Response:
        base = str(request.base_url)
        return JSONResponse({f"{name}_endpoint": f"{base}{name}" for name in ("authorization", "token", "userinfo")})

    @app.get("/authorization")
    async def authorization(redirect_uri: str, state: str) -> Response:
        return RedirectResponse(f"{redirect_uri}?code=one&state={state}")

    @app.post("/token")
    async def token() -> Response:
        return JSONResponse({"access_token": "idp", "token_type": "Bearer"})

    @app.get("/userinfo")
    async def userinfo() -> Response:
        return JSONResponse({"sub": "idp-1", "email": STUDENT.email})

    return app


def test_signing_in_leads_back(platform: PlatformStandIn) -> None:
    """The link leads through the school's identity provider, and back to where the learner wanted to be."""

    def back(context: Any) -> Response:
        return RedirectResponse(f"{context.state['returnTo']}#{context.user.id}", status_code=302)

    with ExitStack() as served:
        issuer = served.enter_context(serve(identity_provider()))
        identity = SsoIdentityConfig(
            client_id="app",
            client_secret="secret",  # noqa: S106 - opens nothing
            issuer=issuer,
            get_user=lambda _request: None,
            on_callback_success=back,
            build_state=lambda context: {"returnTo": context.parsed_url.search_params.get("returnTo")},
        )
        timeback = TimebackFastAPI(
            TimebackConfig(env="staging", api=STAND_IN_CREDENTIALS, identity=identity, config_path=str(CONFIG))
        )
        # The server makes these without `get_client`, so that they would look for the user on the real platform.
        timeback.instance.handle.identity = create_identity_handlers(
            env="staging",
            identity=identity,
            api=STAND_IN_CREDENTIALS,
            get_client=lambda: timeback.instance._client_factory._client,  # pyright: ignore[reportPrivateUsage, reportArgumentType, reportUnknownLambdaType]
        )
        app = FastAPI(lifespan=lambda _app: connected(timeback, platform))
        app.include_router(timeback.router, prefix="/api/timeback")
        url = served.enter_context(serve(app))
        client = create_client(base_url=f"{url}/api/timeback")
        with httpx.Client(timeout=20) as browser:
            response = browser.get(client.sign_in_url(return_to="/lessons/1?part=2"))
            for _ in range(2):
                response = browser.send(response.next_request or pytest.fail(f"stuck at {response.url}"))
            assert response.headers["location"] == f"/lessons/1?part=2#{STUDENT.id}"
            out = browser.get(client.sign_out_url())
            assert (out.status_code, out.headers["location"]) == (302, "/")


def test_a_school_with_a_sign_in_of_its_own(school: str) -> None:
    """Where the app itself signs people in, the server has no sign-in page, and says so."""
    client = create_client(base_url=school)
    answer = httpx.get(client.sign_in_url(return_to="/lessons/1"))
    assert (answer.status_code, answer.json()) == (400, {"error": "SSO not configured"})
    assert parse_qs(urlsplit(str(answer.url)).query) == {"returnTo": ["/lessons/1"]}
    assert httpx.get(client.sign_out_url()).status_code == 302
