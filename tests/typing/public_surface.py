"""The public surface as type checkers see it: checked by pyright and mypy, both strict, and never run.

A line with an ignore comment must be refused: where it is not, the unused comment is an error itself.
"""
# pyright: reportUnnecessaryTypeIgnoreComment=true

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Literal, assert_type

from tb_browser import (
    Activities,
    Activity,
    Auth,
    Course,
    DeliveryError,
    EnrolledCourse,
    ErrorContext,
    Goals,
    InvalidInputError,
    LossReason,
    LostError,
    Metrics,
    Profile,
    Receipt,
    RejectedError,
    Retry,
    School,
    Stats,
    Timeback,
    TimebackError,
    TimeSpent,
    TimeTracking,
    UnavailableError,
    User,
    Verification,
    Xp,
    bearer,
    create_client,
)
from tb_browser.javascript import publish


async def get_token() -> str:
    return "token"


def on_error(error: TimebackError, context: ErrorContext) -> None:
    assert_type(error.retryable, bool)
    assert_type(context.run_id, str)
    if isinstance(error, LostError):
        assert_type(error.reason, LossReason)
    if isinstance(error, DeliveryError):
        assert_type((error.url, error.status), tuple[str, int | None])
    if isinstance(error, UnavailableError):
        assert_type(error.retry_after_ms, float | None)
    if isinstance(error, RejectedError):
        assert_type((error.field, error.server_message), tuple[str | None, str | None])
    if isinstance(error, InvalidInputError):
        assert_type((error.field, error.problem, error.remedy), tuple[str, str, str])


async def on_flush(active_ms: int) -> None:
    assert_type(active_ms, int)


def clients() -> None:
    assert_type(create_client(), Timeback)
    assert_type(bearer(get_token), Auth)
    assert_type(bearer(lambda: "token"), Auth)
    client = create_client(
        base_url="https://school.example/api/timeback",
        auth=bearer(get_token),
        credentials="include",
        default_course={"code": "MATH-3"},
        user_key="student",
    )
    assert_type(client.activity, Activities)
    assert_type(client.activity.current, Activity | None)
    assert_type(client.user, User)
    assert_type(client.sign_in_url(), str)
    assert_type(client.sign_in_url(return_to="/lessons/1"), str)
    assert_type(client.sign_out_url(), str)
    assert_type(publish(client, "timeback"), Callable[[], None])
    create_client(credentials="always")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    create_client(url="/api")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    create_client("/api")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    bearer("token")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def starts(timeback: Timeback, course: Mapping[str, object], saved: str | None) -> None:
    activity = timeback.activity.start(
        id="fractions-1",
        name="Fractions",
        course=Course(subject="Math", grade=3),
        run_id=saved,
        time=TimeTracking(heartbeat_ms=15_000, idle_timeout_ms=None, retry=Retry(ambiguous="resend")),
        process=True,
        since="navigation",
        on_error=on_error,
        on_pause=lambda: None,
        on_resume=lambda: None,
        on_flush=on_flush,
    )
    assert_type(activity, Activity)
    timeback.activity.start(id="a", name="A", course=course, time=False)
    timeback.activity.start(id="a", name="A", time={"heartbeat_ms": 15_000})
    timeback.activity.start(id="a")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    timeback.activity.start(id="a", name="A", time=True)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def activities(activity: Activity) -> None:
    assert_type((activity.id, activity.name, activity.run_id), tuple[str, str, str])
    assert_type(activity.course, Course)
    assert_type(activity.started_at, datetime)
    assert_type((activity.is_paused, activity.ended), tuple[bool, bool])
    assert_type((activity.elapsed_ms, activity.total_active_ms, activity.total_inactive_ms), tuple[int, int, int])
    assert_type(activity.stats, Stats)
    assert_type(activity.stats.lost, dict[LossReason, int])
    activity.pause()
    activity.resume()
    activity.run_id = "other"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    assert_type(await activity.flush(), Receipt)
    assert_type(await activity.end(), Receipt)
    assert_type(await activity.end(Metrics(xp_earned=1.5, total_questions=5, correct_questions=4)), Receipt)
    assert_type(await activity.end({"xp_earned": 1}), Receipt)
    assert_type(await activity.end(xp_earned=1, time=TimeSpent(active_ms=1)), Receipt)
    assert_type(activity.end_sync(Metrics(xp_earned=-1)), Receipt)
    Metrics(xp_earned="1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Metrics()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def blocks(timeback: Timeback) -> None:
    async with timeback as same:
        assert_type(same, Timeback)
        await same.flush()
        await same.aclose()
    async with timeback.activity.start(id="a", name="A") as activity:
        assert_type(activity, Activity)
    with timeback.activity.start(id="a", name="A") as activity:
        assert_type(activity, Activity)


async def users(timeback: Timeback) -> None:
    profile = await timeback.user.me()
    assert_type(profile, Profile)
    assert_type((profile.id, profile.email, profile.name, profile.grade), tuple[str, str, str | None, int | None])
    assert_type((profile.school, profile.goals, profile.xp), tuple[School | None, Goals | None, Xp | None])
    assert_type(profile.courses, tuple[EnrolledCourse, ...])
    verification = await timeback.user.verify()
    assert_type(verification, Verification)
    assert_type((verification.verified, verification.timeback_id), tuple[bool, str | None])


def receipts(receipt: Receipt) -> None:
    assert_type((receipt.delivered, receipt.completed), tuple[bool, bool])
    assert_type((receipt.active_ms, receipt.inactive_ms, receipt.waiting), tuple[int, int, int])


policy: Literal["drop", "resend"] = Retry().ambiguous
