"""Bad input is refused at the door: the message names the field and what would be right, and nothing has started."""

from collections.abc import Iterator
from typing import Any

import pytest

from tb_browser import (
    Activity,
    ActivityInProgressError,
    Course,
    InvalidInputError,
    Retry,
    Timeback,
    TimeTracking,
    bearer,
    create_client,
)
from tb_browser.hosts.manual import ManualHost
from tb_browser.hosts.plain import PlainHost
from tb_browser.transports.memory import MemoryTransport

GOOD: dict[str, Any] = {"id": "fractions-1", "name": "Fractions", "course": {"subject": "Math", "grade": 3}}


class FromJavaScript:
    """Stands for a `JsProxy`: it converts itself."""

    def __init__(self, value: object) -> None:
        self._value = value

    def to_py(self) -> object:
        return self._value


class JsNull:
    """Stands for JavaScript's `null`, which is not None in Pyodide."""


class Quiet:
    """A world in which nothing may happen."""

    def __init__(self) -> None:
        self.host = ManualHost()
        self.transport = MemoryTransport()

    def client(self, **options: Any) -> Timeback:
        return create_client(**{"host": self.host, "transport": self.transport, "user_key": "student", **options})

    def start(self, **options: Any) -> Activity:
        return self.client().activity.start(**options)

    def is_quiet(self) -> bool:
        self.host.settle()
        self.host.advance(60_000)
        asked = [*self.transport.sent, *self.transport.on_exit, *self.transport.guards]
        begun = [self.host._timers, self.host._tellers, self.host._online_calls, self.host._work]
        return not asked and not any(begun) and not list(self.host.storage.keys())


@pytest.fixture
def quiet() -> Iterator[Quiet]:
    world = Quiet()
    yield world
    assert world.is_quiet()


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in GOOD.items() if name not in names}


WRONG_STARTS = {
    "id missing": (without("id"), "id", "slug"),
    "id blank": ({"id": "  "}, "id", "slug"),
    "id empty": ({"id": ""}, "id", "slug"),
    "id number": ({"id": 7}, "id", "slug"),
    "id None": ({"id": None}, "id", "slug"),
    "id unsafe": ({"id": "a/b?c"}, "id", "slug"),
    "id with space": ({"id": "fractions 1"}, "id", "slug"),
    "name missing": (without("name"), "name", "name that a person reads"),
    "name blank": ({"name": "\t"}, "name", "name that a person reads"),
    "name number": ({"name": 3.5}, "name", "name that a person reads"),
    "course missing": (without("course"), "course", "subject"),
    "course text": ({"course": "MATH-3"}, "course", "subject"),
    "course list": ({"course": ["Math", 3]}, "course", "subject"),
    "course empty": ({"course": {}}, "course", "subject"),
    "course subject only": ({"course": {"subject": "Math"}}, "course", "grade"),
    "course grade only": ({"course": {"grade": 3}}, "course", "subject"),
    "course both forms": ({"course": {"subject": "Math", "grade": 3, "code": "MATH-3"}}, "course", "code"),
    "course code and grade": ({"course": {"grade": 3, "code": "MATH-3"}}, "course", "code"),
    "course blank subject": ({"course": {"subject": " ", "grade": 3}}, "course.subject", "Math"),
    "course blank code": ({"course": {"code": ""}}, "course.code", "MATH-3"),
    "course grade 13": ({"course": {"subject": "Math", "grade": 13}}, "course.grade", "0 to 12"),
    "course grade -1": ({"course": {"subject": "Math", "grade": -1}}, "course.grade", "0 to 12"),
    "course grade text": ({"course": {"subject": "Math", "grade": "3"}}, "course.grade", "0 to 12"),
    "course grade float": ({"course": {"subject": "Math", "grade": 3.5}}, "course.grade", "0 to 12"),
    "course grade bool": ({"course": {"subject": "Math", "grade": True}}, "course.grade", "0 to 12"),
    "course unknown key": ({"course": {"subjects": "Math", "grade": 3}}, "course.subjects", "'subject'"),
    "run_id blank": ({"run_id": ""}, "run_id", "run_id"),
    "run_id number": ({"run_id": 5}, "run_id", "run_id"),
    "runId blank": ({"runId": " "}, "run_id", "run_id"),
    "time text": ({"time": "fast"}, "time", "TimeTracking"),
    "time True": ({"time": True}, "time", "False"),
    "time zero": ({"time": 0}, "time", "False"),
    "time unknown key": ({"time": {"heartbeat": 15_000}}, "time.heartbeat", "'heartbeat_ms'"),
    "heartbeat fraction": ({"time": {"heartbeat_ms": 1500.5}}, "time.heartbeat_ms", "whole number"),
    "heartbeat float": ({"time": {"heartbeatMs": 15_000.0}}, "time.heartbeat_ms", "whole number"),
    "heartbeat negative": ({"time": {"heartbeat_ms": -1}}, "time.heartbeat_ms", "above 0"),
    "heartbeat zero": ({"time": {"heartbeat_ms": 0}}, "time.heartbeat_ms", "above 0"),
    "heartbeat text": ({"time": {"heartbeat_ms": "15000"}}, "time.heartbeat_ms", "whole number"),
    "heartbeat NaN": ({"time": {"heartbeat_ms": float("nan")}}, "time.heartbeat_ms", "whole number"),
    "hidden negative": ({"time": {"hidden_timeout_ms": -5}}, "time.hidden_timeout_ms", "above 0"),
    "idle negative": ({"time": {"idle_timeout_ms": -5}}, "time.idle_timeout_ms", "above 0"),
    "idle fraction": ({"time": {"idleTimeoutMs": 0.5}}, "time.idle_timeout_ms", "whole number"),
    "retry unknown key": ({"time": {"retry": {"max_age": 1}}}, "time.retry.max_age", "'max_age_ms'"),
    "retry negative": ({"time": {"retry": {"firstMs": -1}}}, "time.retry.first_ms", "above 0"),
    "retry policy": ({"time": {"retry": {"ambiguous": "maybe"}}}, "time.retry.ambiguous", '"drop"'),
    "process text": ({"process": "yes"}, "process", "True or False"),
    "process number": ({"process": 1}, "process", "True or False"),
    "since": ({"since": "yesterday"}, "since", "navigation"),
    "on_error": ({"on_error": "print"}, "on_error", "function"),
    "on_pause": ({"on_pause": 1}, "on_pause", "function"),
    "onResume": ({"onResume": []}, "on_resume", "function"),
    "on_flush": ({"on_flush": object()}, "on_flush", "function"),
    "unknown": ({"runid": "x"}, "runid", "'run_id'"),
    "unknown camel": ({"onErrors": print}, "onErrors", "'on_error'"),
    "unknown, nothing near": ({"zzz": 1}, "zzz", "Known: id, name"),
}


@pytest.mark.parametrize(("given", "field", "remedy"), WRONG_STARTS.values(), ids=WRONG_STARTS)
def test_a_wrong_start_names_field_and_remedy(
    quiet: Quiet, given: dict[str, Any], field: str, remedy: str, request: pytest.FixtureRequest
) -> None:
    """`start()` raises InvalidInputError that names the field and what would be right; nothing has started."""
    missing = "missing" in request.node.callspec.id
    client = quiet.client()
    with pytest.raises(InvalidInputError) as caught:
        client.activity.start(**(given if missing else {**GOOD, **given}))
    assert caught.value.field == field
    assert str(caught.value).startswith(f"{field}: ")
    assert remedy in str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert client.activity.current is None


WRONG_CLIENTS = {
    "base_url blank": ({"base_url": " "}, "base_url", "https://school.example/api/timeback"),
    "base_url number": ({"base_url": 7}, "base_url", "https://school.example/api/timeback"),
    "base_url None": ({"base_url": None}, "base_url", "https://school.example/api/timeback"),
    "baseUrl without host": ({"baseUrl": "https:///api"}, "base_url", "https://school.example/api/timeback"),
    "base_url ftp": ({"base_url": "ftp://school.example/"}, "base_url", "https://school.example/api/timeback"),
    "credentials": ({"credentials": "yes"}, "credentials", '"include"'),
    "user_key blank": ({"user_key": ""}, "user_key", "leave it out"),
    "userKey number": ({"userKey": 12}, "user_key", "leave it out"),
    "default_course": ({"default_course": {"subject": "Math"}}, "default_course", "grade"),
    "default_course text": ({"default_course": "MATH-3"}, "default_course", "code"),
    "default_course grade": (
        {"defaultCourse": {"subject": "Math", "grade": 13}},
        "default_course.grade",
        "0 to 12",
    ),
    "unknown": ({"url": "https://school.example"}, "url", "'base_url'"),
    "unknown camel": ({"baseURI": "https://school.example"}, "baseURI", "base_url"),
    "token in the clear": (
        {"base_url": "http://school.example/api/timeback", "auth": bearer(lambda: "t")},
        "base_url",
        "https",
    ),
}


@pytest.mark.parametrize(("given", "field", "remedy"), WRONG_CLIENTS.values(), ids=WRONG_CLIENTS)
def test_a_wrong_client_names_field_and_remedy(quiet: Quiet, given: dict[str, Any], field: str, remedy: str) -> None:
    """`create_client()` raises InvalidInputError that names the field and what would be right."""
    if "userKey" in given:
        create = create_client
        given = {"host": quiet.host, "transport": quiet.transport, **given}
    else:
        create = quiet.client
    with pytest.raises(InvalidInputError) as caught:
        create(**given)
    assert caught.value.field == field
    assert remedy in str(caught.value)


@pytest.mark.parametrize("auth", ["secret-token", {"token": "secret-token"}, lambda: "secret-token"])
def test_a_wrong_auth_is_refused_and_not_shown(quiet: Quiet, auth: object) -> None:
    """What is no auth (a token, a function) is refused with the remedy, and the message does not show it."""
    with pytest.raises(InvalidInputError, match=r"auth: .*bearer\(") as caught:
        quiet.client(auth=auth)
    assert "secret-token" not in str(caught.value)


@pytest.mark.parametrize("get_token", [None, "secret-token", 7])
def test_a_token_is_no_function_that_gives_one(get_token: Any) -> None:
    """`bearer("token")` is refused: a token expires, a function can get a new one."""
    with pytest.raises(InvalidInputError, match=r"get_token: .*function") as caught:
        bearer(get_token)
    assert "secret-token" not in str(caught.value)


@pytest.mark.parametrize("base_url", ["/api/timeback", "api", "//school.example/api", "school.example/api"])
def test_without_a_page_the_url_must_be_whole(base_url: str) -> None:
    """In plain Python a relative `base_url` is refused: there is no page to complete it."""
    with pytest.raises(InvalidInputError, match=r"base_url: .*Give it in full, such as https://"):
        create_client(base_url=base_url, host=PlainHost(), transport=MemoryTransport())


def test_the_first_client_of_a_plain_process_says_what_it_needs() -> None:
    """`create_client()` without anything, outside a page, names the argument that is needed."""
    with pytest.raises(InvalidInputError, match="base_url"):
        create_client()


@pytest.mark.parametrize(
    "base_url", ["http://localhost:8000/api", "http://127.0.0.1/api", "http://[::1]:1/api", "http://a.localhost/api"]
)
def test_a_token_may_travel_within_this_machine(quiet: Quiet, base_url: str) -> None:
    """On this very machine a bearer token needs no TLS."""
    quiet.client(base_url=base_url, auth=bearer(lambda: "t"))


def test_camel_case_is_taken_everywhere() -> None:
    """What JavaScript spells in camelCase is taken under both spellings, at every depth."""
    world = Quiet()
    given: dict[str, Any] = {
        "baseUrl": "https://school.example/api/timeback/",
        "userKey": "x",
        "defaultCourse": {"code": "MATH-3"},
    }
    client = create_client(**given, host=world.host, transport=world.transport)
    heard = list[float]()
    time = {"heartbeatMs": 2_000, "hiddenTimeoutMs": 9_000, "retry": {"maxAgeMs": 5_000_000}}
    camel: dict[str, Any] = {"runId": "saved", "time": time, "onFlush": heard.append}
    activity = client.activity.start(id="fractions-1", name="Fractions", **camel)
    world.host.advance(4_000)
    assert (activity.run_id, activity.course) == ("saved", Course(code="MATH-3"))
    assert heard[1:] == [2_000]
    assert world.transport.sent[0].url == "https://school.example/api/timeback/activity/heartbeat"


def test_an_object_from_javascript_is_a_mapping() -> None:
    """What converts itself with `to_py()` is taken wherever a mapping is."""
    world = Quiet()
    time: Any = FromJavaScript({"heartbeatMs": 1_000, "retry": {"ambiguous": "resend"}})
    client = world.client(default_course=FromJavaScript({"code": "MATH-3"}))
    activity = client.activity.start(id="a", name="A", time=time)
    assert activity.course == Course(code="MATH-3")
    world.host.advance(1_000)
    assert len(world.transport.sent) == 1
    world.host.run(activity.end())
    again = world.start(id="a", name="A", course=FromJavaScript({"subject": "Math", "grade": 3}), time=False)
    assert again.course == Course(subject="Math", grade=3)


def test_an_object_from_javascript_that_is_no_mapping(quiet: Quiet) -> None:
    """An array from JavaScript is no mapping."""
    with pytest.raises(InvalidInputError, match=r"course: .*no mapping"):
        quiet.start(**{**GOOD, "course": FromJavaScript([1, 2])})


def test_models_are_taken_as_they_are() -> None:
    """`Course`, `TimeTracking` and `Retry` serve as well as mappings."""
    world = Quiet()
    course, time = Course(subject="Math", grade=0), TimeTracking(heartbeat_ms=500, retry=Retry(ambiguous="resend"))
    activity = world.start(id="a", name="A", course=course, time=time)
    world.host.advance(500)
    assert activity.course == course
    assert len(world.transport.sent) == 1


@pytest.mark.parametrize("run_id", ["any text", "urn:x", "7b2b1f2e-9df8-4c40-8f55-9f0d3c5d2f11", "ß"])
def test_any_run_id_that_is_not_blank_will_do(run_id: str) -> None:
    """`run_id` is taken as it was saved."""
    assert Quiet().start(**GOOD, run_id=run_id, time=False).run_id == run_id


def test_without_a_run_id_a_new_run_begins() -> None:
    """Two starts without `run_id` are two runs."""
    world = Quiet()
    client = world.client()
    first = client.activity.start(**GOOD, time=False)
    world.host.run(first.end())
    second = client.activity.start(**GOOD, time=False)
    assert first.run_id != second.run_id


def test_a_wrong_argument_is_told_before_the_running_activity(quiet: Quiet) -> None:
    """While one activity runs, a second start is refused and changes nothing about the first."""
    client = quiet.client()
    running = client.activity.start(**GOOD, time=False)
    with pytest.raises(ActivityInProgressError):
        client.activity.start(**GOOD, time=False)
    assert client.activity.current is running


@pytest.mark.parametrize("field", ["name", "run_id"])
def test_half_a_character_is_refused(field: str) -> None:
    """JavaScript can cut a character in two; text that cannot be sent is refused at the door."""
    world = Quiet()
    with pytest.raises(InvalidInputError, match=f"{field}: "):
        world.start(**{**GOOD, field: "\ud83d"}, time=False)


def test_both_spellings_at_once_are_refused(quiet: Quiet) -> None:
    """One argument given in both spellings is a mistake, and which one was meant cannot be known."""
    with pytest.raises(InvalidInputError, match="run_id"):
        quiet.start(**GOOD, run_id="a", runId="b")


def test_null_from_javascript_is_none() -> None:
    """JSON without a saved run gives `null`: a fresh run begins, as with None; also deep inside an object."""
    null: Any = JsNull()
    course = FromJavaScript({"subject": "Math", "grade": 3, "code": null})
    time = FromJavaScript({"idleTimeoutMs": null, "retry": {"ambiguous": "resend"}})
    activity = Quiet().start(id="a", name="A", course=course, time=time, runId=null, process=null)
    assert activity.course == Course(subject="Math", grade=3)
    assert len(activity.run_id) == 36
