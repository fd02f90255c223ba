"""What has a budget is counted again, and the budget itself is judged."""

from typing import Any

import pytest

from bench.budget import find_faults, measure_budgeted, read_budget
from bench.cloud import BenchCloud


@pytest.fixture(scope="module")
def counted(cloud: BenchCloud) -> dict[str, Any]:
    """Return what is counted today."""
    return measure_budgeted(cloud)


def test_all_is_within_its_budget_and_no_budget_is_slack(counted: dict[str, Any]) -> None:
    """Change bench/budget.toml together with what makes the difference, and say why in the commit."""
    assert find_faults(read_budget(), counted) == []


@pytest.mark.parametrize(
    ("part", "name"), [("modules", "members"), ("peak_kb", "registration"), ("kb", "layer"), ("trips", "registration")]
)
@pytest.mark.parametrize("change", [1.02, 0.8])
def test_more_than_the_budget_and_much_less_are_found(part: str, name: str, change: float) -> None:
    changed = read_budget()
    if part == "trips":
        changed[part][name]["database"] += 1 if change > 1 else -1
    else:
        changed[part][name] = read_budget()[part][name] * change
    [fault] = find_faults(read_budget(), changed)
    assert ("over" if change > 1 else "slack") in fault


def test_a_new_function_without_a_budget_and_a_budget_without_a_function_are_found() -> None:
    changed = read_budget()
    changed["kb"]["packages"]["fresh"] = 3
    del changed["kb"]["packages"]["relay"]
    assert find_faults(read_budget(), changed) == [
        "kb.packages.fresh has no budget: 3",
        "kb.packages.relay has a budget, and is not there",
    ]


@pytest.mark.parametrize(
    ("name", "value", "part", "figure"),
    [("processor", "aarch64", "kb", "layer"), ("python", "3.11", "modules", "members")],
)
def test_what_differs_by_machine_is_not_compared_elsewhere(name: str, value: str, part: str, figure: str) -> None:
    changed = read_budget()
    changed[part][figure] = 1
    assert len(find_faults(read_budget(), changed)) == 1
    changed["made_on"][name] = value
    assert find_faults(read_budget(), changed) == []
