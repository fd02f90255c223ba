"""The scenario of alerts judges alarms by CloudWatch's rules, and each of its checks can fail."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from local.alarms import build_rule, judge
from stress.alarm_judge import AlarmRule, State, judge_minutes, list_children
from stress.scenario_context import LocalScenarioContext
from stress.scenarios.alerts import (
    LOOK,
    MINUTE_S,
    PERIOD_MINUTES,
    WAKE,
    AlarmHistory,
    AlarmTrouble,
    check_alarms,
    check_messages,
    list_troubles,
)
from tests.alarms.declared_troubles import TROUBLES
from tests.settings.alarms import ALARMS, properties

MOMENTS = [float(n) for n in range(100, 120)]


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_is_judged_as_the_tests_of_alarms_judge_it(name: str) -> None:
    """The two programs share nothing; here they agree on every deployed alarm, for many patterns of values."""
    alarm = cast("dict[str, Any]", properties(ALARMS[name]))
    rule = AlarmRule.from_alarm(alarm, 1.0)
    other = build_rule({**alarm, "Period": 1})
    bad, good = float(alarm["Threshold"]) + 1, float(alarm["Threshold"]) - 1
    for pattern in range(1 << 6):
        # In each period nothing, a value over the threshold, or one under it.
        kinds = [(pattern * 7919 >> n) % 3 for n in range(24)]
        values = {96 + n: bad if kind == 1 else good for n, kind in enumerate(kinds) if kind}
        expected: list[State] = []
        for moment in MOMENTS:
            state = judge(other, [(n + 0.5, v) for n, v in values.items()], now=moment,
                          state=expected[-1] if expected else "OK")  # fmt: skip
            assert state != "INSUFFICIENT_DATA"
            expected.append(state)
        assert judge_minutes(rule, values, MOMENTS) == expected, (name, values)


def test_a_rule_that_is_more_than_any_of_its_alarms_is_refused() -> None:
    """Such a rule would be misread."""
    assert list_children('ALARM("a-One-1") OR ALARM("a-Two-2")') == ["a-One-1", "a-Two-2"]
    with pytest.raises(ValueError, match="AND"):
        list_children('ALARM("a-One-1") AND ALARM("a-Two-2")')


def test_the_troubles_ring_alarms_that_there_are_and_none_twice() -> None:
    """With a declaration of the same alarms in the tests of alarms, where there is one for the whole trouble."""
    troubles = list_troubles()
    names = [name for trouble in troubles for name in trouble.rings]
    assert len(set(names)) == len(names) > 40
    assert set(names) <= set(ALARMS)
    for trouble in troubles:
        for name in trouble.rings:
            kind = trouble.wakes if ALARMS[name].group == "wake" else trouble.looks
            assert name.removesuffix("Alarm") in kind, name
        if trouble.name in TROUBLES:
            assert set(trouble.rings) == TROUBLES[trouble.name].rings


def test_a_trouble_lasts_as_long_as_its_alarms_need() -> None:
    """Alarms that need several periods, of those that are longer than a minute."""
    for trouble in list_troubles():
        for name in trouble.rings:
            watch = ALARMS[name]
            needed = watch.datapoints[0] * PERIOD_MINUTES[watch.period_s]
            is_event = watch.statistic == "Sum"  # one in a period is enough, so the period itself need not be over
            assert trouble.lasts >= needed - (PERIOD_MINUTES[watch.period_s] - 1 if is_event else 0), name


class FakeContext:
    """Keeps the checks and comparisons that are made on it."""

    def __init__(self) -> None:
        self.failed: list[str] = []
        self.differences: list[str] = []
        self.reconciliation = SimpleNamespace(compare=self._compare)

    def check(self, name: str, *, holds: bool, wanted: object, found: object) -> None:
        """Note a check that failed."""
        assert wanted is not found
        self.failed += [] if holds else [name]

    def check_equal(self, name: str, wanted: object, found: object) -> None:
        """Note a check that failed."""
        self.check(name, holds=wanted == found, wanted=wanted, found=[found])

    def _compare(self, _kind: str, subject: str, expected: object, found: object) -> None:
        self.differences += [] if expected == found else [subject]


COMPOSITES: Mapping[str, Mapping[str, Any]] = {
    WAKE: {"AlarmRule": 'ALARM("s-UnhealthyAlarm-1")', "OKActions": ["arn:aws:sns:eu-central-1:0:s-WakeTopic-1"]},
    LOOK: {"AlarmRule": 'ALARM("s-JobsFailedAlarm-1") OR ALARM("s-DegradedAlarm-2")',
           "OKActions": ["arn:aws:sns:eu-central-1:0:s-AlarmTopic-1"]},
}  # fmt: skip
MESSAGES = {(WAKE, "ALARM", "WakeTopic"), (LOOK, "ALARM", "AlarmTopic")}


def make_trouble(name: str, began: float, *, looks: Sequence[str] = (), wakes: Sequence[str] = ()) -> AlarmTrouble:
    """Return a trouble that was made at a time."""
    trouble = AlarmTrouble(name, 0, 3, lambda _: cast("Any", None), looks, wakes)
    trouble.began = began
    return trouble


def list_failed(
    composites: Mapping[str, Mapping[str, Any]] = COMPOSITES,
    *,
    unhealthy: str = "----****--",
    failed: str = "--****----",
    degraded: str = "----------",
) -> list[str]:
    """Return the checks that fail where alarms had these states, a character for each minute."""
    rows = {"UnhealthyAlarm": unhealthy, "JobsFailedAlarm": failed, "DegradedAlarm": degraded}
    states: dict[str, list[State]] = {name: ["ALARM" if c == "*" else "OK" for c in row] for name, row in rows.items()}
    troubles = [
        make_trouble("jobs", 101.5, looks=("JobsFailed",)),
        make_trouble("silence", 103.5, wakes=("Unhealthy",)),
    ]
    context = FakeContext()
    check_alarms(cast("LocalScenarioContext", context), troubles,
                 AlarmHistory([100.0 + n for n in range(10)], states), composites)  # fmt: skip
    return context.failed


def test_all_that_rang_as_declared_passes() -> None:
    """Each after its trouble began, and back at the end."""
    assert list_failed() == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"failed": "-*****----"}, ["Before any trouble no alarm rings", "Alarms that rang before their own trouble"]),
        ({"unhealthy": "---*****--"}, ["Alarms that rang before their own trouble"]),
        ({"failed": "----------"}, ["Rung by: jobs", f"Alarms that rang and made {LOOK} ring"]),
        ({"degraded": "-----*----"},
         ["Alarms that no trouble should ring, and that rang", f"Alarms that rang and made {LOOK} ring"]),
        ({"unhealthy": "----******"}, ["Alarms that have not gone back to OK"]),
    ],
)  # fmt: skip
def test_what_rang_otherwise_fails_the_check_that_names_it(changes: dict[str, str], expected: list[str]) -> None:
    """Too early, never, unasked, for ever."""
    assert list_failed(**cast("Any", changes)) == expected


def test_an_alarm_that_the_wrong_people_are_told_of_is_found() -> None:
    """It is in neither's rule where it should be."""
    wrong = {
        WAKE: {"AlarmRule": ""},
        LOOK: {"AlarmRule": COMPOSITES[LOOK]["AlarmRule"] + ' OR ALARM("s-UnhealthyAlarm-1")'},
    }
    assert list_failed(wrong) == [f"Alarms that rang and made {WAKE} ring", f"Alarms that rang and made {LOOK} ring"]


@pytest.mark.parametrize(
    ("messages", "composites", "expected"),
    [
        (MESSAGES, COMPOSITES, []),
        ({(LOOK, "ALARM", "AlarmTopic")}, COMPOSITES,
         [f"{WAKE} reached its topic", f"{WAKE} also tells that it is over", "Topics that got a message"]),
        ({(WAKE, "ALARM", "AlarmTopic"), (LOOK, "ALARM", "AlarmTopic")}, COMPOSITES,
         [f"{WAKE} also tells that it is over", "Topics that got a message"]),
        (MESSAGES, {**COMPOSITES, LOOK: {}}, [f"{LOOK} also tells that it is over"]),
    ],
)  # fmt: skip
def test_messages_that_do_not_reach_people_are_found(
    messages: set[tuple[str, str, str]], composites: Mapping[str, Mapping[str, Any]], expected: list[str]
) -> None:
    """None came, one came to the others' topic, nobody is told of the end."""
    context = FakeContext()
    check_messages(cast("LocalScenarioContext", context), composites, messages)
    assert context.failed == expected


def test_a_minute_is_a_divisor_of_every_period() -> None:
    """Otherwise minutes and periods would not end together."""
    assert all(minutes * MINUTE_S == int(minutes * MINUTE_S) for minutes in PERIOD_MINUTES.values())
    assert set(PERIOD_MINUTES) == {watch.period_s for watch in ALARMS.values()}
