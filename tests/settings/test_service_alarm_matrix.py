"""Fault by fault in AWS's services: which alarms on their metrics ring, and that no other does; by CloudWatch's rules.

Alarms on what the code prints have a matrix of their own, tests/settings/test_alarm_matrix.py. Here a fault is what AWS
documents that its services write of it, minute by minute.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import pytest

from local.alarms import Rule, State, build_rule
from tests.settings.alarms import ALARMS, API_FUNCTIONS, BUSY, RELEASED, SLOW_MS
from tests.settings.test_alarm_matrix import AFTERWARDS, BEGINS, LASTS, MINUTE_S, list_states
from tests.settings.test_alarms import leaves, shown

SERVICE_ALARMS = sorted(name for name, watch in ALARMS.items() if watch.namespace.startswith("AWS/"))
Metric = tuple[str, str, frozenset[tuple[str, str]]]
MINUTES = range(5, BEGINS + 2 * LASTS + AFTERWARDS + 60)
SELDOM_RUN = ("Housekeeping", "Admin", "PreTraffic")  # once an hour, when an operator asks, once a release
# What a metric has in a minute in which all is well. DynamoDB and Lambda write nothing of throttles and loops then.
QUIET: Mapping[str, Sequence[float]] = {
    "Errors": [0.0, 0.0],
    "Throttles": [0.0, 0.0],
    "Duration": [30.0, 900.0],
    "ConcurrentExecutions": [1.0, 3.0],
    "5XXError": [0.0] * 20,
    "Latency": [40.0] * 19 + [900.0],
    "ApproximateAgeOfOldestMessage": [2.0],
    "ApproximateNumberOfMessagesVisible": [0.0],
    "Reputation.BounceRate": [0.01],
    "Reputation.ComplaintRate": [0.0001],
    "DatabaseConnectionsCurrentlySessionPinned": [0.0, 0.0],
}


def find_metric(alarm: str) -> Metric:
    """Return the metric that an alarm watches."""
    watch = ALARMS[alarm]
    return watch.namespace, watch.metric, frozenset(watch.dimensions.items())


def list_quiet_values(alarm: str) -> Sequence[float]:
    """Return what an alarm's metric has in a minute in which all is well: nothing, if its function seldom runs."""
    return () if alarm.startswith(SELDOM_RUN) else QUIET.get(ALARMS[alarm].metric, ())


@dataclass(frozen=True)
class MetricFault:
    """A fault: the values of each alarm's metric while it lasts, and the alarms that it rings.

    It lasts `minutes`, and shows in one of `every_minutes`.
    """

    values: Mapping[str, Sequence[float]]
    rings: frozenset[str]
    minutes: int = LASTS
    every_minutes: int = 1

    def list_values(self, alarm: str) -> list[tuple[float, float]]:
        """Return what the metric of an alarm has, each value with its time in seconds."""
        by_metric = {find_metric(name): values for name, values in self.values.items()}
        troubled, quiet = by_metric.get(find_metric(alarm)), list_quiet_values(alarm)
        found: list[tuple[float, float]] = []
        for minute in MINUTES:
            since = minute - BEGINS
            is_on = troubled is not None and 0 <= since < self.minutes and since % self.every_minutes == 0
            values = troubled if is_on and troubled is not None else quiet
            found += [(minute * MINUTE_S + 5.0, value) for value in values]
        return found


def make_fault(values: Mapping[str, Sequence[float]], *rings: str, minutes: int = LASTS, every: int = 1) -> MetricFault:
    """Return a fault by the names of alarms without their ending."""
    of_alarms = {f"{name}Alarm": found for name, found in values.items()}
    return MetricFault(of_alarms, frozenset(f"{name}Alarm" for name in rings), minutes, every)


NOTHING = make_fault({})
CRASHES = [1.0, 0.0]
ONE_5XX_OF_TWENTY = [1.0] + [0.0] * 19


def list_crashes() -> dict[str, MetricFault]:
    """Return a crash of each function: clients see those behind the API, and a release in progress ends by them."""
    found = {}
    for name in API_FUNCTIONS:
        values = {f"{name}Errors": CRASHES, f"{name}ReleaseErrors": CRASHES, "ServerErrors": ONE_5XX_OF_TWENTY}
        found[f"{name} crashes"] = make_fault(values, *values)
    for name in ("Worker", "Health"):
        values = {f"{name}Errors": CRASHES, f"{name}ReleaseErrors": CRASHES}
        found[f"{name} crashes"] = make_fault(values, *values)
    return found


FAULTS: Mapping[str, MetricFault] = {
    "nothing": NOTHING,
    **list_crashes(),
    "a crash of a minute is seen by one client in a thousand": make_fault(
        {"ClaimsErrors": CRASHES, "ServerErrors": [1.0] + [0.0] * 999}, "ClaimsErrors"
    ),
    # As long as a release that is rolled back may fail.
    "a burst of 5xx of four minutes": make_fault({"ServerErrors": ONE_5XX_OF_TWENTY}, minutes=4),
    "health crashes for four minutes": make_fault(
        {"HealthErrors": CRASHES, "HealthReleaseErrors": CRASHES}, "HealthReleaseErrors", minutes=4
    ),
    "a release is checked": make_fault({"ReleaseInProgress": [1.0] * 7}, "ReleaseInProgress", minutes=1),
    "a command crashes": make_fault({"AdminErrors": [1.0]}, "AdminErrors", minutes=1),
    "the hook of a release crashes": make_fault({"PreTrafficErrors": [1.0]}, "PreTrafficErrors", minutes=1),
    "housekeeping crashes": make_fault({"HousekeepingErrors": [1.0]}, "HousekeepingErrors", minutes=1),
    "the relay crashes each minute": make_fault({"RelayErrors": CRASHES}, "RelayErrors"),
    "the relay crashes now and then": make_fault({"RelayErrors": CRASHES}, every=5),
    **{
        f"{name} is throttled": make_fault({f"{name}Throttles": [1.0]}, f"{name}Throttles", minutes=1)
        for name in (*API_FUNCTIONS, "Health", "Worker", "Housekeeping", "Admin")
    },
    "the relay is throttled": make_fault({"RelayThrottles": [3.0]}, "RelayThrottles"),
    "the relay's wake-ups coincide": make_fault({"RelayThrottles": [3.0]}, minutes=5),
    **{
        f"{name} is slow": make_fault({f"{name}Duration": [most_ms] * 5}, f"{name}Duration")
        for name, most_ms in SLOW_MS.items()
    },
    "one slow minute": make_fault({"MembersDuration": [SLOW_MS["Members"]] * 5, "Latency": [6_000.0] * 20}, minutes=1),
    "housekeeping is slow": make_fault({"HousekeepingDuration": [250_000.0]}, "HousekeepingDuration", minutes=1),
    "clients wait": make_fault({"Latency": [6_000.0] * 20}, "Latency"),
    **{
        f"{name} is nearly full": make_fault({f"{name}Concurrency": [float(most)]}, f"{name}Concurrency")
        for name, most in BUSY.items()
    },
    "a burst of calls": make_fault({"ClaimsConcurrency": [float(BUSY["Claims"])]}, minutes=2),
    **{
        f"{name} drops a loop": make_fault({f"{name}Recursion": [1.0]}, f"{name}Recursion", minutes=1)
        for name in ("Relay", "Worker")
    },
    **{
        f"{name} is not received": make_fault({f"{name}Age": [ALARMS[f"{name}AgeAlarm"].threshold]}, f"{name}Age")
        for name in ("QueueHigh", "QueueNormal", "QueueLow", "NudgeQueue")
    },
    "an old message that is received": make_fault({"QueueHighAge": [1_000.0]}, minutes=4),
    **{
        f"a dead letter of {name} priority": make_fault({f"DeadLetter{name}": [1.0]}, f"DeadLetter{name}")
        for name in ("High", "Normal", "Low")
    },
    "the state table throttles reads": make_fault({"StateTableReadThrottles": [2.0]}, "StateTableReadThrottles"),
    "the state table throttles writes": make_fault({"StateTableWriteThrottles": [2.0]}, "StateTableWriteThrottles"),
    "the state table is resized": make_fault(
        {"StateTableReadThrottles": [2.0], "StateTableWriteThrottles": [2.0]}, minutes=2
    ),
    "mails bounce": make_fault({"MailBounces": [0.06]}, "MailBounces", minutes=90),
    "some mails bounce": make_fault({"MailBounces": [0.049]}, minutes=90),
    "people complain": make_fault({"MailComplaints": [0.002]}, "MailComplaints", minutes=90),
    # Each of the servers behind RDS Proxy writes its own, once a minute.
    "sessions stay pinned": make_fault({"SessionPins": [2.0, 0.0]}, "SessionPins"),
    "sessions stay pinned at two servers of the proxy": make_fault({"SessionPins": [1.0, 1.0]}, "SessionPins"),
    "a pinned session": make_fault({"SessionPins": [1.0, 0.0]}),
}  # fmt: skip


@cache
def read_rule(alarm: str) -> Rule:
    """Return the rule of an alarm of the template."""
    return build_rule(shown(leaves()[alarm]))


@cache
def list_fault_states(found: str, alarm: str) -> list[State]:
    """Return an alarm's state in each minute of a fault."""
    return list_states(read_rule(alarm), FAULTS[found].list_values(alarm), MINUTES)


def is_touched(found: MetricFault, alarm: str) -> bool:
    """Return whether a fault changes the metric of an alarm; another's values are those without a fault."""
    return find_metric(alarm) in map(find_metric, found.values)


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_of_a_service_rings_its_alarms_and_no_other_and_they_end(name: str) -> None:
    """Nothing rings before it, nor at the end."""
    found = FAULTS[name]
    states = {
        alarm: list_fault_states(name if is_touched(found, alarm) else "nothing", alarm) for alarm in SERVICE_ALARMS
    }
    assert {alarm for alarm, each in states.items() if "ALARM" in each} == found.rings
    before = BEGINS - MINUTES[0]
    assert {alarm for alarm, each in states.items() if "ALARM" in each[:before] or each[-1] != "OK"} == set()


def test_every_alarm_on_a_service_is_rung_by_a_fault() -> None:
    """An alarm that no fault rings may be unable to ring; no two watch one metric."""
    assert {alarm for each in FAULTS.values() for alarm in each.rings} == set(SERVICE_ALARMS)
    assert len(set(map(find_metric, SERVICE_ALARMS))) == len(SERVICE_ALARMS)


def test_every_group_of_released_functions_has_its_crash() -> None:
    """A function that is released later belongs into the table."""
    assert {f"{name} crashes" for name in RELEASED} <= set(FAULTS)
