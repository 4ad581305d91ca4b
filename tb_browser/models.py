"""What users give and what goes on the wire (pydantic). snake_case in Python, camelCase on the wire.

The source is api.md and protocol.md; milliseconds are whole numbers, as the server takes no others.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel

from tb_browser._arguments import explained
from tb_browser.errors import InvalidInputError, LossReason

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def iso_from_ms(wall_ms: int) -> str:
    """ISO 8601 in UTC with milliseconds, exact: 1000 → `1970-01-01T00:00:01.000Z`."""
    return (_EPOCH + timedelta(milliseconds=wall_ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def utc_from_ms(wall_ms: int) -> datetime:
    """An aware UTC datetime, exact to the millisecond."""
    return _EPOCH + timedelta(milliseconds=wall_ms)


def _not_blank(text: str) -> str:
    if not text.strip():
        message = "it is blank"
        raise ValueError(message)
    if not text.isprintable() and any("\ud800" <= character <= "\udfff" for character in text):
        message = "it has half a character in it (a lone surrogate)"
        raise ValueError(message)
    return text


Text = Annotated[str, AfterValidator(_not_blank), Field(description="Give some text.")]
PositiveMs = Annotated[int, Field(gt=0, description="Give a whole number of milliseconds above 0.")]
# Up to a year, so that a clock's reading (1,700,000,000,000) is not taken for a length of time.
SessionMs = Annotated[
    int, Field(ge=0, le=366 * 24 * 3_600_000, description="Give a session's length in whole milliseconds, 0 or more.")
]
Callback = Annotated[Callable[..., object] | None, Field(description="Give a function, sync or async.")]
Instant = Annotated[int, PlainSerializer(iso_from_ms, return_type=str)]


class Wire(BaseModel):
    """The base of all models: both spellings at the door, one inside; unknown keys are errors."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
    )


class Given(Wire):
    """The base of models that users make by hand: what is wrong raises InvalidInputError there too."""

    if not TYPE_CHECKING:  # checkers know the fields

        def __init__(self, /, **given: Any) -> None:
            try:
                super().__init__(**given)
            except ValidationError as error:
                raise explained(type(self), error) from None

        # As in pydantic's RootModel: validation of mappings goes without this `__init__`.
        __init__.__pydantic_base_init__ = True


class Course(Given):
    """Which course an activity belongs to: `subject` and `grade`, or `code`. One activity keeps one form."""

    subject: Annotated[Text | None, Field(description='Give text such as "Math".')] = None
    grade: Annotated[int | None, Field(ge=0, le=12, description="Give an integer from 0 to 12.")] = None
    code: Annotated[Text | None, Field(description='Give text such as "MATH-3".')] = None

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        by_code = self.code is not None
        by_subject = self.subject is not None and self.grade is not None
        if by_code == by_subject or (by_code and (self.subject is not None or self.grade is not None)):
            message = "it needs exactly one of two forms"
            raise ValueError(message)
        return self


class Retry(Given):
    """How what could not be delivered is tried again (delivery.md, Answers and Ambiguity)."""

    first_ms: PositiveMs = 1_000
    """The upper bound of the first wait; it doubles with every failure. Waits are random below it."""
    max_ms: PositiveMs = 300_000
    """The upper bound of every wait."""
    max_age_ms: PositiveMs = 7 * 24 * 3_600_000
    """A window older than this is lost as `expired`."""
    settle_ms: PositiveMs = 35_000
    """A window that was sent and not answered is not sent again before this: the server may take 30 s to fail."""
    ambiguous: Annotated[
        Literal["drop", "resend"],
        Field(description='Give "drop" (never count twice) or "resend" (never lose).'),
    ] = "drop"
    """What becomes of a window that was sent, never answered, and is too old for the server to know it again."""


class TimeTracking(Given):
    """How time is tracked: the numbers of time.md, in milliseconds."""

    heartbeat_ms: PositiveMs = 15_000
    """How often a window of time closes and is sent."""
    hidden_timeout_ms: PositiveMs = 600_000
    """After being hidden for so long the page counts nothing until the return."""
    idle_timeout_ms: Annotated[
        PositiveMs | None, Field(description="Give a whole number of milliseconds above 0, or None.")
    ] = None
    """After so long without input time is inactive, from the last input on. None: there is no such rule."""
    retry: Annotated[Retry, Field(description="Give Retry(...), or a mapping of its fields.")] = Retry()
    """How what could not be delivered is tried again."""


class ActivityRef(Wire):
    """What is worked on, as every window and the completion name it."""

    id: Annotated[
        str,
        AfterValidator(_not_blank),
        StringConstraints(pattern=r"^[^\s/?#%\\]+$"),
        Field(description='Give a stable, URL-safe slug such as "fractions-1".'),
    ]
    name: Annotated[Text, Field(description="Give the name that a person reads.")]
    course: Annotated[Course, Field(description='Give {"subject": …, "grade": …} or {"code": …}.')]
    run_id: Annotated[Text, Field(description="Give the saved run_id, or leave it out for a new run.")]


class StartOptions(ActivityRef):
    """What `activity.start()` takes besides its callbacks."""

    time: TimeTracking | None
    """None stands for `time=False`."""
    process: Annotated[bool | None, Field(description="Give True or False.")] = None
    since: Annotated[Literal["navigation"] | None, Field(description='Give "navigation" or None.')] = None
    on_error: Callback = None
    on_pause: Callback = None
    on_resume: Callback = None
    on_flush: Callback = None


class ClientOptions(Wire):
    """What `create_client()` takes."""

    base_url: Annotated[
        Text,
        Field(description="Give the URL of the server's routes, such as https://school.example/api/timeback."),
    ]
    credentials: Annotated[
        Literal["include", "same-origin", "omit"],
        Field(description='Give "include", "same-origin" or "omit".'),
    ]
    user_key: Annotated[Text | None, Field(description="Give what tells users apart, or leave it out.")]


class SignInOptions(Wire):
    """What `sign_in_url()` takes."""

    return_to: Annotated[
        Text | None, Field(description='Give a path of your own such as "/lessons/1", or leave it out.')
    ]


class TimeSpent(Given):
    """How long a learner worked, as the app itself has measured it. It replaces the tracked time of the session."""

    active_ms: SessionMs
    inactive_ms: SessionMs = 0


class Metrics(Given):
    """What a learner achieved, for the single-session form of `end()` (protocol.md, POST /activity/submit)."""

    xp_earned: Annotated[int | float, Field(description="Give a number; it may be negative or fractional.")]
    total_questions: Annotated[int | None, Field(ge=0, description="Give a whole number, 0 or more.")] = None
    correct_questions: Annotated[int | None, Field(ge=0, description="Give a whole number, 0 or more.")] = None
    mastered_units: Annotated[int | None, Field(ge=0, description="Give a whole number, 0 or more.")] = None
    pct_complete: Annotated[int | float | None, Field(ge=0, le=100, description="Give a number from 0 to 100.")] = None
    time: Annotated[TimeSpent | None, Field(description='Give {"active_ms": …, "inactive_ms": …}.')] = None
    """What the session's time is to be. What was delivered already counts as part of it: it cannot be less."""

    @model_validator(mode="after")
    def _questions_in_pairs(self) -> Self:
        total, correct = self.total_questions, self.correct_questions
        if (total is None) != (correct is None):
            missing = "total_questions" if total is None else "correct_questions"
            problem = "it is missing: total_questions and correct_questions go together"
            raise InvalidInputError(missing, problem, "Give both, or neither.")
        if (correct or 0) > (total or 0):
            problem = f"more correct_questions than total_questions, got {correct} of {total}"
            raise InvalidInputError("correct_questions", problem, "Give total_questions at most.")
        return self


class Completion(ActivityRef):
    """A completion on the wire. A retry carries the same `ended_at`: a new one would be a new attempt."""

    ended_at: Instant
    metrics: dict[str, int | float]
    pct_complete: int | float | None = None
    process: bool | None = None


class Heartbeat(ActivityRef):
    """One window on the wire (protocol.md, POST /activity/heartbeat)."""

    started_at: Instant
    ended_at: Instant
    elapsed_ms: Annotated[int, Field(ge=0)]
    """Active milliseconds: the wire's name for them. This is the only place where both names meet."""
    paused_ms: Annotated[int, Field(ge=0)]
    """Inactive milliseconds."""


class Answered(Wire):
    """The base of what the server tells; what it tells besides, newer servers perhaps, is left alone."""

    model_config = ConfigDict(extra="ignore")

    @classmethod
    def read(cls, body: bytes) -> Self | None:
        """The server's answer; None if it is something else."""
        try:
            return cls.model_validate_json(body)
        except ValidationError:
            return None


class Verification(Answered):
    """Whether the user is known to Timeback (protocol.md, GET /user/verify)."""

    verified: bool
    timeback_id: str | None = None


class School(Answered):
    """A learner's school."""

    id: str
    name: str


class EnrolledCourse(Answered):
    """A course that a learner is enrolled in."""

    id: str
    code: str
    name: str


class Goals(Answered):
    """What a learner is to reach in a day, as far as it was set."""

    daily_xp: int | float | None = None
    daily_lessons: int | float | None = None
    daily_active_minutes: int | float | None = None
    daily_accuracy: int | float | None = None
    daily_mastered_units: int | float | None = None


class Xp(Answered):
    """The experience points that a learner has earned in this app."""

    today: int | float
    """Since midnight UTC."""
    all: int | float


class Profile(Answered):
    """The signed-in user (protocol.md, GET /user/me). What the server does not know is None, or empty."""

    id: str
    email: str
    name: str | None = None
    school: School | None = None
    grade: int | None = None
    courses: tuple[EnrolledCourse, ...] = ()
    goals: Goals | None = None
    xp: Xp | None = None


class Stats(Wire):
    """What became of windows since an activity started.

    `closed + recovered == delivered + duplicates + joined + sum(lost.values()) + waiting`, as long as nothing
    else of this user waits on this origin.
    """

    closed: int = 0
    """Windows closed in this session."""
    recovered: int = 0
    """Windows that pages before this one left, found and taken over."""
    delivered: int = 0
    """Windows that the server took."""
    duplicates: int = 0
    """Windows that the server said it had already."""
    joined: int = 0
    """Windows that became part of the one before them while they waited."""
    waiting: int = 0
    """Windows that are kept and will be tried again."""
    lost: dict[LossReason, int] = {}
    """Windows that will never be delivered, by reason."""
    last_error: str | None = None
    """What was last told to `on_error`."""


class Receipt(Wire):
    """What `flush()` and `end()` came to."""

    delivered: bool
    """Whether every window of the session has reached the server."""
    run_id: str
    active_ms: int
    """Active time of the whole session, in milliseconds."""
    inactive_ms: int
    """Inactive time of the whole session, in milliseconds."""
    waiting: int
    """Windows that are kept and will be tried again, also by a later visit."""
    completed: bool = False
    """Whether a completion was recorded: only by `end()` with metrics."""
