"""Every call and its answer: the harness's own record, to be compared with what the system holds."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

NO_ANSWER = 0  # the status of a call whose connection ended, or that timed out
# Statuses that leave open whether the call was executed: no answer, the gateway's, a function that died or can't now.
FAILURES = frozenset({NO_ANSWER, 500, 502, 503, 504})

ACCEPTED = frozenset({200, 201})


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """A call to be made. `client` is the loopback address it comes from; `wanted` are the expected statuses.

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
class CallSample:
    """A call and its answer; times are seconds of the run. `record` is the answer's JSON object, if it had one."""

    scenario: str
    call: PlannedCall
    meant_s: float
    sent_s: float
    done_s: float
    status: int
    problem: str = ""
    record: dict[str, Any] | None = None
    replayed: bool = False
    retry_after_s: float | None = None
    attempt: int = 1
    request_id: str = ""
    api: str = ""  # the base path of the system that was called

    @property
    def latency_ms(self) -> float:
        """Return the time from when it was due: a late generator makes its own calls look slow, never fast."""
        return (self.done_s - self.meant_s) * 1000

    @property
    def lag_ms(self) -> float:
        """Return how late it was sent."""
        return (self.sent_s - self.meant_s) * 1000

    @property
    def is_expected(self) -> bool:
        """Return whether the answer has an expected status."""
        return self.status in self.call.wanted

    @property
    def is_accepted(self) -> bool:
        """Return whether the answer says that the call was executed."""
        return self.status in ACCEPTED

    @property
    def is_undecided(self) -> bool:
        """Return whether it is open if the call was executed: a failure, or the first call of its key still running."""
        return self.status in FAILURES or (self.status, self.problem) == (409, "request-in-progress")

    @property
    def answer(self) -> str:
        """Return its status and problem, as the report counts them."""
        return f"{self.status or 'no answer'} {self.problem}".strip()


@dataclass
class CallLedger:
    """All samples, in the order of their answers."""

    samples: list[CallSample] = field(default_factory=list)
    _numbers: dict[int, int] = field(default_factory=dict, repr=False, compare=False)

    def note(self, sample: CallSample) -> None:
        """Add a sample."""
        self.samples.append(sample)

    def list_samples(self, scenario: str) -> list[CallSample]:
        """Return the samples of one scenario."""
        return [sample for sample in self.samples if sample.scenario == scenario]

    def find_number(self, sample: CallSample) -> int:
        """Return a sample's line in samples.csv.gz, from 1. Raise KeyError for one that is not in the ledger."""
        for number in range(len(self._numbers), len(self.samples)):  # those that came since the last question
            self._numbers[id(self.samples[number])] = number + 1
        return self._numbers[id(sample)]

    def list_accepted(self, *operations: str) -> Iterator[CallSample]:
        """Yield the first acceptance of each call of these operations; a repeat of the same key adds nothing."""
        seen: set[tuple[str, str | None]] = set()
        for sample in self.samples:
            name = (sample.call.path, sample.call.key)
            if sample.call.operation in operations and sample.is_accepted and (None in name or name not in seen):
                seen.add(name)
                yield sample


def list_first_accepted(samples: Iterable[CallSample]) -> list[CallSample]:
    """Return the first acceptance of each call; samples without a key count as one call each."""
    first: dict[tuple[str, object], CallSample] = {}
    for sample in samples:
        if sample.is_accepted:
            first.setdefault(_identify_call(sample), sample)
    return list(first.values())


def list_undecided(samples: Sequence[CallSample]) -> list[CallSample]:
    """Return the last sample of each call that was never accepted and may still have been executed."""
    last = {_identify_call(sample): sample for sample in samples}
    done = {_identify_call(sample) for sample in samples if sample.is_accepted}
    return [sample for which, sample in last.items() if which not in done and sample.is_undecided]


def _identify_call(sample: CallSample) -> tuple[str, object]:
    return sample.call.operation, sample.call.key or id(sample)


def count_answers(samples: Iterable[CallSample]) -> dict[str, int]:
    """Return how many samples had which answer."""
    return dict(sorted(Counter(sample.answer for sample in samples).items()))


def count_unexpected(samples: Iterable[CallSample]) -> dict[str, int]:
    """Return how many samples had which unexpected answer, by operation."""
    wrong = (f"{sample.call.operation}: {sample.answer}" for sample in samples if not sample.is_expected)
    return dict(sorted(Counter(wrong).items()))


def count_samples(samples: Iterable[CallSample], is_counted: Callable[[CallSample], bool]) -> int:
    """Return for how many samples `is_counted` is true."""
    return sum(map(is_counted, samples))
