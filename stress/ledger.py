"""Every call and what it was answered: the harness's own memory, to be held against what the system holds."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

NO_ANSWER = 0  # the status of a call whose line ended, or that was given up
# Of an answer that leaves open whether the thing was done: the line, the gateway, a function that died or can't now.
FAILURES = frozenset({NO_ANSWER, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Call:
    """A call to be made. `client` is the loopback address it comes from; `wanted` are the statuses that are right.

    `operation` is its name in the report; `facts` is what the scenario wants to remember of it.
    """

    operation: str
    method: str
    path: str
    client: str
    body: dict[str, Any] | None = None
    token: str | None = None
    key: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    wanted: tuple[int, ...] = (200, 201)
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sample:
    """A call and its answer; times are seconds of the run. `record` is the answer's JSON object, if it had one."""

    scenario: str
    call: Call
    meant_s: float
    sent_s: float
    done_s: float
    status: int
    problem: str = ""
    record: dict[str, Any] | None = None
    replayed: bool = False
    retry_after_s: float | None = None
    attempt: int = 1

    @property
    def latency_ms(self) -> float:
        """From when it was meant to be sent: a late generator makes its own calls look slow, never fast."""
        return (self.done_s - self.meant_s) * 1000

    @property
    def lag_ms(self) -> float:
        """Return how late it was sent."""
        return (self.sent_s - self.meant_s) * 1000

    @property
    def right(self) -> bool:
        """Whether the answer is one that was wanted."""
        return self.status in self.call.wanted

    @property
    def accepted(self) -> bool:
        """Whether it says that the thing was done."""
        return self.status in (200, 201)

    @property
    def undecided(self) -> bool:
        """Whether it leaves open if the thing was done: a failure, or the first call of its key still at work."""
        return self.status in FAILURES or (self.status, self.problem) == (409, "request-in-progress")

    @property
    def answer(self) -> str:
        """Its status and problem, as the report counts them."""
        return f"{self.status or 'no answer'} {self.problem}".strip()


@dataclass
class Ledger:
    """All samples, in the order of their answers."""

    samples: list[Sample] = field(default_factory=list)

    def note(self, sample: Sample) -> None:
        """Remember a sample."""
        self.samples.append(sample)

    def of(self, scenario: str) -> list[Sample]:
        """The samples of one scenario."""
        return [sample for sample in self.samples if sample.scenario == scenario]

    def accepted(self, *operations: str) -> Iterator[Sample]:
        """The first acceptance of each call of these operations: a repeat of the same key tells nothing new."""
        seen: set[tuple[str, str | None]] = set()
        for sample in self.samples:
            name = (sample.call.path, sample.call.key)
            if sample.call.operation in operations and sample.accepted and (None in name or name not in seen):
                seen.add(name)
                yield sample


def accepted_once(samples: Iterable[Sample]) -> list[Sample]:
    """The first acceptance of each call; those without a key are each a call of its own."""
    first: dict[tuple[str, object], Sample] = {}
    for sample in samples:
        if sample.accepted:
            first.setdefault(_which(sample), sample)
    return list(first.values())


def unsettled(samples: Sequence[Sample]) -> list[Sample]:
    """The last sample of each call that was never accepted, and of which it is open whether it was done."""
    last = {_which(sample): sample for sample in samples}
    done = {_which(sample) for sample in samples if sample.accepted}
    return [sample for which, sample in last.items() if which not in done and sample.undecided]


def _which(sample: Sample) -> tuple[str, object]:
    return sample.call.operation, sample.call.key or id(sample)


def answers(samples: Iterable[Sample]) -> dict[str, int]:
    """Return how many samples had which answer."""
    return dict(sorted(Counter(sample.answer for sample in samples).items()))


def unexpected(samples: Iterable[Sample]) -> dict[str, int]:
    """Return how many samples had which wrong answer, by operation."""
    wrong = (f"{sample.call.operation}: {sample.answer}" for sample in samples if not sample.right)
    return dict(sorted(Counter(wrong).items()))


def tally(samples: Iterable[Sample], of: Callable[[Sample], bool]) -> int:
    """Return how many samples are such."""
    return sum(map(of, samples))
