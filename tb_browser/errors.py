"""Every error of tb_browser, and whether trying again can help.

    TimebackError
    ├── InvalidInputError            an argument is wrong: `field`, `problem`, `remedy`   (also a ValueError)
    ├── ActivityInProgressError      start() while another activity runs
    ├── ActivityEndedError           pause(), resume() or flush() after end()
    ├── SameRunElsewhereError        another tab tracks the same run at the same time
    ├── CallbackError                one of your callbacks raised; the cause is chained
    ├── LostError                    windows that will never be delivered: `reason`, `windows`
    └── DeliveryError                a request did not do what it was sent for: `url`, `status` (itself: other 4xx)
        ├── UnreachableError         no answer: offline, refused, reset, timed out, blocked       retryable
        ├── UnavailableError         the server said "later": 408, 425, 429, 5xx                  retryable
        ├── UserUnresolvedError      404 with a USER_… code: unknown user, or platform down        retryable
        ├── NotSignedInError         401, 403: waits until somebody signs in                      retryable
        ├── WrongAddressError        any other 404, or 405: no such route at this `base_url`
        └── RejectedError            400, 422: this request will never pass: `field`, `server_message`

Faults in the delivery of time reach `on_error(error, context)`; they are never raised into the page. What is asked for
by name raises: an `end()` that cannot record its completion (`on_error` is told too), `user.me()`, `user.verify()`.
"""

from enum import StrEnum
from typing import ClassVar


class LossReason(StrEnum):
    """Why a window will never be delivered (delivery.md, Life of a window)."""

    REJECTED = "rejected"
    """The server refused its content."""
    AMBIGUOUS = "ambiguous"
    """It was sent, no answer was seen, and it is too old to be sent again safely: it may have arrived."""
    OVERFLOW = "overflow"
    """Storage was full and nothing was left to be coalesced."""
    EXPIRED = "expired"
    """It waited for longer than `max_age_ms`."""
    CORRUPT = "corrupt"
    """What lay in storage could not be read."""


class TimebackError(Exception):
    """The root of the tree; `retryable` says whether trying again can help."""

    retryable: ClassVar[bool] = False


class InvalidInputError(TimebackError, ValueError):
    """An argument is wrong; nothing was started and nothing was changed."""

    def __init__(self, field: str, problem: str, remedy: str) -> None:
        super().__init__(f"{field}: {problem}. {remedy}")
        self.field = field
        self.problem = problem
        self.remedy = remedy


class ActivityInProgressError(TimebackError):
    """Only one activity runs at a time."""

    def __init__(self, running_id: str, running_run_id: str) -> None:
        super().__init__(
            f"activity {running_id!r} (run {running_run_id}) is still running, and only one runs at a time. "
            "End it first: `await timeback.activity.current.end()`."
        )
        self.running_id = running_id
        self.running_run_id = running_run_id


class ActivityEndedError(TimebackError):
    """The activity has ended; a new session of the same run is started with the same `run_id`."""

    def __init__(self, call: str, activity_id: str, run_id: str) -> None:
        super().__init__(
            f"{call} after end(): activity {activity_id!r} has ended. "
            f"Go on with it in a new session: start(id={activity_id!r}, ..., run_id={run_id!r})."
        )


class SameRunElsewhereError(TimebackError):
    """Another tab of this browser tracks the same run; time counts in whichever can be seen."""

    def __init__(self, activity_id: str, run_id: str) -> None:
        super().__init__(
            f"activity {activity_id!r} (run {run_id}) is open in another tab too. It counts in whichever can be seen, "
            "and in one only if both can. Close one of them."
        )


class CallbackError(TimebackError):
    """A callback given to `start()` raised; tracking goes on. The callback's own error is `__cause__`."""

    def __init__(self, name: str, cause: BaseException) -> None:
        super().__init__(f"the callback {name} raised {type(cause).__name__}: {cause}. Tracking goes on.")
        self.__cause__ = cause


class LostError(TimebackError):
    """Windows that will never be delivered, counted in `stats.lost` under `reason`."""

    def __init__(self, reason: LossReason, windows: int, lost_ms: int, detail: str = "") -> None:
        super().__init__(
            f"{windows} window(s), {lost_ms} ms in all, will not be delivered ({reason.value})"
            + (f": {detail}" if detail else ".")
        )
        self.reason = reason
        self.windows = windows
        self.lost_ms = lost_ms


class DeliveryError(TimebackError):
    """A request did not do what it was sent for."""

    def __init__(self, message: str, *, url: str, status: int | None = None) -> None:
        super().__init__(message)
        self.url = url
        self.status = status


class UnreachableError(DeliveryError):
    """No answer was seen: offline, refused, reset, timed out, or blocked by the browser (CORS, policy)."""

    retryable = True


class UnavailableError(DeliveryError):
    """The server asks for another try later; `retry_after_ms` is what it asked for, if it said so."""

    retryable = True

    def __init__(self, message: str, *, url: str, status: int, retry_after_ms: float | None = None) -> None:
        super().__init__(message, url=url, status=status)
        self.retry_after_ms = retry_after_ms


class UserUnresolvedError(DeliveryError):
    """The server could not find the user: unknown to Timeback, or the platform behind it is down."""

    retryable = True


class NotSignedInError(DeliveryError):
    """Nobody is signed in, or the token is no longer valid. What waits is kept until a request succeeds."""

    retryable = True


class WrongAddressError(DeliveryError):
    """There is no Timeback server at this `base_url`, or it is too old to have the route."""


class RejectedError(DeliveryError):
    """The server refuses this content for good; `field` and `server_message` are the server's own words."""

    def __init__(
        self,
        message: str,
        *,
        url: str,
        status: int,
        field: str | None = None,
        server_message: str | None = None,
    ) -> None:
        super().__init__(message, url=url, status=status)
        self.field = field
        self.server_message = server_message
