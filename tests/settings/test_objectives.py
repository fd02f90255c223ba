"""Each alarm that guards an objective has the figure that follows from it."""

from typing import Any

import pytest

from tests.settings.deployed import load_template
from tools.objectives_page import FILE, Objective, read_objectives

DAYS, OBJECTIVES = read_objectives(FILE.read_text(encoding="utf-8"))
# The most of a budget that may be used, with everything bad, before the alarm rings.
MOST_USED = 1 / 8
GUARDS = [pytest.param(each, name, id=name) for each in OBJECTIVES for name in each.alarms]


def read_alarm(name: str) -> dict[str, Any]:
    """Return the properties of a deployed alarm."""
    properties: dict[str, Any] = load_template()["Resources"][name]["Properties"]
    return properties


def test_every_objective_has_alarms_that_guard_no_other() -> None:
    """By a bound or by how fast its budget is used; no alarm guards two."""
    assert all(each.alarms and (each.within is not None or each.burn is not None) for each in OBJECTIVES)
    assert all(0.5 < each.target < 1 for each in OBJECTIVES)
    named = [name for each in OBJECTIVES for name in each.alarms]
    assert len(named) == len(set(named)) > 0


@pytest.mark.parametrize(("objective", "name"), GUARDS)
def test_an_alarms_figure_follows_from_its_objective(objective: Objective, name: str) -> None:
    """A bound is the threshold, in the unit of the metric; a share of calls or minutes is the burn times the budget."""
    alarm = read_alarm(name)
    if objective.within is not None:
        factor = 1_000 if alarm["MetricName"] == "Latency" else 1
        assert alarm["Threshold"] == objective.within * factor
        if factor > 1:
            assert alarm["ExtendedStatistic"] == f"p{objective.target * 100:g}"
    elif alarm["Statistic"] == "Average":
        assert alarm["Threshold"] == pytest.approx((objective.burn or 0) * objective.budget)
    else:  # minutes, each good or bad
        assert alarm["Threshold"] == 1
        share = alarm["DatapointsToAlarm"] / alarm["EvaluationPeriods"]
        assert share == pytest.approx((objective.burn or 0) * objective.budget, abs=0.001)


@pytest.mark.parametrize(("objective", "name"), GUARDS)
def test_an_alarm_rings_while_most_of_the_budget_is_left(objective: Objective, name: str) -> None:
    """Even if every call, minute or mail is bad until it rings."""
    alarm = read_alarm(name)
    used_s = alarm["DatapointsToAlarm"] * alarm["Period"]
    assert used_s <= MOST_USED * objective.budget * DAYS * 24 * 3600
