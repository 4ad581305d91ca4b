"""The wire of the official Timeback server, byte for byte, as `timeback-sdk` 0.4.0 answers (protocol.md).

Pure: a request and a moment come in, a reply goes out. What the official server gets wrong is here too, because pages
meet it: JSON that is no object is a 502, and so is the 30th of February.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

__all__ = ["API", "MATH_3", "SAM", "CourseConfig", "Reply", "User", "Wire"]

API = "/api/timeback"
REMEMBERED_S = 300
SUBJECTS = ("Math", "Other", "Reading", "Science", "Social Studies", "Writing")
ISO = re.compile(r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})$")
UUID = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$", re.IGNORECASE)


@dataclass(frozen=True)
class CourseConfig:
    """A course that the server has: found by `subject` and `grade`, or by `code`; 503 while it is not `synced`."""

    id: str
    name: str
    subject: str | None = None
    grade: int | None = None
    code: str | None = None
    synced: bool = True


MATH_3 = CourseConfig("course-math-3", "Math G3", subject="Math", grade=3, code="MATH-3")


@dataclass(frozen=True)
class User:
    """Somebody whom Timeback knows. Two users with one e-mail make it ambiguous: 409."""

    id: str
    email: str
    name: str | None = None
    school: tuple[str, str] | None = ("org-1", "Test School")
    """Its id and its name."""
    grade: int | None = 3
    courses: Sequence[CourseConfig] = (MATH_3,)
    goals: Mapping[str, int] = field(default_factory=lambda: {"dailyXp": 20, "dailyLessons": 2})


SAM = User("student-1", "student@example.com", "Sam Student")


@dataclass(frozen=True)
class Reply:
    """What a request is answered."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] | Sequence[tuple[str, str]] = ()
    """As pairs if a name comes more than once, as `set-cookie` may."""


type Json = dict[str, Any]


class _RefusedError(Exception):
    """The request is answered with an error."""

    def __init__(self, status: int, code: str, message: str, details: Json | None = None) -> None:
        super().__init__(message)
        error: Json = {"code": code, "message": message}
        self.reply = _json(status, {"error": error if details is None else error | {"details": details}})


def _json(status: int, value: object, **headers: str) -> Reply:
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    return Reply(status, body, {"content-type": "application/json", **headers})


class Wire:
    """A school: `users` whom the platform knows, `courses` that the server has, and who is signed in.

    `who` tells from a request's headers (names in lower case) whose it is: an e-mail, or None for nobody.
    """

    def __init__(self, users: Sequence[User] = (SAM,), courses: Sequence[CourseConfig] = (MATH_3,)) -> None:
        self.users = list(users)
        self.courses = list(courses)
        self.who: Callable[[Mapping[str, str]], str | None] = lambda _headers: SAM.email
        self.directory_down = False
        """The platform's directory of users is down: 404 for windows, as for an unknown user, and 502 for profiles."""
        self.events_down = False
        """The platform's event service is down: 502, and nothing is taken."""
        self._taken = dict[str, float]()
        self._routes: Mapping[str, tuple[str, Callable[[str | None, bytes, float], Reply]]] = {
            "/activity/heartbeat": ("POST", self._heartbeat),
            "/activity/submit": ("POST", self._submit),
            "/user/me": ("GET", self._me),
            "/user/verify": ("GET", self._verify),
            "/identity/signin": ("GET", self._no_sign_on),
            "/identity/callback": ("GET", self._no_sign_on),
            "/identity/signout": ("GET", self._sign_out),
        }

    def forget_windows(self) -> None:
        """Forget what was taken, as a restart does: it will not be recognised as a duplicate."""
        self._taken.clear()

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes, now_s: float) -> Reply:
        """Answer one request; `now_s` is any clock that never goes back."""
        route = path.partition("?")[0].removeprefix(API)
        if route.endswith("/") and route[:-1] in self._routes:
            return Reply(307, headers={"location": f"http://{headers.get('host', '')}{API}{route[:-1]}"})
        if route not in self._routes:
            return _json(404, {"detail": "Not Found"})
        allowed, handler = self._routes[route]
        if method != allowed:
            return _json(405, {"detail": "Method Not Allowed"}, allow=allowed)
        try:
            return handler(self.who(headers), body, now_s)
        except _RefusedError as refused:
            return refused.reply

    def _heartbeat(self, email: str | None, body: bytes, now_s: float) -> Reply:
        sent, course = self._read(email, body)
        started, ended = _instant(sent, "startedAt"), _instant(sent, "endedAt")
        for name in ("elapsedMs", "pausedMs"):
            if name not in sent:
                raise _invalid(name, "Required")
            _whole_number(sent, name)
        self._taken = {key: at_s for key, at_s in self._taken.items() if now_s - at_s <= REMEMBERED_S}
        key = f"{sent['runId']}:{_official_ms(started)}"
        if key in self._taken:
            return _json(200, {"duplicate": True})
        self._pass_on(email, course, ended)
        self._taken[key] = now_s
        return Reply(204)

    def _submit(self, email: str | None, body: bytes, _now_s: float) -> Reply:
        sent, course = self._read(email, body)
        ended = _instant(sent, "endedAt")
        if not isinstance(sent.get("process"), bool | None):
            raise _invalid("process", "Expected boolean")
        if not _is_number(sent.get("pctComplete", 0)) and sent["pctComplete"] is not None:
            raise _invalid("pctComplete", "Expected number")
        _check_metrics(sent)
        self._pass_on(email, course, ended)
        return Reply(204)

    def _me(self, email: str | None, _body: bytes, _now_s: float) -> Reply:
        found = self._profile_of(email)
        if not found:
            raise _RefusedError(404, "USER_NOT_FOUND", "Timeback user not found")
        user = found[0]
        profile: Json = {"id": user.id, "email": user.email}
        optional: Json = {
            "name": user.name,
            "school": user.school and {"id": user.school[0], "name": user.school[1]},
            "grade": user.grade,
            "courses": [{"id": each.id, "code": each.code or each.id, "name": each.name} for each in user.courses],
            # The platform keeps goals with enrollments.
            "goals": dict(user.goals) if user.courses else None,
        }
        profile |= {name: value for name, value in optional.items() if value or value == 0}
        return _json(200, profile | {"xp": {"today": 0, "all": 0}})

    def _verify(self, email: str | None, _body: bytes, _now_s: float) -> Reply:
        found = self._profile_of(email)
        return _json(200, {"verified": True, "timebackId": found[0].id} if found else {"verified": False})

    def _no_sign_on(self, _email: str | None, _body: bytes, _now_s: float) -> Reply:
        return _json(400, {"error": "SSO not configured"})

    def _sign_out(self, _email: str | None, _body: bytes, _now_s: float) -> Reply:
        return Reply(302, headers={"location": "/"})

    def _read(self, email: str | None, body: bytes) -> tuple[Json, CourseConfig]:
        """Check what heartbeats and completions have in common, in the official server's order."""
        if not email:
            raise _unauthorized()
        try:
            sent = json.loads(body)
        except (ValueError, RecursionError):
            raise _RefusedError(400, "INVALID_PAYLOAD", "Malformed JSON in request body") from None
        if not isinstance(sent, dict):
            raise _failed(f"'{type(sent).__name__}' object has no attribute 'get'")
        sent = cast("Json", sent)
        for name in ("id", "name"):
            if not isinstance(sent.get(name), str) or not sent[name].strip():
                raise _invalid(name, "Required")
        wanted, described = _selector(sent.get("course"))
        run_id = sent.get("runId")
        if run_id is None:
            raise _invalid("runId", "Required")
        if not isinstance(run_id, str) or not UUID.match(run_id):
            raise _invalid("runId", "Expected UUID")
        found = [course for course in self.courses if wanted(course)]
        if not found:
            raise _RefusedError(400, "UNKNOWN_COURSE", f"Unknown course: {described}")
        if len(found) > 1:
            message = "Ambiguous course selector in timeback.config.json"
            raise _RefusedError(500, "AMBIGUOUS_COURSE_SELECTOR", message)
        return sent, found[0]

    def _pass_on(self, email: str | None, course: CourseConfig, ended: str) -> None:
        """Do what the official server does between checking and answering."""
        if not course.synced:
            name = course.code or f"{course.subject} grade {course.grade}"
            message = f'Course "{name}" is missing a course ID for staging. Run `timeback resources push` first.'
            raise _RefusedError(503, "MISSING_SYNCED_COURSE_ID", message)
        found = self._users_of(email)
        if self.directory_down or len(found) != 1:
            status = 409 if len(found) > 1 and not self.directory_down else 404
            raise _RefusedError(status, "USER_RESOLUTION_FAILED", "Unable to resolve Timeback identity")
        if self.events_down:
            raise _failed("[500] Event service fails on request (500)")
        try:
            datetime.fromisoformat(ended)
        except ValueError as error:
            raise _failed(f"[400] Not a Timeback event: {error}") from None

    def _profile_of(self, email: str | None) -> list[User]:
        """The user in a list, or none; whoever asks for a profile is told apart."""
        if not email:
            raise _unauthorized()
        if self.directory_down:
            message = "Failed to lookup Timeback user: [500] Directory down"
            raise _RefusedError(502, "USER_RESOLUTION_FAILED", message)
        found = self._users_of(email)
        if len(found) > 1:
            raise _RefusedError(409, "USER_AMBIGUOUS", "Timeback user resolution ambiguous")
        return found

    def _users_of(self, email: str | None) -> list[User]:
        return [user for user in self.users if user.email == email]


def _unauthorized() -> _RefusedError:
    return _RefusedError(401, "UNAUTHORIZED", "Unauthorized")


def _failed(message: str) -> _RefusedError:
    return _RefusedError(502, "INTERNAL_ERROR", message)


def _invalid(name: str, message: str) -> _RefusedError:
    return _RefusedError(400, "INVALID_PAYLOAD", "Invalid payload", {"field": name, "message": message})


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole_number(values: Json, name: str, prefix: str = "") -> None:
    value = values.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _invalid(prefix + name, "Expected nonnegative integer")


def _instant(sent: Json, name: str) -> str:
    value = sent.get(name)
    if value is None:
        raise _invalid(name, "Required")
    if not isinstance(value, str) or not ISO.match(value):
        raise _invalid(name, "Invalid datetime")
    return value


def _official_ms(started: str) -> int:
    """What the official server makes of a start: it goes by way of a float, and fails on impossible dates."""
    try:
        return int(datetime.fromisoformat(started).timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise _failed(str(error)) from None


def _selector(given: Any) -> tuple[Callable[[CourseConfig], bool], str]:
    """How to find the course that is meant, and how the server calls it."""
    if not given:
        raise _invalid("course", "Required")
    if not isinstance(given, dict):
        raise _invalid("course", "Expected object")
    selector = cast("Json", given)
    if code := selector.get("code"):
        if not isinstance(code, str) or not code.strip():
            raise _invalid("course.code", "Expected non-empty string")
        return lambda course: course.code == code.strip(), f'code "{code.strip()}"'
    subject, grade = selector.get("subject"), selector.get("grade")
    if not subject or not isinstance(subject, str):
        raise _invalid("course.subject", "Required")
    if grade is None:
        message = "Must have either 'code' (grade-less) or 'subject'+'grade' (grade-based)"
        raise _invalid("course", message)
    if not isinstance(grade, int) or isinstance(grade, bool):
        raise _invalid("course.grade", "Expected integer")
    if subject not in SUBJECTS:
        raise _invalid("course.subject", f"Invalid enum value. Expected {' | '.join(map(repr, SUBJECTS))}")
    if not 0 <= grade <= 12:
        raise _invalid("course.grade", "Number must be between 0 and 12")
    return lambda course: (course.subject, course.grade) == (subject, grade), f"{subject} grade {grade}"


def _check_metrics(sent: Json) -> None:
    if "metrics" not in sent:
        raise _invalid("metrics", "Required")
    if not isinstance(sent["metrics"], dict):
        raise _invalid("metrics", "Expected object")
    metrics = cast("Json", sent["metrics"])
    if metrics.get("xpEarned") is None:
        raise _invalid("metrics.xpEarned", "Required")
    if not _is_number(metrics["xpEarned"]):
        raise _invalid("metrics.xpEarned", "Expected number")
    for name in ("totalQuestions", "correctQuestions", "masteredUnits"):
        if metrics.get(name) is not None:
            _whole_number(metrics, name, "metrics.")
    total, correct = metrics.get("totalQuestions"), metrics.get("correctQuestions")
    if (total is None) != (correct is None):
        raise _invalid("metrics", "totalQuestions and correctQuestions must be provided together.")
    if total is not None and correct is not None and correct > total:
        raise _invalid("metrics.correctQuestions", "correctQuestions cannot exceed totalQuestions.")
