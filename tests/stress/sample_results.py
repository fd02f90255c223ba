"""The results of the sample report's eight scenarios; two of them also as failures."""

import math
import random
from dataclasses import replace

from stress.estimates import bound_percentile, count_samples_needed
from stress.model import (
    BUCKETS_MS,
    Assertion,
    Chart,
    ChartLine,
    CheckEvidence,
    Difference,
    Estimate,
    Figure,
    Lag,
    Latency,
    Reconciliation,
    ScenarioResult,
)
from stress.verdict import PERCENTILES

STARTS = (6.0, 58.0, 104.0, 158.0, 216.0, 270.0, 318.0, 366.0, 402.0)


def make_latency(operation: str, calls: int, p50: float, spread: float = 0.45) -> Latency:
    """Return a latency with a long tail around `p50`, the same each time."""
    dice = random.Random(operation)
    times = sorted(dice.lognormvariate(math.log(p50), spread) for _ in range(calls))
    counts = [0] * (len(BUCKETS_MS) + 1)
    for time in times:
        counts[next((i for i, limit in enumerate(BUCKETS_MS) if time <= limit), len(BUCKETS_MS))] += 1
    shown = {name: share for name, share in PERCENTILES.items() if calls >= count_samples_needed(share)}
    values = {name: round(times[min(int(share * calls), calls - 1)], 2) for name, share in shown.items()}
    q50, q90, q95, q99 = (values.get(name) for name in PERCENTILES)
    intervals = {name: bound_percentile(times, share) for name, share in shown.items()}
    return Latency(operation, calls, q50, q90, q95, q99, round(times[-1], 2), tuple(counts), intervals)


def make_pool() -> ScenarioResult:
    return ScenarioResult(
        key="pool",
        title="A crowd shares ten connections",
        promise="Fifty environments work on ten database connections: they wait in line, and none is turned away.",
        status="PASS",
        began_s=STARTS[0],
        ended_s=STARTS[1] - 4,
        checks=[
            Assertion("Connections to the server", passed=True, wanted="at most 10", found="10"),
            Assertion("Calls answered as intended", passed=True, wanted="all of 2,400", found="2,400"),
            Assertion("Sessions pinned at the proxy", passed=True, wanted="0", found="0"),
            Assertion(
                "Longest wait for a connection",
                passed=True,
                wanted="below 2,000 ms, the borrow timeout",
                found="214 ms",
            ),
        ],
        figures=[
            Figure("environments at most", 50),
            Figure("waiting for a connection, p95", 61.4, "ms"),
            Figure("transactions a second", 312.5, "/s", "while all fifty were at work"),
        ],
        latencies=[make_latency("POST /members", 1600, 38), make_latency("GET /members/{number}", 800, 11)],
        lag=Lag(sends=2400, p50=0.3, p99=3.1, most=8.4, bar=25),
        samples=2400,
        samples_wanted=2400,
        answers={"201": 1600, "200": 800},
        reconciliation=Reconciliation(
            {"members": 1600, "memberships": 1600, "audit entries": 1600, "outbox jobs": 3200}
        ),
    )


def make_agents() -> ScenarioResult:
    return ScenarioResult(
        key="agents",
        title="Agents apply and are decided on once",
        promise="However often an application or a decision is repeated, there is one, and a repeat gets its answer.",
        status="PASS",
        began_s=STARTS[1],
        ended_s=STARTS[2] - 3,
        checks=[
            Assertion("Repeats answered byte for byte", passed=True, wanted="all of 600", found="600"),
            Assertion("Agents made", passed=True, wanted="300", found="300"),
            Assertion(
                "Refused by their limit", passed=True, wanted="at least 40, each with Retry-After", found="52, all"
            ),
        ],
        figures=[Figure("repeats of each call", 3), Figure("meetings of two repeats", 211, "", "in flight together")],
        latencies=[make_latency("POST /agents", 900, 31), make_latency("POST /agents/{id}/decision", 300, 24)],
        lag=Lag(sends=1252, p50=0.2, p99=2.2, most=5.9, bar=25),
        samples=300,
        samples_wanted=300,
        answers={"201": 900, "200": 300, "429 too-many-requests": 52},
        reconciliation=Reconciliation({"agents": 300, "decisions": 300, "audit entries": 600}),
    )


def make_members() -> ScenarioResult:
    return ScenarioResult(
        key="members",
        title="A registration happens once",
        promise="A lost reply and a retry make one member, with one membership, one commission and one welcome mail.",
        status="PASS",
        began_s=STARTS[2],
        ended_s=STARTS[3] - 4,
        checks=[
            Assertion("Members for acknowledged registrations", passed=True, wanted="1,200 of 1,200", found="1,200"),
            Assertion("Members nobody was told of", passed=True, wanted="0", found="0"),
            Assertion("Welcome mails", passed=True, wanted="1,200, none twice", found="1,200, none twice"),
        ],
        figures=[
            Figure("connections cut", 96, "", "at a byte drawn from the seed"),
            Figure("commits whose answer was lost", 41),
        ],
        latencies=[make_latency("POST /members", 1296, 42, 0.6)],
        lag=Lag(sends=1296, p50=0.3, p99=4.0, most=11.2, bar=25),
        samples=1200,
        samples_wanted=1200,
        answers={"201": 1200, "503 unavailable": 55, "connection lost": 41},
        reconciliation=Reconciliation({"members": 1200, "memberships": 1200, "commissions": 640, "mails": 1200}),
    )


def make_claims() -> ScenarioResult:
    return ScenarioResult(
        key="claims",
        title="Claims keep every acknowledged move",
        promise="While the database fails over, no claim and no move that was acknowledged is lost or doubled.",
        status="PASS",
        began_s=STARTS[3],
        ended_s=STARTS[4] - 5,
        checks=[
            Assertion("Acknowledged claims that are there", passed=True, wanted="900 of 900", found="900"),
            Assertion("Moves in the history, in order of version", passed=True, wanted="all of 1,350", found="1,350"),
            Assertion(
                "Write gap beyond the promotion",
                passed=True,
                wanted="at most 200 ms",
                found="105 ms",
            ),
        ],
        figures=[
            Figure("promotion took", 1180, "ms"),
            Figure("stale versions refused", 87, "", "412, as they must be"),
        ],
        latencies=[make_latency("POST /claims", 900, 47, 0.7), make_latency("POST /claims/{id}/transitions", 1437, 29)],
        lag=Lag(sends=2337, p50=0.4, p99=5.6, most=14.0, bar=25),
        samples=900,
        samples_wanted=900,
        answers={"201": 900, "200": 1350, "412 stale-version": 87, "503 unavailable": 34},
        reconciliation=Reconciliation({"claims": 900, "history entries": 2250, "audit entries": 2250, "mails": 2250}),
    )


def make_broken_claims() -> ScenarioResult:
    good = make_claims()
    return replace(
        good,
        status="FAIL",
        checks=[
            Assertion(
                "Acknowledged claims that are there", passed=False, wanted="900 of 900", found="898: 2 are missing"
            ),
            good.checks[1],
            Assertion(
                "Write gap beyond the promotion",
                passed=False,
                wanted="at most 200 ms",
                found="1,640 ms",
            ),
        ],
        reconciliation=Reconciliation(
            good.reconciliation.compared,
            [
                Difference("claim", "CLM-2026-000417", "201, state submitted, version 1", "no such row"),
                Difference("claim", "CLM-2026-000418", "201, state submitted, version 1", "no such row"),
                Difference("mail", "CLM-2026-000417", "1 claim-received", "none in the inbox"),
                Difference(
                    "history",
                    "0199f2aa-51c7-7d1e-8b0e-6f2f3b3f9d10",
                    "version 3, evaluation",
                    "version 2",
                ),
            ],
            more_differences=3,
        ),
        notes=["The follower was promoted 3.4 s into the write load; it had not replayed the last 96 kB."],
    )


def make_breaker() -> ScenarioResult:
    return ScenarioResult(
        key="breaker",
        title="A dead dependency is left alone",
        promise="With mail away the circuit opens, requests don't notice, and every mail is sent afterwards.",
        status="PASS",
        began_s=STARTS[4],
        ended_s=STARTS[5] - 4,
        checks=[
            Assertion(
                "Calls made to the dead service", passed=True, wanted="at most 5 + those in flight (10)", found="11"
            ),
            Assertion("Probes while half-open", passed=True, wanted="exactly 1 each time", found="1, 1"),
            Assertion("Mails sent after recovery, each once", passed=True, wanted="500 of 500", found="500"),
            Assertion("Registrations meanwhile", passed=True, wanted="all of 200", found="200"),
        ],
        figures=[
            Figure("opened after", 0.84, "s"),
            Figure("closed again after", 2.1, "s", "from the service's return"),
        ],
        latencies=[make_latency("POST /members", 200, 36)],
        lag=Lag(sends=200, p50=0.2, p99=1.9, most=2.7, bar=25),
        samples=500,
        samples_wanted=500,
        answers={"201": 200},
        reconciliation=Reconciliation({"members": 200, "mails": 500}),
    )


def make_health() -> ScenarioResult:
    return ScenarioResult(
        key="health",
        title="Health tells the truth in time",
        promise="The deep check names what is broken, within its two seconds, whatever it is, for ten callers at once.",
        status="PASS",
        began_s=STARTS[5],
        ended_s=STARTS[6] - 4,
        checks=[
            Assertion(
                "Answers at p95",
                passed=True,
                wanted="≤ 2,000 ms",
                found="1,650 ms (1,480 to 1,810)",
                estimate=Estimate(1650, 1480, 1810, 360),
                evidence=CheckEvidence("percentile", 2000, percentile=0.95),
                fails_if="A deep check waits for a dead service longer than its budget.",
                control="patient-health",
            ),
            Assertion("Faults named", passed=True, wanted="6 of 6", found="6"),
            Assertion("Back to healthy after each", passed=True, wanted="within 10 s", found="at most 6.2 s"),
        ],
        figures=[Figure("kinds of trouble", 6), Figure("shallow checks meanwhile, p99", 3.2, "ms")],
        latencies=[make_latency("GET /health/deep", 360, 160, 0.9), make_latency("GET /health", 1200, 1.4, 0.3)],
        lag=Lag(sends=1560, p50=0.2, p99=2.4, most=6.6, bar=25),
        samples=360,
        samples_wanted=360,
        answers={"200 healthy": 148, "200 degraded": 122, "503 unhealthy": 90},
    )


def make_capacity() -> ScenarioResult:
    return ScenarioResult(
        key="capacity",
        title="Capacity is known, and overload is refused early",
        promise="Below the knee p95 stays under its bar; above it the surplus is told 429 and the rest is served.",
        status="PASS",
        began_s=STARTS[6],
        ended_s=STARTS[7] - 3,
        checks=[
            Assertion("p95 at 80 % of the knee", passed=True, wanted="at most 350 ms", found="96 ms"),
            Assertion("Goodput at twice the knee", passed=True, wanted="at least 90 % of the most", found="97 %"),
            Assertion("Knee against the naive variant", passed=True, wanted="at least 1.5 ×", found="1.94 ×"),
        ],
        figures=[
            Figure("knee", 310, "requests/s"),
            Figure("knee of the naive variant", 160, "requests/s", "a connection for each environment"),
            Figure("most goodput", 322.4, "answers/s"),
        ],
        latencies=[make_latency("mixed load at 80 % of the knee", 4960, 34, 0.6)],
        lag=Lag(sends=18_400, p50=0.6, p99=9.8, most=31.0, bar=25),
        samples=18_400,
        samples_wanted=18_400,
        answers={"201": 6120, "200": 9310, "429 too-many-requests": 2970},
        reconciliation=Reconciliation({"members": 3100, "claims": 3020}),
        charts=_make_curves(),
    )


def make_late_capacity() -> ScenarioResult:
    good, below = make_capacity(), Estimate(341, 322, 371, 14_120)
    undecided = Assertion(
        good.checks[0].name, passed=False, wanted="at most 350 ms", found="341 ms (322 to 371)", undecided=True,
        more_samples=5_210, estimate=below, evidence=CheckEvidence("percentile", 350, percentile=0.95),
    )  # fmt: skip
    knee = Figure("knee", 310, "requests/s", estimate=Estimate(310, 296, 321, 14_120))
    return replace(
        good,
        status="INVALID",
        checks=[undecided, *good.checks[1:]],
        figures=[knee, *good.figures[1:]],
        lag=Lag(sends=14_120, p50=2.6, p99=71.3, most=412.0, bar=25),
        samples=14_120,
        notes=["Another process used one of the two cores from 5:31 to 5:52."],
    )


def make_priorities() -> ScenarioResult:
    return ScenarioResult(
        key="priorities",
        title="What is urgent overtakes what can wait",
        promise="With a backlog of a thousand notices a welcome mail leaves as if the line were empty.",
        status="PASS",
        began_s=STARTS[7],
        ended_s=STARTS[8],
        checks=[
            Assertion(
                "Welcome mail behind 1,000 notices, p95",
                passed=True,
                wanted="at most 2 × an empty line's",
                found="1.2 ×",
            ),
            Assertion("Notices sent in the end", passed=True, wanted="1,000 of 1,000", found="1,000"),
        ],
        figures=[Figure("welcome, p95", 640, "ms"), Figure("notice, p95", 21_400, "ms")],
        latencies=[make_latency("welcome mail, from the registration", 60, 480, 0.25)],
        lag=Lag(sends=60, p50=0.2, p99=1.1, most=1.1, bar=25),
        samples=60,
        samples_wanted=60,
        answers={"201": 60},
        reconciliation=Reconciliation({"mails": 1060}),
    )


def _make_curves() -> list[Chart]:
    offered = (20, 40, 80, 120, 160, 200, 240, 280, 310, 360, 440, 520, 620)
    before = [(float(x), round(18 + x / 20 + 4000 / (1 + math.exp((190 - x) / 12)), 1)) for x in offered]
    after = [(float(x), round(16 + x / 30 + 300 / (1 + math.exp((430 - x) / 60)), 1)) for x in offered]
    low, high = ([(x, round(y * factor, 1)) for x, y in after] for factor in (0.8, 1.3))
    served = [(float(x), float(min(x, 322 - x / 60))) for x in offered]
    worn = [(float(x), float(min(x, 160) if x < 200 else 160 - (x - 200) / 4)) for x in offered]
    asked = "offered requests a second"
    return [
        Chart(
            "Latency under rising load",
            asked,
            "p95, ms",
            [ChartLine("naive variant", before), ChartLine("this service", after, low, high)],
            bar=350,
            bar_name="bar 350 ms",
            log=True,
        ),
        Chart(
            "Goodput under rising load",
            asked,
            "served a second",
            [ChartLine("naive variant", worn), ChartLine("this service", served)],
        ),
    ]
