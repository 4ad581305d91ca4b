"""How requests prove who is signed in: by cookie (the default), or by a bearer token.

A flow is a generator, as in httpx: it yields requests to be sent and is given their answers; it yields `ASK_TOKEN`
where it needs a new token and is given that. It does no I/O; the shell drives it.
"""

from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Literal, Protocol, runtime_checkable
from urllib.parse import urlsplit

from tb_browser._ports import Answer, Request, Response
from tb_browser.errors import InvalidInputError


class Ask(Enum):
    """What a flow may ask for besides requests."""

    TOKEN = "token"  # noqa: S105 - a name, not a secret


type Flow = Generator[Request | Literal[Ask.TOKEN], Answer | str, None]


@runtime_checkable
class Auth(Protocol):
    """How requests prove who is signed in: what `bearer()` makes; by cookie, if there is none.

    `ask` is how a new token is come by, where there is any.
    """

    ask: Callable[[], str | Awaitable[str]] | None

    def flow(self, request: Request) -> Flow:
        """The requests it takes to have this one answered."""
        ...

    def last_known(self, request: Request) -> Request:
        """The request signed with what is known now: at exit nothing can be awaited."""
        ...


@dataclass
class Cookies:
    """The browser adds its cookies by itself."""

    ask: Callable[[], str | Awaitable[str]] | None = None

    def flow(self, request: Request) -> Flow:
        """The request as it is."""
        yield request

    def last_known(self, request: Request) -> Request:
        """The request as it is."""
        return request


class Bearer:
    """`Authorization: Bearer …`, asked for when first needed and again once after a 401."""

    def __init__(self, get_token: Callable[[], str | Awaitable[str]]) -> None:
        self.ask: Callable[[], str | Awaitable[str]] | None = get_token
        self._token: str | None = None

    def __repr__(self) -> str:
        return "bearer(<token not shown>)"

    def flow(self, request: Request) -> Flow:
        """The request with the token, and once more with a new one if that is refused."""
        if self._token is None:
            self._token = str((yield Ask.TOKEN))
        answer = yield self.last_known(request)
        if isinstance(answer, Response) and answer.status == 401:
            self._token = str((yield Ask.TOKEN))
            yield self.last_known(request)

    def last_known(self, request: Request) -> Request:
        """The request with the last token, if there was one."""
        if self._token is None:
            return request
        return replace(request, headers={**request.headers, "authorization": f"Bearer {self._token}"})


def bearer(get_token: Callable[[], str | Awaitable[str]]) -> Auth:
    """Sign requests with a token: `get_token()` returns it, or an awaitable of it. It is never stored or shown.

    Raises InvalidInputError if `get_token` cannot be called. Source: api.md, The client.
    """
    if not callable(get_token):
        raise InvalidInputError("get_token", "it cannot be called", "Give a function that returns the token.")
    return Bearer(get_token)


def check_secrecy(auth: Auth, base_url: str) -> None:
    """A token must not travel in the clear, except to this very machine. Raises InvalidInputError."""
    parts = urlsplit(base_url)
    local = parts.hostname in ("localhost", "127.0.0.1", "::1") or (parts.hostname or "").endswith(".localhost")
    if isinstance(auth, Bearer) and parts.scheme != "https" and not local:
        raise InvalidInputError("base_url", f"{base_url!r} would carry the bearer token in the clear", "Use https.")
