"""A dependency's circuit as one value: when calls may pass, when it opens, and what it becomes.

closed -> open -> half_open -> closed, or open again. Each move makes a new generation; whoever writes on
account of an older one finds that out and changes nothing. All times are integer microseconds since the epoch.
Source: M. Nygard, "Release It!", 2007; M. Fowler, "CircuitBreaker", 2014.
"""

from dataclasses import dataclass, replace
from typing import Literal

from shared.resilience.gcra import SECOND

State = Literal["closed", "open", "half_open"]
Command = Literal["open", "closed", "auto"]

# Two halves of a window: what is counted is between half a window and one window old.
HALVES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """When a circuit opens, and what follows; seconds, and shares of all calls.

    It opens at `failures` in the window, if they are at least `failure_ratio` of the calls: so one failure in a
    hundred never opens it, however many calls there are. As many calls slower than `slow_s`, at least
    `slow_ratio` of all, open it too. `probe_lease_s` outlasts the longest call.
    """

    name: str
    failures: int = 5
    failure_ratio: float = 0.3
    slow_s: float = 5.0
    slow_ratio: float = 0.5
    window_s: float = 60.0
    open_s: float = 30.0
    probe_lease_s: float = 30.0
    # How old may be what an environment knows of a circuit in which all is well: it asks no more often than that.
    refresh_s: float = 1.0
    # While the table is gone, an open circuit is believed this much beyond its time; then each environment probes
    # by itself.
    blind_s: float = 60.0

    def slot(self, now: int) -> int:
        """The half-window that a moment is in."""
        return now // round(self.window_s * SECOND / HALVES)


@dataclass(frozen=True, slots=True)
class Counts:
    """Calls, and how many of them failed or were slow; one that was both is counted as both."""

    calls: int = 0
    failures: int = 0
    slow: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.calls + other.calls, self.failures + other.failures, self.slow + other.slow)

    def __sub__(self, other: "Counts") -> "Counts":
        """What is left, none of it negative: what was told may have been forgotten meanwhile."""
        left = (self.calls - other.calls, self.failures - other.failures, self.slow - other.slow)
        return Counts(*(max(0, count) for count in left))

    @property
    def troubled(self) -> bool:
        """Whether not all went well."""
        return self.failures > 0 or self.slow > 0


NOTHING = Counts()


@dataclass(frozen=True, slots=True)
class Window:
    """What was counted in the half-window `slot`, and in the one before."""

    slot: int = 0
    current: Counts = NOTHING
    previous: Counts = NOTHING

    def at(self, slot: int) -> "Window":
        """The same, moved on to a later half-window; an earlier one changes nothing."""
        if slot <= self.slot:
            return self
        return Window(slot, NOTHING, self.current if slot == self.slot + 1 else NOTHING)

    def plus(self, told: "Window") -> "Window":
        """With what was told now, in the later one's half-window: a clock that is behind is only that."""
        mine = self.at(told.slot)
        return Window(mine.slot, mine.current + told.current, mine.previous + told.previous)

    @property
    def total(self) -> Counts:
        """All that is in it."""
        return self.current + self.previous


EMPTY = Window()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A circuit at one moment. `since` is None where it was always closed; `forced` by operators, it moves no more.

    `open_until` is when a probe is due; while it is half open, `holder` has the one probe until `lease_until`.
    """

    state: State = "closed"
    generation: int = 0
    since: int | None = None
    open_until: int = 0
    holder: str | None = None
    lease_until: int = 0
    window: Window = EMPTY
    forced: bool = False

    @property
    def probe_due(self) -> int | None:
        """When the next probe may be made; None where calls pass, or where operators hold it open."""
        if self.state == "closed" or self.forced:
            return None
        return self.open_until if self.state == "open" else self.lease_until


NEW = Snapshot()


def micros(seconds: float) -> int:
    """Microseconds of so many seconds."""
    return round(seconds * SECOND)


def should_open(policy: Policy, window: Window, now: int) -> bool:
    """Whether a closed circuit with these counts is to be opened."""
    counts = window.at(policy.slot(now)).total
    return _is_share(counts.failures, counts.calls, policy.failure_ratio, policy.failures) or _is_share(
        counts.slow, counts.calls, policy.slow_ratio, policy.failures
    )


def is_suspect(policy: Policy, window: Window, now: int) -> bool:
    """Whether a closed circuit may be about to open: half the shares that open it, of however few calls.

    It may have opened since; so while it is suspect nobody calls without having asked.
    """
    counts = window.at(policy.slot(now)).total
    return _is_share(counts.failures, counts.calls, policy.failure_ratio / 2, 1) or _is_share(
        counts.slow, counts.calls, policy.slow_ratio / 2, 1
    )


def _is_share(count: int, calls: int, share: float, least: int) -> bool:
    return count >= least and count >= calls * share


def opened(seen: Snapshot, policy: Policy, now: int) -> Snapshot:
    """Open, for the full time: from closed, or from half open where the probe failed."""
    return Snapshot("open", seen.generation + 1, now, open_until=now + micros(policy.open_s))


def half_opened(seen: Snapshot, policy: Policy, now: int, holder: str) -> Snapshot:
    """Half open, the probe leased to `holder`: from open, or from half open where another's lease has run out."""
    lease_until = now + micros(policy.probe_lease_s)
    return Snapshot("half_open", seen.generation + 1, now, holder=holder, lease_until=lease_until)


def closed(seen: Snapshot, now: int) -> Snapshot:
    """Closed, with nothing counted: the probe succeeded."""
    return Snapshot("closed", seen.generation + 1, now)


def commanded(seen: Snapshot, command: Command, policy: Policy, now: int) -> Snapshot:
    """As operators command: held open or closed, or left to itself again; unchanged where it is that already.

    Left to itself, a circuit that was held open lets a probe through first.
    """
    if command == "auto":
        return replace(seen, generation=seen.generation + 1, since=now, forced=False) if seen.forced else seen
    if seen.forced and seen.state == command:
        return seen
    held = opened(seen, policy, now) if command == "open" else closed(seen, now)
    return replace(held, open_until=now if command == "open" else 0, forced=True)
