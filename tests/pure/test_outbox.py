"""What becomes of windows that wait: judged, joined, bounded; and what every answer of the server means."""

import json
from collections.abc import Mapping

import pytest

from tb_browser._ledger import Window
from tb_browser._outbox import Entry, Fate, backoff_ms, coalesce, judge, overflow, read_answer, retry_after_ms
from tb_browser._ports import NoAnswer, Response
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
from tb_browser.models import ActivityRef, Course, Retry

WALL = 1_748_779_200_000
URL = "https://school.example/api/timeback/activity/heartbeat"
DAY_MS = 86_400_000


def entry(
    start_s: float = 0,
    end_s: float = 15,
    *,
    inactive_s: float = 0,
    run: str = "run-1",
    name: str = "Fractions",
    owner: str = "user:a",
    base_url: str = "https://school.example/api/timeback",
    page: str = "tab-1/page-1",
    sent_s: float | None = None,
    last_sent_s: float | None = None,
) -> Entry:
    """A window in seconds since `WALL`; sent once at `sent_s`, or up to `last_sent_s`."""
    activity = ActivityRef(id="fractions-1", name=name, course=Course(subject="Math", grade=3), run_id=run)
    active_s = end_s - start_s - inactive_s
    window = Window(WALL + int(start_s * 1000), int(active_s * 1000), int(inactive_s * 1000))
    first = None if sent_s is None else WALL + int(sent_s * 1000)
    last = first if last_sent_s is None else WALL + int(last_sent_s * 1000)
    return Entry(activity, window, owner, base_url, page, first, last)


def at(second: float) -> float:
    return WALL + second * 1000


def spans(entries: list[Entry]) -> list[tuple[float, float]]:
    return [((entry.window.started_at_ms - WALL) / 1000, (entry.window.ended_at_ms - WALL) / 1000) for entry in entries]


class TestJudge:
    """judge(): send it, wait, or lose it for a reason (delivery.md, Ambiguity)."""

    def test_never_sent_goes_at_once(self) -> None:
        """A window that has not been sent is sent now."""
        verdict = judge(entry(), at(15), Retry())
        assert (verdict.wait_ms, verdict.loss) == (0, None)

    def test_never_sent_goes_however_old(self) -> None:
        """A window known not to have been sent is sent up to `max_age_ms`, and lost as expired after it."""
        week_s = 7 * DAY_MS / 1000
        assert judge(entry(), at(15 + week_s), Retry()).loss is None
        assert judge(entry(), at(15 + week_s + 0.001), Retry()).loss is LossReason.EXPIRED
        assert judge(entry(), at(16), Retry(max_age_ms=999)).loss is LossReason.EXPIRED

    def test_unanswered_waits_for_the_server_to_settle(self) -> None:
        """An unanswered window is not sent again while the server may still be at work on its last sending."""
        assert judge(entry(sent_s=15), at(15), Retry()).wait_ms == 35_000
        assert judge(entry(sent_s=15), at(49), Retry()).wait_ms == 1_000
        assert judge(entry(sent_s=15), at(50), Retry()).wait_ms == 0
        assert judge(entry(sent_s=15, last_sent_s=60), at(61), Retry()).wait_ms == 34_000
        assert judge(entry(sent_s=15), at(17), Retry(settle_ms=2_000)).wait_ms == 0

    @pytest.mark.parametrize(("ambiguous", "loss"), [("drop", LossReason.AMBIGUOUS), ("resend", None)])
    def test_unanswered_for_240_s_follows_the_policy(self, ambiguous: str, loss: LossReason | None) -> None:
        """Until 240 s after its first sending the server knows a window again; from then on the policy decides."""
        retry = Retry.model_validate({"ambiguous": ambiguous})
        unanswered = entry(sent_s=15, last_sent_s=200)
        assert judge(unanswered, at(254.999), retry).loss is None
        assert judge(unanswered, at(255), retry).loss is loss

    @pytest.mark.parametrize(("ambiguous", "loss"), [("drop", LossReason.AMBIGUOUS), ("resend", None)])
    def test_a_clock_set_back_makes_the_age_unknown(self, ambiguous: str, loss: LossReason | None) -> None:
        """A sending in the future means that the clock was set back: it may be too old, so the policy decides."""
        retry = Retry.model_validate({"ambiguous": ambiguous})
        assert judge(entry(sent_s=15), at(14), retry).loss is loss

    def test_sendings_are_kept_first_and_last(self) -> None:
        """The first sending counts for the server's memory, the last one for its settling."""
        twice = entry().sent(at(15.4)).sent(at(60.9))
        assert (twice.first_sent_ms, twice.last_sent_ms) == (int(at(15.4)), int(at(60.9)))


class TestCoalesce:
    """coalesce(): after an outage few windows go out, and their sums stay (delivery.md, Herds)."""

    def test_contiguous_windows_become_one(self) -> None:
        """First start, last end, summed active and inactive time, whatever order they are found in."""
        (joined,) = coalesce([entry(30, 45, inactive_s=4), entry(0, 15), entry(15, 30, inactive_s=15)])
        assert joined.window == Window(WALL, 26_000, 19_000)
        assert joined.window.ended_at_ms == WALL + 45_000

    def test_a_gap_is_never_closed(self) -> None:
        """Windows with a millisecond between them stay two."""
        assert spans(coalesce([entry(0, 15), entry(15.001, 30)])) == [(0, 15), (15.001, 30)]

    @pytest.mark.parametrize(
        "other",
        [
            entry(15, 30, run="run-2"),
            entry(15, 30, owner="user:b"),
            entry(15, 30, base_url="https://other.example/api/timeback"),
            entry(15, 30, name="Decimals"),
            entry(15, 30, page="tab-2/page-2"),
        ],
        ids=["run", "owner", "server", "activity", "page"],
    )
    def test_only_of_one_kind(self, other: Entry) -> None:
        """Windows of another run, activity, user, server or page are never joined with each other."""
        assert sorted(spans(coalesce([entry(0, 15), other]))) == [(0, 15), (15, 30)]

    @pytest.mark.parametrize("seen", [0, 1, 2])
    def test_never_one_that_may_have_been_seen(self, seen: int) -> None:
        """A window that was sent stays as it is; its neighbours are joined among themselves only."""
        found = [entry(0, 15), entry(15, 30), entry(30, 45)]
        found[seen] = found[seen].sent(at(50))
        joined = coalesce(found)
        assert found[seen] in joined
        assert (
            spans(joined)
            == {
                0: [(0, 15), (15, 45)],
                1: [(0, 15), (15, 30), (30, 45)],
                2: [(0, 30), (30, 45)],
            }[seen]
        )

    def test_leftovers_of_an_interrupted_join_go(self) -> None:
        """What already lies within a joined window was joined before the page died: it is not counted again."""
        assert spans(coalesce([entry(0, 45), entry(15, 30), entry(30, 45)])) == [(0, 45)]

    def test_windows_that_overlap_in_part_stay(self) -> None:
        """Two windows that merely overlap are both kept as they are: nothing may be made up or cut."""
        assert spans(coalesce([entry(0, 15), entry(10, 20)])) == [(0, 15), (10, 20)]


class TestOverflow:
    """overflow(): storage is bounded, and what goes is the oldest (delivery.md, Bounds)."""

    def test_within_bounds_nothing_goes(self) -> None:
        """A thousand windows may wait."""
        assert overflow([entry(100 * n, 100 * n + 15) for n in range(600)]) == []

    def test_the_oldest_go_first(self) -> None:
        """Over the bound of windows, just as many of the oldest go."""
        found = [entry(100 * n, 100 * n + 15) for n in (3, 1, 2, 0, 4)]
        assert spans(overflow(found, max_entries=3)) == [(0, 15), (100, 115)]

    def test_bytes_are_bounded_too(self) -> None:
        """Over the bound of bytes, the oldest go until the rest fits."""
        found = [entry(100 * n, 100 * n + 15) for n in range(5)]
        size = found[0].size
        gone = overflow(found, max_bytes=2 * size + size // 2)
        assert spans(gone) == [(0, 15), (100, 115), (200, 215)]

    def test_the_stated_bounds_hold(self) -> None:
        """1,000 windows, 256 KiB: no more is left over."""
        found = [entry(100 * n, 100 * n + 15) for n in range(1_200)]
        left = found[len(overflow(found)) :]
        assert 0 < len(left) <= 1_000
        assert sum(e.size for e in left) <= 256 * 1024


def response(status: int, body: object = None, headers: Mapping[str, str] | None = None) -> Response:
    raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(status, headers or {}, raw)


def failing(code: str, message: str, /, **details: str) -> dict[str, object]:
    """The official server's error body (protocol.md, Routes)."""
    error: dict[str, object] = {"code": code, "message": message}
    if details:
        error["details"] = details
    return {"error": error}


class TestAnswers:
    """read_answer(): the table of delivery.md with the bodies of protocol.md."""

    @pytest.mark.parametrize("status", [200, 201, 202, 204])
    def test_taken(self, status: int) -> None:
        """2xx without a word means that the window was taken."""
        assert read_answer(response(status), URL) == (Fate.DELIVERED, None)

    def test_duplicate(self) -> None:
        """200 with `{"duplicate":true}` means that the server has it already."""
        assert read_answer(response(200, b'{"duplicate":true}'), URL) == (Fate.DUPLICATE, None)

    @pytest.mark.parametrize("body", [b'{"duplicate":false}', b'{"duplicate":"true"}', b"{}"])
    def test_only_true_is_a_duplicate(self, body: bytes) -> None:
        """Anything but a true `duplicate` is a window newly taken."""
        assert read_answer(response(200, body), URL)[0] is Fate.DELIVERED

    @pytest.mark.parametrize(
        ("status", "body", "field", "message"),
        [
            (400, failing("INVALID_PAYLOAD", "Invalid JSON"), None, "Invalid JSON"),
            (
                400,
                failing("INVALID_PAYLOAD", "Validation failed", field="runId", message="Expected UUID"),
                "runId",
                "Expected UUID",
            ),
            (400, failing("UNKNOWN_COURSE", "Unknown course"), None, "Unknown course"),
            (422, {"detail": "Unprocessable"}, None, "Unprocessable"),
        ],
    )
    def test_rejected(self, status: int, body: object, field: str | None, message: str) -> None:
        """400 and 422: this body will never pass; the error carries the server's field and words."""
        fate, error = read_answer(response(status, body), URL)
        assert fate is Fate.REJECTED
        assert isinstance(error, RejectedError)
        assert (error.field, error.server_message, error.status, error.retryable) == (field, message, status, False)
        assert message in str(error)
        assert (field or "") in str(error)

    @pytest.mark.parametrize("status", [401, 403])
    def test_not_signed_in(self, status: int) -> None:
        """401 and 403: kept until somebody signs in."""
        fate, error = read_answer(response(status, failing("UNAUTHORIZED", "Unauthorized")), URL)
        assert (fate, type(error)) == (Fate.KEEP, NotSignedInError)

    def test_user_unresolved(self) -> None:
        """404 `USER_RESOLUTION_FAILED` may mean that the platform is down: kept, and tried again."""
        body = failing("USER_RESOLUTION_FAILED", "Could not resolve user")
        fate, error = read_answer(response(404, body), URL)
        assert (fate, type(error)) == (Fate.KEEP, UserUnresolvedError)
        assert error is not None
        assert error.retryable

    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (404, {"detail": "Not Found"}),
            (404, b"<html>404</html>"),
            (404, failing("NOT_FOUND", "Not found")),
            (405, {"detail": "Method Not Allowed"}),
        ],
    )
    def test_wrong_address(self, status: int, body: object) -> None:
        """Any other 404 and 405: kept, with an error that names the URL asked and the remedy."""
        fate, error = read_answer(response(status, body), URL)
        assert (fate, type(error)) == (Fate.KEEP, WrongAddressError)
        assert URL in str(error)
        assert "base_url" in str(error)

    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (408, None),
            (425, None),
            (429, {"detail": "Too Many Requests"}),
            (500, b"<html>oops"),
            (502, failing("INTERNAL_ERROR", "Event service failed")),
            (503, failing("MISSING_SYNCED_COURSE_ID", "Course not synced")),
            (599, b"\xff\xfe"),
        ],
    )
    def test_later(self, status: int, body: object) -> None:
        """408, 425, 429 and 5xx: kept, and tried again."""
        fate, error = read_answer(response(status, body), URL)
        assert fate is Fate.KEEP
        assert isinstance(error, UnavailableError)
        assert (error.status, error.url, error.retryable) == (status, URL, True)

    @pytest.mark.parametrize("status", [402, 409, 410, 413, 418, 451])
    def test_another_refusal(self, status: int) -> None:
        """What says nothing for good about the body: kept, and told as a plain DeliveryError."""
        fate, error = read_answer(response(status, b"<html>"), URL)
        assert (fate, type(error)) == (Fate.KEEP, DeliveryError)
        assert URL in str(error)

    def test_no_answer(self) -> None:
        """No answer: it may have been taken, unless it is sure that nothing left this machine."""
        fate, error = read_answer(NoAnswer("connection reset"), URL)
        assert (fate, type(error)) == (Fate.UNKNOWN, UnreachableError)
        assert "connection reset" in str(error)
        assert read_answer(NoAnswer("offline", sent=False), URL)[0] is Fate.KEEP

    @pytest.mark.parametrize("body", [b"", b"[1]", b"null", b"{", b"\xff", b'{"error":1}', b'{"error":{"details":[]}}'])
    @pytest.mark.parametrize("status", [200, 302, 400, 401, 404, 409, 500])
    def test_garbage_in_a_body_is_never_fatal(self, status: int, body: bytes) -> None:
        """Whatever a proxy puts in a body, the status decides."""
        fate, error = read_answer(response(status, body), URL)
        assert (error is None) == (fate in (Fate.DELIVERED, Fate.DUPLICATE))
        assert error is None or isinstance(error, DeliveryError)

    @pytest.mark.parametrize("body", [b"<!doctype html><title>Sign in to the network</title>", b"OK", b'"fine"'])
    def test_garbage_is_no_receipt(self, body: bytes) -> None:
        """A 200 that the official server never gives (a captive portal's page) does not lose the window."""
        assert read_answer(response(200, body), URL)[0] not in (Fate.DELIVERED, Fate.DUPLICATE)


class TestRetryAfter:
    """retry_after_ms(): how long the server asks to be left alone (RFC 9110, 10.2.3)."""

    @pytest.mark.parametrize(
        ("value", "expected_ms"),
        [("0", 0), ("7", 7_000), (" 120 ", 120_000), ("3600", 3_600_000), ("86400", 3_600_000), ("9" * 400, 3_600_000)],
    )
    def test_seconds(self, value: str, expected_ms: float) -> None:
        """Seconds are obeyed, up to an hour."""
        assert retry_after_ms(response(503, headers={"retry-after": value})) == expected_ms

    @pytest.mark.parametrize(
        ("value", "expected_ms"),
        [
            ("Sun, 01 Jun 2025 12:00:30 GMT", 30_000),
            ("Sun, 01 Jun 2025 11:00:00 GMT", 0),
            ("Mon, 02 Jun 2025 12:00:00 GMT", 3_600_000),
        ],
    )
    def test_date(self, value: str, expected_ms: float) -> None:
        """A date counts from the server's own date, so that a wrong clock here changes nothing."""
        headers = {"retry-after": value, "date": "Sun, 01 Jun 2025 12:00:00 GMT"}
        assert retry_after_ms(response(503, headers=headers)) == expected_ms

    @pytest.mark.parametrize("value", ["", "soon", "-5", "1.5", "²", "Mon, 99 Foo 2025", "\x00", "0x10"])
    def test_garbage(self, value: str) -> None:
        """What is no delay says nothing."""
        headers = {"retry-after": value, "date": "Sun, 01 Jun 2025 12:00:00 GMT"}
        assert retry_after_ms(response(503, headers=headers)) is None

    def test_a_date_without_the_servers_date(self) -> None:
        """Without the server's own date (CORS hides it) nothing is known."""
        assert retry_after_ms(response(503, headers={"retry-after": "Sun, 01 Jun 2025 12:00:30 GMT"})) is None

    def test_it_reaches_the_error(self) -> None:
        """`UnavailableError.retry_after_ms` says what was asked for."""
        _, error = read_answer(response(429, headers={"retry-after": "12"}), URL)
        assert isinstance(error, UnavailableError)
        assert error.retry_after_ms == 12_000


class TestBackoff:
    """backoff_ms(): exponential from 1 s to 5 min with full jitter."""

    @pytest.mark.parametrize(
        ("failures", "bound_ms"), [(1, 1_000), (2, 2_000), (5, 16_000), (9, 256_000), (10, 300_000)]
    )
    def test_bounds_double_up_to_five_minutes(self, failures: int, bound_ms: float) -> None:
        """The bound doubles with every failure; the wait is anywhere below it."""
        assert backoff_ms(failures, Retry(), 0.0) == 0
        assert backoff_ms(failures, Retry(), 0.5) == bound_ms / 2
        assert bound_ms * 0.99 < backoff_ms(failures, Retry(), 0.999) < bound_ms

    def test_a_long_outage_does_not_overflow(self) -> None:
        """After a million failures the wait is still below five minutes."""
        assert backoff_ms(1_000_000, Retry(), 0.999) < 300_000

    def test_the_numbers_are_the_users(self) -> None:
        """`Retry.first_ms` and `max_ms` are obeyed."""
        retry = Retry(first_ms=10, max_ms=25)
        assert [backoff_ms(n, retry, 0.5) for n in (1, 2, 3, 99)] == [5, 10, 12.5, 12.5]
