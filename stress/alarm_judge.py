"""An alarm's states, judged by CloudWatch's documented rules on the values of its metric.

The emulator's own judgement is cruder (stress/alarms.py). The rules are those of "Configuring how CloudWatch alarms
treat missing data" in the CloudWatch user guide; the product's tests judge by another program of the same page.
"""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

State = Literal["OK", "ALARM"]
# CloudWatch looks at more periods than it judges, in case some are empty; its examples have 5 for 3.
EXTRA_PERIODS = 2
COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}
CHILD = re.compile(r'ALARM\("?([^")]+)"?\)')


@dataclass(frozen=True)
class AlarmRule:
    """The rule of an alarm: it rings if `needed` of `evaluated` periods breach the threshold.

    `period_s` are the seconds that stand for its period.
    """

    period_s: float
    needed: int
    evaluated: int
    threshold: float
    comparison: str
    missing: str

    @classmethod
    def from_alarm(cls, alarm: Mapping[str, Any], period_s: float) -> "AlarmRule":
        """Return the rule of an alarm as DescribeAlarms has it."""
        evaluated = int(alarm["EvaluationPeriods"])
        needed = int(alarm.get("DatapointsToAlarm") or evaluated)
        missing = str(alarm.get("TreatMissingData", "missing"))
        return cls(period_s, needed, evaluated, float(alarm["Threshold"]), str(alarm["ComparisonOperator"]), missing)

    def judge(self, values: Mapping[int, float], now: float, before: State) -> State:
        """Return the state at a time in epoch seconds; `before` is the state until then.

        `values` has the statistic of each period by its number since the epoch; the period of `now` is not over.
        """
        last = int(now // self.period_s)
        looked_at = range(last - self.evaluated - EXTRA_PERIODS, last)
        real = [self.is_breached_by(values[n]) for n in looked_at if n in values][-self.evaluated :]
        return self._count(real, self.evaluated - len(real), before)

    def _count(self, real: Sequence[bool], lacking: int, before: State) -> State:
        """Return the state by the periods with a value, and by how many lack one."""
        if lacking and self.missing == "ignore" and all(real):
            return before  # no period without a breach: the state is kept
        breaching = sum(real) + (lacking if self.missing == "breaching" else 0)
        return "ALARM" if breaching >= self.needed else "OK"

    def is_breached_by(self, value: float) -> bool:
        """Return whether a period's value breaches the threshold."""
        return COMPARISONS[self.comparison](value, self.threshold)


def judge_minutes(rule: AlarmRule, values: Mapping[int, float], moments: Sequence[float]) -> list[State]:
    """Return an alarm's state at each of these times, which are epoch seconds in order."""
    states: list[State] = []
    for moment in moments:
        states.append(rule.judge(values, moment, states[-1] if states else "OK"))
    return states


def list_children(rule: str) -> list[str]:
    """Return the alarms of a composite alarm's rule, any of which makes it ring. Raise ValueError for another rule."""
    rest = CHILD.sub("", rule).split()
    if set(rest) - {"OR"}:
        raise ValueError(f"not a rule of alarms of which any rings: {rule}")
    return CHILD.findall(rule)
