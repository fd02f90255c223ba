"""The results of a run as plain data: scenarios fill it in, report.json stores it, the pages show it.

Times are seconds since the run began; latencies are milliseconds, counted from when a call was due.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict

from stress.control_record import ControlRecord

Status = Literal["PASS", "FAIL", "INVALID", "SKIPPED"]
Point = tuple[float, float]
Percentile = Literal["p50", "p90", "p95", "p99"]
EvidenceKind = Literal["statuses", "share", "percentile", "ratio"]
Side = Literal["at most", "at least"]

BUCKETS_MS = (1, 2, 5, 10, 20, 35, 50, 75, 100, 150, 250, 350, 500, 750, 1000, 2000, 5000, 10_000, 30_000)


@dataclass(frozen=True)
class Estimate:
    """A value computed of some samples, and the ends of its interval at 95 %. A ratio may have no upper end: infinity.

    For a ratio `samples` are those of both sides together.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(ser_json_inf_nan="strings")  # JSON has no infinity

    value: float
    low: float
    high: float
    samples: int


@dataclass(frozen=True)
class CheckEvidence:
    """The samples that a check was computed of, and its bar: anyone can compute it again from samples.csv.gz.

    `samples` and `others` are numbers of lines of that file, as ranges: "3 7-12". `others` are those on the other side:
    the events among the trials of a share, the denominator of a ratio. Values that are no call's latency, and counts,
    stand in `values` and `other_values`.
    """

    kind: EvidenceKind
    bar: float = 0.0
    side: Side = "at most"
    percentile: float = 0.0  # which one is judged, as a share: 0.95
    wanted: dict[int, int] = field(default_factory=dict)  # how many answers of each status
    samples: str = ""
    others: str = ""
    values: tuple[float, ...] = ()
    other_values: tuple[float, ...] = ()


@dataclass(frozen=True)
class Assertion:
    """One check: what must hold, and what was found. Only these make a tick in the report.

    An undecided check neither passed nor failed: its interval contains the bar. `more_samples` is how many more would
    probably decide it. `fails_if` says what would break it, and `control` names the control that does. An `exact` one
    holds only if the two texts are the same.
    """

    name: str
    passed: bool
    wanted: str
    found: str
    undecided: bool = False
    more_samples: int = 0
    estimate: Estimate | None = None
    evidence: CheckEvidence | None = None
    fails_if: str = ""
    control: str = ""
    exact: bool = False


@dataclass(frozen=True)
class Figure:
    """One measured number. `note` explains it if the name alone does not. A ratio to nothing is infinite."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(ser_json_inf_nan="strings")

    name: str
    value: float
    unit: str = ""
    note: str = ""
    estimate: Estimate | None = None


@dataclass(frozen=True)
class Latency:
    """The latencies of one operation. `histogram` counts calls by BUCKETS_MS; its last item counts all beyond.

    A percentile is None if there are fewer calls than its interval needs. `intervals` are at 95 %.
    """

    operation: str
    calls: int
    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    most: float
    histogram: tuple[int, ...]
    intervals: dict[Percentile, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Lag:
    """The load generator's own delay in milliseconds: sent minus due. Above `bar` (p99) nothing counts."""

    sends: int
    p50: float
    p99: float
    most: float
    bar: float


@dataclass(frozen=True)
class Difference:
    """A disagreement between the ledger and the system. `subject` is an id or a number, never personal data."""

    what: str
    subject: str
    answered: str
    found: str


@dataclass(frozen=True)
class Reconciliation:
    """The reconciliation of one scenario: the number of comparisons by kind, and the differences."""

    compared: dict[str, int] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)
    more_differences: int = 0  # beyond those listed


@dataclass(frozen=True)
class ChartLine:
    """One line of a chart; `low` and `high` are the ends of its points' intervals, if it has any, at the same x."""

    name: str
    points: list[Point]
    low: list[Point] = field(default_factory=list)
    high: list[Point] = field(default_factory=list)


@dataclass(frozen=True)
class Chart:
    """Lines over one axis. `bar` is a horizontal limit, if the chart is judged by one; `log` is for the y axis."""

    title: str
    x: str
    y: str
    lines: list[ChartLine]
    bar: float | None = None
    bar_name: str = ""
    log: bool = False


@dataclass(frozen=True)
class FaultPeriod:
    """A fault that the harness injected, and its time; `ended_s` is None for what is over at once."""

    name: str
    began_s: float
    ended_s: float | None = None


@dataclass(frozen=True)
class ScenarioResult:
    """The result of one scenario. `status` follows from the rest: see stress.verdict."""

    key: str
    title: str
    promise: str
    status: Status
    began_s: float
    ended_s: float
    checks: list[Assertion] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    latencies: list[Latency] = field(default_factory=list)
    lag: Lag | None = None
    samples: int = 0
    samples_wanted: int = 0
    answers: dict[str, int] = field(default_factory=dict)  # "201", "429 too-many-requests" …, how many
    reconciliation: Reconciliation = field(default_factory=Reconciliation)
    charts: list[Chart] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Interval:
    """A period in which something had one state."""

    state: str
    began_s: float
    ended_s: float


@dataclass(frozen=True)
class Timeline:
    """The whole run, second by second."""

    throughput: list[Point] = field(default_factory=list)  # answers a second
    errors: list[Point] = field(default_factory=list)  # unexpected answers a second
    refused: list[Point] = field(default_factory=list)  # intended 429s a second
    faults: list[FaultPeriod] = field(default_factory=list)
    circuits: dict[str, list[Interval]] = field(default_factory=dict)  # by service
    health: list[Interval] = field(default_factory=list)  # what the deep check reported


@dataclass(frozen=True)
class ReadinessReport:
    """The result of a run. `environment` and `settings` are names and values, shown as they are."""

    started_at: str
    duration_s: float
    profile: str
    target: str
    verdict: Status
    passed: int
    total: int
    results: list[ScenarioResult]
    timeline: Timeline = field(default_factory=Timeline)
    environment: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    controls: list[ControlRecord] = field(default_factory=list)
