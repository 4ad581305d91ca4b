"""The client: the one object a page makes. Only here are the edges chosen."""

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlencode, urlsplit

from tb_browser._arguments import as_mapping, keywords, validated
from tb_browser._ports import Host, Transport
from tb_browser.activity import Activity
from tb_browser.auth import Auth, Cookies, check_secrecy
from tb_browser.courier import Courier
from tb_browser.delivery import Delivery
from tb_browser.errors import ActivityInProgressError, InvalidInputError
from tb_browser.hosts import choose_host
from tb_browser.models import ClientOptions, Course, SignInOptions, StartOptions, TimeTracking
from tb_browser.transports import choose_transport
from tb_browser.user import User

_COURSE_REMEDY = 'Give {"subject": …, "grade": …} or {"code": …}, or give the client a default_course.'
_TIME_REMEDY = "Give TimeTracking(...), a mapping of its fields, or False for no time tracking."

type CourseInput = Course | Mapping[str, Any]
type TimeInput = TimeTracking | Mapping[str, Any] | Literal[False]
type Handler = Callable[..., object]


class Activities:
    """`timeback.activity`: starts activities, one at a time."""

    def __init__(self, host: Host, delivery: Delivery, default_course: Course | None) -> None:
        self._host = host
        self._delivery = delivery
        self._default_course = default_course
        self._current: Activity | None = None

    def __repr__(self) -> str:
        return f"<Activities, running: {self.current!r}>"

    @property
    def current(self) -> Activity | None:
        """The running activity, or None."""
        return self._current if self._current is not None and not self._current.ended else None

    @keywords(StartOptions)
    def start(
        self,
        *,
        id: str,  # noqa: A002 - the field's name everywhere else
        name: str,
        course: CourseInput | None = None,
        run_id: str | None = None,
        time: TimeInput | None = None,
        process: bool | None = None,
        since: Literal["navigation"] | None = None,
        on_error: Handler | None = None,
        on_pause: Handler | None = None,
        on_resume: Handler | None = None,
        on_flush: Handler | None = None,
    ) -> Activity:
        """Start tracking, at once.

        `id` is the stable slug of the learning object, `name` what a person reads. `course` is `{subject, grade}` or
        `{code}`; it may be left out if the client has a `default_course`. `run_id` resumes a run; left out, a new one
        begins (a UUID4). `time` holds the numbers of `TimeTracking`, or False: no heartbeat, no listener, no time
        sent. `process` is passed on with a completion. `since="navigation"` counts from when the page could first be
        seen, which is before Python had started (time.md; needs a browser that kept the page's visibility).

        `on_error(error, context)`, `on_pause()`, `on_resume()`, `on_flush(active_ms)` may be sync or async.

        Raises InvalidInputError, ActivityInProgressError. Source: api.md, activity.start.
        """
        if self.current is not None:
            raise ActivityInProgressError(self.current.id, self.current.run_id)
        options = validated(
            StartOptions,
            {
                "id": id,
                "name": name,
                "course": self._course(course),
                "run_id": self._host.new_run_id() if run_id is None else run_id,
                "time": _time(time),
                "process": process,
                "since": since,
                "on_error": on_error,
                "on_pause": on_pause,
                "on_resume": on_resume,
                "on_flush": on_flush,
            },
        )
        not_before_ms = self._current.counted_until_ms if self._current is not None else float("-inf")
        self._current = Activity(options, self._host, self._delivery, not_before_ms)
        return self._current

    def _course(self, given: CourseInput | None) -> Course:
        if given is None and self._default_course is None:
            raise InvalidInputError("course", "it is missing", _COURSE_REMEDY)
        return _course("course", given if given is not None else self._default_course)


def _course(field: str, given: object) -> Course:
    if isinstance(given, Course):
        return given
    return validated(Course, as_mapping(field, given, _COURSE_REMEDY), prefix=field, remedy=_COURSE_REMEDY)


def _time(given: object) -> TimeTracking | None:
    if given is False:
        return None
    if given is None:
        return TimeTracking()
    return (
        given
        if isinstance(given, TimeTracking)
        else validated(TimeTracking, as_mapping("time", given, _TIME_REMEDY), prefix="time")
    )


class Timeback:
    """A client of one Timeback server. Made by `create_client()`.

    `timeback.activity` starts activities (`Activities`), `timeback.user` tells who is signed in (`User`).
    """

    def __init__(self, host: Host, courier: Courier, user_key: str | None, default_course: Course | None) -> None:
        self._courier = courier
        self._delivery = Delivery(host, courier, user_key)
        self.activity = Activities(host, self._delivery, default_course)
        self.user = User(courier)

    def __repr__(self) -> str:
        return f"<Timeback at {self._courier.base_url}, running: {self.activity.current!r}>"

    @keywords(SignInOptions)
    def sign_in_url(self, *, return_to: str | None = None) -> str:
        """Where a page sends somebody to sign in.

        `return_to` is where they want to be afterwards; the server gets it as `returnTo`, and its `build_state` and
        `on_callback_success` decide what becomes of it. Raises InvalidInputError if it is blank.
        """
        given = validated(SignInOptions, {"return_to": return_to}).return_to
        query = f"?{urlencode({'returnTo': given})}" if given is not None else ""
        return f"{self._courier.base_url}/identity/signin{query}"

    def sign_out_url(self) -> str:
        """Where a page sends somebody to sign out. What waits is kept for them, and sent by nobody else."""
        return f"{self._courier.base_url}/identity/signout"

    async def flush(self) -> None:
        """Try to deliver everything that waits, of this page and of earlier ones, of the same user."""
        await self._delivery.flush()

    async def aclose(self) -> None:
        """End what runs, and remove every listener and timer."""
        if self.activity.current is not None:
            await self.activity.current.end()
        self._delivery.close()
        await self._courier.transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


def _auth(given: object) -> Auth:
    if given is None:
        return Cookies()
    if not isinstance(given, Auth):
        raise InvalidInputError("auth", f"{type(given).__name__} is no way to sign in", "Give bearer(get_token).")
    return given


def _absolute(host: Host, base_url: str) -> str:
    absolute = host.absolute(base_url)
    parts = urlsplit(absolute or "")
    if parts.scheme in ("http", "https") and parts.netloc:
        return absolute.rstrip("/")
    problem = f"{base_url!r} is not an http(s) URL in full, and there is no page to complete it"
    raise InvalidInputError("base_url", problem, "Give it in full, such as https://school.example/api/timeback.")


@keywords(ClientOptions)
def create_client(
    *,
    base_url: str = "/api/timeback",
    auth: Auth | None = None,
    credentials: Literal["include", "same-origin", "omit"] = "same-origin",
    default_course: CourseInput | None = None,
    user_key: str | None = None,
    host: Host | None = None,
    transport: Transport | None = None,
) -> Timeback:
    """Make a client; nothing is sent or watched before an activity starts.

    `base_url` is where the server's routes are; on a page it may be relative to the page. `auth` signs requests: left
    out, the browser's cookies do; `bearer(get_token)` sends a token. `credentials` is fetch's mode. `default_course`
    serves activities that name none. `user_key` tells users of one browser apart (it is stored as a digest only);
    left out, the server is asked who is signed in. `host` and `transport` replace the surroundings, for tests.

    Raises InvalidInputError. Source: api.md, The client.
    """
    options = validated(ClientOptions, {"base_url": base_url, "credentials": credentials, "user_key": user_key})
    host = host or choose_host()
    absolute = _absolute(host, options.base_url)
    auth = _auth(auth)
    check_secrecy(auth, absolute)
    course = None if default_course is None else _course("default_course", default_course)
    courier = Courier(absolute, transport or choose_transport(options.credentials, host), auth)
    return Timeback(host, courier, options.user_key, course)
