"""`timeback.user`: who is signed in, as the server knows them."""

from tb_browser._outbox import read_answer
from tb_browser._ports import Request
from tb_browser.courier import Courier
from tb_browser.errors import WrongAddressError
from tb_browser.models import Answered, Profile, Verification


class User:
    """The signed-in user. Source: api.md, The client; protocol.md, GET /user/me and /user/verify."""

    def __init__(self, courier: Courier) -> None:
        self._courier = courier

    def __repr__(self) -> str:
        return f"<User at {self._courier.base_url}>"

    async def me(self) -> Profile:
        """The profile: name, school, grade, courses, daily goals, experience points.

        Raises DeliveryError: NotSignedInError, UserUnresolvedError if Timeback does not know the user,
        UnavailableError, UnreachableError, WrongAddressError.
        """
        return await self._ask(self._courier.request("GET", "/user/me"), Profile)

    async def verify(self) -> Verification:
        """Whether the user is known to Timeback; it is no error if not. Raises DeliveryError as `me()` does."""
        return await self._ask(self._courier.verification(), Verification)

    async def _ask[Told: Answered](self, request: Request, kind: type[Told]) -> Told:
        answer = await self._courier.ask(request)
        error = read_answer(answer, request.url)[1]
        if error is not None:
            raise error
        told = kind.read(getattr(answer, "body", b""))
        if told is None:
            message = f"what {request.url} answers is no {kind.__name__}. Check base_url, and the server's version."
            raise WrongAddressError(message, url=request.url, status=200)
        return told
