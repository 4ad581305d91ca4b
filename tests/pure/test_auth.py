"""Who is signed in: cookies by themselves, or a token that is asked for when needed and never shown."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tb_browser import InvalidInputError, bearer
from tb_browser._ports import Answer, NoAnswer, Request, Response
from tb_browser.auth import Ask, Auth, Cookies, check_secrecy
from tb_browser.courier import Courier
from tb_browser.transports.memory import MemoryTransport

REQUEST = Request("POST", "https://school.example/api/timeback/activity/heartbeat", {"x": "1"}, b"{}")
OK, UNAUTHORIZED = Response(204), Response(401)


def asked(auth: Auth, answer: Callable[[Request], Answer]) -> tuple[Answer, list[str | None]]:
    """The answer, and the authorization of every request that it took."""
    transport = MemoryTransport(answer)
    result = asyncio.run(Courier("https://school.example/api/timeback", transport, auth).ask(REQUEST))
    return result, [request.headers.get("authorization") for request in transport.sent]


def tokens(*given: str) -> Callable[[], str]:
    rest = iter(given)
    return lambda: next(rest)


def test_cookies_add_nothing() -> None:
    """With cookies the request goes out as it is, once, whatever is answered."""
    assert list(Cookies().flow(REQUEST)) == [REQUEST]
    assert Cookies().last_known(REQUEST) is REQUEST
    assert asked(Cookies(), lambda _: UNAUTHORIZED) == (UNAUTHORIZED, [None])


def test_the_flow_does_no_io() -> None:
    """A flow only says what it needs: first a token, then a request with it; the shell does the rest."""
    flow = bearer(lambda: pytest.fail("the flow itself must not ask")).flow(REQUEST)
    assert next(flow) is Ask.TOKEN
    request = flow.send("one")
    assert isinstance(request, Request)
    assert request.headers == {"x": "1", "authorization": "Bearer one"}
    assert (request.method, request.url, request.body) == (REQUEST.method, REQUEST.url, REQUEST.body)
    with pytest.raises(StopIteration):
        flow.send(OK)


def test_a_token_is_asked_for_once_and_kept() -> None:
    """The first request asks for a token; later ones use it."""
    auth = bearer(tokens("one"))
    for _ in range(3):
        assert asked(auth, lambda _: OK) == (OK, ["Bearer one"])


def test_a_refused_token_is_replaced_once() -> None:
    """After a 401 a new token is asked for, and the request is sent once more with it."""
    auth = bearer(tokens("stale", "fresh"))
    answer = asked(auth, lambda request: OK if request.headers["authorization"] == "Bearer fresh" else UNAUTHORIZED)
    assert answer == (OK, ["Bearer stale", "Bearer fresh"])
    assert auth.last_known(REQUEST).headers["authorization"] == "Bearer fresh"


def test_a_second_refusal_is_the_answer() -> None:
    """Two refusals are enough: the answer is 401, and nothing is asked a third time."""
    assert asked(bearer(tokens("a", "b")), lambda _: UNAUTHORIZED) == (UNAUTHORIZED, ["Bearer a", "Bearer b"])


@pytest.mark.parametrize("answer", [Response(403), Response(500), NoAnswer("reset")])
def test_only_401_asks_again(answer: Answer) -> None:
    """Another failure says nothing about the token."""
    assert asked(bearer(tokens("one")), lambda _: answer) == (answer, ["Bearer one"])


def test_a_token_may_be_awaited() -> None:
    """`get_token` may be async."""

    async def get_token() -> str:
        await asyncio.sleep(0)
        return "later"

    assert asked(bearer(get_token), lambda _: OK) == (OK, ["Bearer later"])


def test_at_exit_the_last_token_signs() -> None:
    """Where nothing can be awaited, the last token signs; before the first one the request goes without."""
    auth = bearer(tokens("one"))
    assert auth.last_known(REQUEST) is REQUEST
    asked(auth, lambda _: OK)
    assert auth.last_known(REQUEST).headers["authorization"] == "Bearer one"


def test_a_token_that_cannot_be_had_sends_nothing() -> None:
    """If `get_token` raises, nothing has left, the answer says why, and the next request asks again."""

    def get_token() -> str:
        raise LookupError("nobody is signed in")

    answer, sent = asked(bearer(get_token), lambda _: OK)
    assert isinstance(answer, NoAnswer)
    assert not answer.sent
    assert "LookupError: nobody is signed in" in answer.why
    assert sent == []


def test_a_second_token_that_cannot_be_had_leaves_no_doubt() -> None:
    """If the first token was refused and there is no other, the window was not taken."""
    answer, sent = asked(bearer(tokens("stale")), lambda _: UNAUTHORIZED)
    assert sent == ["Bearer stale"]
    assert answer == UNAUTHORIZED or (isinstance(answer, NoAnswer) and not answer.sent)


@pytest.mark.parametrize("token", [None, "", "  ", b"token", 7, "a\nb", "gehe\u00edm"])
def test_what_is_no_token_is_not_sent(token: object) -> None:
    """`get_token` returned nothing, as an app does for somebody who is not signed in: no request carries that."""

    def get_token() -> str | Awaitable[str]:
        return token  # type: ignore[return-value]  # pyright: ignore[reportReturnType]

    answer, sent = asked(bearer(get_token), lambda _: OK)
    assert sent == []
    assert isinstance(answer, NoAnswer)
    assert not answer.sent


def test_a_token_is_never_shown() -> None:
    """Neither the auth nor the request's body shows in a representation."""
    auth = bearer(tokens("secret"))
    asked(auth, lambda _: OK)
    assert "secret" not in repr(auth)
    assert "secret" not in str(auth)


def test_a_signed_request_does_not_show_its_token() -> None:
    """A signed request that ends up in a log or a traceback shows no token."""
    auth = bearer(tokens("secret"))
    asked(auth, lambda _: OK)
    assert "secret" not in repr(auth.last_known(REQUEST))


def test_a_token_does_not_travel_in_the_clear() -> None:
    """Over plain http a token is refused, except within this machine; cookies are the browser's to guard."""
    with pytest.raises(InvalidInputError, match="in the clear"):
        check_secrecy(bearer(tokens()), "http://school.example/api")
    with pytest.raises(InvalidInputError, match="in the clear"):
        check_secrecy(bearer(tokens()), "http://localhost.school.example/api")
    for local in ("https://school.example/api", "http://localhost:1/api", "http://127.0.0.1/", "http://[::1]/"):
        check_secrecy(bearer(tokens()), local)
    check_secrecy(Cookies(), "http://school.example/api")


def test_a_token_read_from_a_file_is_trimmed() -> None:
    """White space around a token is not part of it."""
    assert asked(bearer(lambda: " one\n"), lambda _: OK) == (OK, ["Bearer one"])


def test_what_no_header_carries_is_not_quoted() -> None:
    """A broken token is refused without being shown: errors end up in logs."""
    answer, _ = asked(bearer(lambda: "sec\nret"), lambda _: OK)
    assert isinstance(answer, NoAnswer)
    assert "sec" not in answer.why


def asked_blocking(auth: Auth, answer: Callable[[Request], Answer]) -> tuple[Answer, list[str | None]]:
    """The same as `asked`, without an event loop."""
    transport = MemoryTransport(answer)
    result = Courier("https://school.example/api/timeback", transport, auth).ask_blocking(REQUEST)
    return result, [request.headers.get("authorization") for request in transport.blocking]


def test_blocking_asks_for_tokens_too() -> None:
    """A blocking request follows the same rules, as long as the token need not be waited for."""

    async def at_once() -> str:
        return "two"

    def answer(request: Request) -> Answer:
        return OK if "fresh" in request.headers["authorization"] else UNAUTHORIZED

    assert asked_blocking(bearer(tokens("stale", "fresh")), answer) == (OK, ["Bearer stale", "Bearer fresh"])
    assert asked_blocking(bearer(at_once), lambda _: OK) == (OK, ["Bearer two"])


def test_blocking_does_not_wait_for_a_token() -> None:
    """A token that takes a wait cannot be had: nothing is sent, and the answer says why; the last one known serves."""

    async def slow() -> str:
        await asyncio.sleep(0)
        return "slow"

    auth = bearer(slow)
    answer, sent = asked_blocking(auth, lambda _: OK)
    assert isinstance(answer, NoAnswer)
    assert (answer.sent, sent) == (False, [])
    asked(auth, lambda _: OK)
    assert asked_blocking(auth, lambda _: OK) == (OK, ["Bearer slow"])
