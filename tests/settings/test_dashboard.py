"""The dashboard is one that CloudWatch can draw: valid JSON, metrics that exist, and what rings in its first row."""

import json
import re
from collections.abc import Iterator
from functools import cache
from itertools import combinations
from typing import Any

from tests.settings.alarms import ALARMS, ONLY_CREATED
from tests.settings.deployed import load_template
from tests.settings.printed_metrics import printed_metrics
from tests.settings.test_alarms import composites, fill_variables, resources, unknown

PLACEHOLDER = re.compile(r"\$\{([\w:.]+)\}")
COLUMNS, FIRST_ROW = 24, 9
CLIENTS_VIEW = {"Count", "5XXError", "Latency"}
# A release's own alarms watch the released version, which the next release replaces.
LASTING = {name: watch for name, watch in ALARMS.items() if watch.group != "release"}


def _as_text(placeholder: re.Match[str]) -> str:
    name, _, attribute = placeholder[1].partition(".")
    return f"GetAtt {name}.{attribute}" if attribute else f"Ref {name}"


def _fill_placeholders(value: str) -> str:
    """Return a dimension's value as the dashboard's text has it."""
    return PLACEHOLDER.sub(_as_text, value.removeprefix("Sub "))


def read_body(*, created: bool) -> str:
    """Return the dashboard's body in a stack with or without a database of its own."""
    [dashboard] = resources("AWS::CloudWatch::Dashboard").values()
    return fill_variables(dashboard["DashboardBody"]["Fn::Sub"], created=created)


def test_the_dashboard_is_valid_without_a_database_of_the_stacks_own() -> None:
    """It names nothing then that exists only with one."""
    text = read_body(created=False)
    assert json.loads(PLACEHOLDER.sub(_as_text, text))["widgets"]
    assert [name for name in ONLY_CREATED if name in text] == []
    assert "${Database." not in text


@cache
def read_widgets() -> list[dict[str, Any]]:
    """Return the widgets; a placeholder is left as text, `Ref Name` or `GetAtt Name.Attribute`."""
    body = json.loads(PLACEHOLDER.sub(_as_text, read_body(created=True)))
    found: list[dict[str, Any]] = body["widgets"]
    return found


def list_metrics(shown: list[dict[str, Any]]) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield namespace, name and dimensions of each metric that the widgets draw."""
    for widget in shown:
        for row in widget["properties"].get("metrics", []):
            namespace, name, *rest = [each for each in row if isinstance(each, str)]
            yield namespace, name, dict(zip(rest[::2], rest[1::2], strict=True))


def test_every_metric_of_the_dashboard_exists() -> None:
    """The code printed it in a run, or AWS documents it, with these dimensions."""
    found = list(list_metrics(read_widgets()))
    assert [(row, wrong) for row in found if (wrong := unknown(*row)) is not None] == []
    assert len(found) > 50


def test_the_dashboard_shows_what_the_alarms_watch() -> None:
    """People who are woken by a figure can see its course."""
    drawn = {(namespace, name, *sorted(values.values())) for namespace, name, values in list_metrics(read_widgets())}
    watched = {
        (w.namespace, w.metric, *sorted(map(_fill_placeholders, w.dimensions.values()))) for w in LASTING.values()
    }
    assert watched - drawn == set()


def test_the_dashboard_shows_all_that_the_code_prints() -> None:
    """It leaves out the age of all jobs together, which is one priority's too, and what only a release is asked for."""
    drawn = {name for namespace, name, _ in list_metrics(read_widgets()) if namespace == "Interdomestik"}
    assert {each.name for each in printed_metrics()} - drawn == {"JobsOldestPendingSeconds", "VersionFailures"}


def test_the_first_row_says_what_rings_and_what_clients_see() -> None:
    """The two alarms that tell people, those behind them, and calls, share of 5xx and time to answer."""
    first = [widget for widget in read_widgets() if widget["y"] < FIRST_ROW]
    listed = [widget["properties"]["alarms"] for widget in first if widget["type"] == "alarm"]
    assert list(map(sorted, listed)) == [
        sorted(f"GetAtt {name}.Arn" for name in each) for each in (composites(), LASTING)
    ]
    assert {name for _, name, _ in list_metrics(first)} >= CLIENTS_VIEW


def test_widgets_lie_side_by_side() -> None:
    """They stay within the columns, and none covers another."""
    places = [(w["x"], w["y"], w["x"] + w["width"], w["y"] + w["height"]) for w in read_widgets()]
    assert [place for place in places if place[2] > COLUMNS] == []
    assert [(a, b) for a, b in combinations(places, 2) if _overlap(a, b)] == []


def _overlap(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def test_the_dashboard_is_named_like_the_stack() -> None:
    """Each stack of an account therefore has its own."""
    [dashboard] = resources("AWS::CloudWatch::Dashboard").values()
    assert dashboard["DashboardName"] == {"Ref": "AWS::StackName"}
    assert load_template()["Resources"]["Dashboard"]["Type"] == "AWS::CloudWatch::Dashboard"
