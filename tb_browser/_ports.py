"""The seams: what the logic and the shell need of the world, and the plain values that cross.

Each protocol has one implementation a world: `hosts/`, `transports/`, and the memory ones for tests.
"""

from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

type Stop = Callable[[], None]
"""Undoes what was started; calling it twice is harmless."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One instant on two clocks: durations come from `mono_ms`, dates from `wall_ms` (time.md, rule 7)."""

    mono_ms: float
    """Milliseconds on a clock that is never set, from an arbitrary zero."""
    wall_ms: float
    """Milliseconds since 1970-01-01 UTC, on a clock that people and networks set."""

    def back_to(self, mono_ms: float) -> "Moment":
        """The moment at which the monotonic clock showed `mono_ms`, if no clock was set since."""
        return Moment(mono_ms, self.wall_ms - (self.mono_ms - mono_ms))


class Signal(Enum):
    """What can happen to an activity: told by the page, by its user, or found by the tracker itself."""

    HIDDEN = "hidden"
    """Nobody can see the page any more."""
    SHOWN = "shown"
    """The page can be seen again."""
    FROZEN = "frozen"
    """The page was frozen, put into the back/forward cache, or left for good."""
    THAWED = "thawed"
    """The page runs again."""
    ELSEWHERE = "elsewhere"
    """Another window of this browser counts this run already."""
    HERE = "here"
    """No other window counts it any more."""
    INPUT = "input"
    """Keyboard, pointer, touch, scroll, or a medium that plays."""
    PAUSE = "pause"
    """`pause()`."""
    RESUME = "resume"
    """`resume()`."""
    FLUSH = "flush"
    """`flush()`."""
    END = "end"
    """`end()`."""
    TICK = "tick"
    """Nothing but the passing of time."""
    BEAT = "beat"
    """Found by the tracker: the heartbeat is due."""
    TIMED_OUT = "timed out"
    """Found by the tracker: hidden for longer than `hidden_timeout_ms`."""
    WENT_IDLE = "went idle"
    """Found by the tracker: no input for `idle_timeout_ms`."""
    SLEPT = "slept"
    """Found by the tracker: the machine was asleep, or its clock was set forwards."""


type Tell = Callable[[Signal, float], None]
"""Told of a signal with the event's own time on the `mono_ms` clock."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, complete: nothing is added on the way."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """They may hold a token: no repr shows them."""
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP answer; header names are lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """No answer was seen; `sent` is False only where it is sure that nothing left this machine."""

    why: str
    sent: bool = True


type Answer = Response | NoAnswer


class Transport(Protocol):
    """Carries requests; a fault is a `NoAnswer`, never an exception."""

    async def send(self, request: Request, *, timeout_ms: float) -> Answer:
        """Send and wait for the answer."""
        ...

    def send_blocking(self, request: Request, *, timeout_ms: float) -> Answer:
        """Send, and wait for the answer without letting anything else run. A browser's page obeys no time limit."""
        ...

    def send_on_exit(self, request: Request, answered: Callable[[Answer], None]) -> None:
        """Send before returning; `answered` is called if the page lives to see it (delivery.md, Exit)."""
        ...

    @property
    def guards_grow(self) -> bool:
        """Whether what `guard()` sends has what passes until then added, so that even an empty window wants it."""
        ...

    def guard(self, request: Request, *, active: bool) -> Stop | None:
        """Have the browser send this when the page is gone; the result calls that off. None: it cannot.

        `active` says how time counts that passes meanwhile, as long as the page can be seen.
        """
        ...

    async def aclose(self) -> None:
        """Let go of connections."""
        ...


class Storage(Protocol):
    """A small key-value store of strings that outlives the page where it can."""

    @property
    def durable(self) -> bool:
        """Whether what is written here outlives the page."""
        ...

    def keys(self) -> Iterable[str]: ...

    def get(self, key: str) -> str | None: ...

    def set(self, key: str, value: str) -> bool:
        """Write; False if there is no room or no permission. Never raises."""
        ...

    def remove(self, key: str) -> None: ...

    async def refresh(self) -> None:
        """Bring in what earlier pages left and other pages have changed. What this page has written stands."""
        ...


class Host(Protocol):
    """The surroundings in which Python runs: clocks, timers, the page's life, background work."""

    def now(self) -> Moment: ...

    def after(self, delay_ms: float, call: Callable[[], None]) -> Stop:
        """Call once after a delay, as soon as the world allows it."""
        ...

    def watch(self, tell: "Tell", *, inputs: bool) -> Stop:
        """Tell of the page's life from now on; with `inputs`, keep the time of the last input too."""
        ...

    def is_hidden(self) -> bool:
        """Whether nobody can see the page now. False where there is no page to ask."""
        ...

    def was_busy(self, since_ms: float, until_ms: float) -> bool:
        """Whether Python itself was at work for most of that span, so that timers came late."""
        ...

    def last_input_ms(self) -> float | None:
        """When the person last gave a sign of life, on the `mono_ms` clock; now, while a medium plays."""
        ...

    def visibility_history(self) -> list[tuple[float, bool]]:
        """What is known of the page so far: (`mono_ms`, visible from then on), oldest first."""
        ...

    def on_online(self, call: Callable[[], None]) -> Stop:
        """Call when the network is said to be back."""
        ...

    def spawn(self, work: Coroutine[Any, Any, None]) -> bool:
        """Run in the background; the host keeps hold of it until it is done. False if nothing here can run it."""
        ...

    async def turn(self) -> None:
        """Let the task that runs now come to its end."""
        ...

    def random(self) -> float:
        """A random number in [0, 1)."""
        ...

    def new_run_id(self) -> str:
        """A fresh UUID4."""
        ...

    def absolute(self, url: str) -> str:
        """The URL in full, resolved against the page's; as given where there is no page."""
        ...

    @property
    def tab_token(self) -> str:
        """Random, kept by this tab alone, also over a reload: it names who may recover what nobody owns yet."""
        ...

    @property
    def storage(self) -> Storage:
        """Storage of this origin, shared by its pages."""
        ...

    @property
    def online(self) -> bool:
        """False only where it is sure that there is no network."""
        ...

    def hold(self, name: str, told: Callable[[bool], None]) -> Stop:
        """Hold a name that one page of an origin has at a time; told True once it is ours, False if another has it."""
        ...

    async def held(self) -> frozenset[str] | None:
        """The names that are held now, by any page of this origin; None where nobody can tell."""
        ...

    def exclusively(self, work: Callable[[], Coroutine[Any, Any, None]]) -> Coroutine[Any, Any, None]:
        """Run `work` while no other page of this origin runs its own; leave it, if another one takes too long."""
        ...
