"""Windows that wait for delivery: what may be sent, what is joined, what is lost, what an answer means. No I/O.

    open → closed → waiting → in flight → delivered | duplicate | lost(reason)

An entry that was sent and not answered may have arrived. The official server knows a window again by its run and
start for 300 s; so it is sent again unchanged until 240 s after its first sending, never while an earlier sending
may still be at work there, and afterwards it is dropped or sent again as `Retry.ambiguous` says (delivery.md).
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any, Final, cast

from tb_browser._ledger import Window
from tb_browser._ports import Answer, NoAnswer, Response
from tb_browser.errors import (
    DeliveryError,
    LossReason,
    NotSignedInError,
    RejectedError,
    UnavailableError,
    UnreachableError,
    UserUnresolvedError,
    WrongAddressError,
)
from tb_browser.models import ActivityRef, Heartbeat, Retry

RESEND_UNTIL_MS: Final = 240_000
"""The server forgets a window after 300 s; a minute is kept for the way."""
MAX_RETRY_AFTER_MS: Final = 3_600_000
MAX_ENTRIES: Final = 1_000
MAX_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """A closed window that waits: whose it is, where it goes, and what is known of its sendings."""

    activity: ActivityRef
    window: Window
    owner: str
    base_url: str
    page: str
    """The page that made it, and delivers it as long as it lives."""
    first_sent_ms: int | None = None
    """Wall time of the first sending that may have arrived; None if it is sure that none has."""
    last_sent_ms: int | None = None
    """Wall time of the last such sending."""
    adopted_by: str | None = None
    """The page that has taken it over, when the one that made it was gone."""

    @property
    def key(self) -> str:
        """What it is known by here. The server knows a window by run and start alone: see Delivery, collisions."""
        return f"{self.activity.run_id}/{self.window.started_at_ms}/{self.page}"

    @property
    def keeper(self) -> str:
        """The page that delivers it."""
        return self.adopted_by or self.page

    @property
    def belongs_to(self) -> tuple[object, ...]:
        """What two entries must have in common to become one."""
        return self.activity, self.owner, self.base_url, self.page, self.adopted_by

    def sent(self, wall_ms: float) -> "Entry":
        """The entry as it is from the moment of a sending on."""
        first = self.first_sent_ms if self.first_sent_ms is not None else int(wall_ms)
        return replace(self, first_sent_ms=first, last_sent_ms=int(wall_ms))

    def body(self) -> bytes:
        """The heartbeat's body: the same bytes at every sending."""
        heartbeat = Heartbeat(
            id=self.activity.id,
            name=self.activity.name,
            course=self.activity.course,
            run_id=self.activity.run_id,
            started_at=self.window.started_at_ms,
            ended_at=self.window.ended_at_ms,
            elapsed_ms=self.window.active_ms,
            paused_ms=self.window.inactive_ms,
        )
        return heartbeat.model_dump_json(exclude_none=True).encode()

    def stored(self) -> dict[str, Any]:
        """The entry as plain values, for storage."""
        return {
            "activity": self.activity.model_dump(exclude_none=True),
            "window": [self.window.started_at_ms, self.window.active_ms, self.window.inactive_ms],
            "owner": self.owner,
            "baseUrl": self.base_url,
            "page": self.page,
            "sent": [self.first_sent_ms, self.last_sent_ms],
            "adoptedBy": self.adopted_by,
        }

    @classmethod
    def from_stored(cls, stored: dict[str, Any]) -> "Entry":
        """Read a stored entry. Raises ValueError, TypeError or KeyError if it is none."""
        first_sent_ms, last_sent_ms = (None if number is None else _whole(number) for number in stored["sent"])
        return cls(
            ActivityRef.model_validate(stored["activity"]),
            Window(*(_whole(number) for number in stored["window"])),
            str(stored["owner"]),
            str(stored["baseUrl"]),
            str(stored["page"]),
            first_sent_ms,
            last_sent_ms,
            adopted_by=None if stored["adoptedBy"] is None else str(stored["adoptedBy"]),
        )

    @property
    def size(self) -> int:
        """What it takes in storage, in characters."""
        return len(to_json(self.stored()))


def to_json(stored: object) -> str:
    """Compact JSON, for storage."""
    return json.dumps(stored, separators=(",", ":"))


def _whole(number: object) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        message = f"{number!r} is not a whole number of milliseconds"
        raise ValueError(message)
    return number


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with an entry now: send it, wait, or lose it for a reason."""

    wait_ms: float = 0.0
    loss: LossReason | None = None


def judge(entry: Entry, wall_ms: float, retry: Retry) -> Verdict:
    """What delivery.md (Ambiguity) says of this entry at this time."""
    if entry.first_sent_ms is None or entry.last_sent_ms is None:
        expired = wall_ms - entry.window.ended_at_ms > retry.max_age_ms
        return Verdict(loss=LossReason.EXPIRED if expired else None)
    # A wall clock that was set back makes a sending lie in the future: then its age is unknown, and taken as too old.
    age_ms = wall_ms - entry.first_sent_ms
    if not 0 <= age_ms < RESEND_UNTIL_MS:
        return Verdict(loss=LossReason.AMBIGUOUS if retry.ambiguous == "drop" else None)
    return Verdict(wait_ms=max(0.0, entry.last_sent_ms + retry.settle_ms - wall_ms))


def coalesce(entries: Iterable[Entry]) -> list[Entry]:
    """Join contiguous windows of one run; never one that may have been seen (delivery.md, Herds).

    An entry that lies within another one of its page and run was joined, its removal was interrupted: it is left out.
    """
    joined = list[Entry]()
    for entry in sorted(
        entries, key=lambda entry: (entry.activity.run_id, entry.page, entry.keeper, entry.window.started_at_ms)
    ):
        last = joined[-1] if joined else None
        if last is None or last.belongs_to != entry.belongs_to:
            joined.append(entry)
        elif entry.window.ended_at_ms <= last.window.ended_at_ms:
            continue
        elif (
            last.window.ended_at_ms == entry.window.started_at_ms
            and last.first_sent_ms is None
            and entry.first_sent_ms is None
        ):
            window = Window(
                last.window.started_at_ms,
                last.window.active_ms + entry.window.active_ms,
                last.window.inactive_ms + entry.window.inactive_ms,
            )
            joined[-1] = replace(last, window=window)
        else:
            joined.append(entry)
    return joined


def overflow(entries: Sequence[Entry], max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES) -> list[Entry]:
    """The oldest entries that must go so that the others fit (delivery.md, Bounds)."""
    oldest_first = sorted(entries, key=lambda entry: entry.window.started_at_ms)
    size = sum(entry.size for entry in entries)
    gone = list[Entry]()
    while oldest_first and (len(oldest_first) > max_entries or size > max_bytes):
        gone.append(oldest_first.pop(0))
        size -= gone[-1].size
    return gone


class Fate(Enum):
    """What an answer means for the entry it answers."""

    DELIVERED = "delivered"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"
    KEEP = "keep"
    """Not taken, as far as the answer tells: it waits."""
    UNKNOWN = "unknown"
    """No answer: it may have been taken."""


def read_answer(answer: Answer, url: str) -> tuple[Fate, DeliveryError | None]:
    """The table of delivery.md (Answers, and what follows)."""
    if isinstance(answer, NoAnswer):
        message = f"no answer from {url}: {answer.why}. Check the network and the server; time is kept until then."
        error = UnreachableError(message, url=url)
        return (Fate.UNKNOWN if answer.sent else Fate.KEEP), error
    status = answer.status
    body = _json(answer)
    if 200 <= status < 300 and not _is_something_else(answer):
        return (Fate.DUPLICATE if body.get("duplicate") is True else Fate.DELIVERED), None
    said = _mapping(body.get("error"))
    words = str(said.get("message") or body.get("detail") or f"status {status}")
    if status in (401, 403):
        return Fate.KEEP, NotSignedInError(f"{url} says {status}: {words}. Sign in.", url=url, status=status)
    if status == 404 and said.get("code") in ("USER_RESOLUTION_FAILED", "USER_NOT_FOUND"):
        message = (
            f"{url} could not find the user: {words}. Either Timeback does not know them, or the platform is down. "
            "Check the e-mail that the server gives; time is kept until then."
        )
        return Fate.KEEP, UserUnresolvedError(message, url=url, status=status)
    if status in (404, 405) or 200 <= status < 300:
        message = f"there is no Timeback server at {url} (status {status}). Check base_url, and the server's version."
        return Fate.KEEP, WrongAddressError(message, url=url, status=status)
    if status in (408, 425, 429) or status >= 500 or status < 400:
        later_ms = retry_after_ms(answer)
        return Fate.KEEP, UnavailableError(
            f"{url} says {status}: {words}. Try again later; time is kept until then.",
            url=url,
            status=status,
            retry_after_ms=later_ms,
        )
    if status not in (400, 422):
        message = f"{url} says {status}: {words}. The server's log tells more; time is kept until then."
        return Fate.KEEP, DeliveryError(message, url=url, status=status)
    details = _mapping(said.get("details"))
    field, reason = details.get("field"), details.get("message")
    where = f" ({field}: {reason})" if field else ""
    message = f"{url} refuses the request ({status}): {words}{where}. Correct it: the same again is refused again."
    return Fate.REJECTED, RejectedError(
        message, url=url, status=status, field=field, server_message=str(reason or words)
    )


def _is_something_else(response: Response) -> bool:
    """Whether this is no receipt but, say, the sign-in page of a network: the server sends nothing, or an object."""
    return bool(response.body.strip()) and not response.body.strip().startswith(b"{")


def _json(response: Response) -> dict[str, Any]:
    try:
        body = json.loads(response.body)
    except ValueError:
        return {}
    return _mapping(body)


def _mapping(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def retry_after_ms(response: Response) -> float | None:
    """How long the server asks to be left alone (RFC 9110, 10.2.3: seconds or a date), at most an hour."""
    value = response.headers.get("retry-after", "").strip()
    if not value:
        return None
    if value.isdecimal():
        asked = float(value) * 1000
    else:
        try:
            asked = parsedate_to_datetime(value).timestamp() * 1000
            said = parsedate_to_datetime(response.headers["date"]).timestamp() * 1000
        except (KeyError, ValueError):
            return None
        asked -= said
    return min(max(asked, 0.0), float(MAX_RETRY_AFTER_MS))


def backoff_ms(failures: int, retry: Retry, random: float) -> float:
    """Exponential backoff with full jitter after so many failures in a row; `random` is in [0, 1)."""
    doublings = min(max(failures - 1, 0), 30)
    return random * float(min(retry.max_ms, retry.first_ms * (1 << doublings)))
