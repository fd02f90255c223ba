"""The local dashboard: how a deployed one is read, and what is drawn of it."""

import json
import re
from typing import Any

import pytest

from local.dashboard.charts import draw_chart, format_value, round_up
from local.dashboard.page import RANGES_MIN, read_range_s, render_dashboard, wants_reload
from local.dashboard.widgets import (
    AlarmWidget,
    ChartWidget,
    Dashboard,
    HeadingWidget,
    MetricLine,
    Place,
    load_dashboard,
    parse_widgets,
)

START, END = 1_800_000_000.0, 1_800_000_900.0
PLACE = Place(0, 0, 8, 6)
BODY = {
    "widgets": [
        {"type": "text", "x": 0, "y": 0, "width": 24, "height": 1, "properties": {"markdown": "## Jobs"}},
        {
            "type": "alarm", "x": 0, "y": 1, "width": 6, "height": 3,
            "properties": {"title": "What rings", "states": ["ALARM"], "alarms": ["arn:a", "arn:b", "arn:gone"]},
        },
        {
            "type": "metric", "x": 6, "y": 1, "width": 8, "height": 6,
            "properties": {
                "title": "Ages & <more>", "stat": "Maximum", "period": 60, "yAxis": {"left": {"min": 0, "max": 100}},
                "metrics": [["Ours", "Age", "stack", "s", {"label": "oldest"}], ["AWS/SES", "Rate", {"stat": "p99"}]],
            },
        },
    ]
}  # fmt: skip


class ScriptedCloudWatch:
    """A CloudWatch with two alarms, one of which rings, and two values of the first metric."""

    def __init__(self) -> None:
        self.queries: list[dict[str, Any]] = []

    def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Answer one call."""
        if operation == "GetDashboard":
            return {"DashboardBody": json.dumps(BODY)}
        if operation == "GetMetricData":
            self.queries = parameters["MetricDataQueries"]
            values = {"Id": "q0", "Timestamps": [START + 60, START + 120], "Values": [1.0, 42.0]}
            return {"MetricDataResults": [values, {"Id": "q1", "Timestamps": [], "Values": []}]}
        if parameters["NextToken"] is None:
            alarm = {"AlarmName": "s-FirstAlarm-1", "AlarmArn": "arn:a", "StateValue": "ALARM"}
            return {"MetricAlarms": [alarm], "NextToken": "2"}
        return {"CompositeAlarms": [{"AlarmName": "s-SecondAlarm-2", "AlarmArn": "arn:b", "StateValue": "OK"}]}


def load() -> tuple[Dashboard, ScriptedCloudWatch]:
    """Return the dashboard that CloudWatch has, and that CloudWatch."""
    cloudwatch = ScriptedCloudWatch()
    return load_dashboard(cloudwatch, "s", start=START, end=END), cloudwatch  # type: ignore[arg-type]


def test_a_dashboard_is_read_as_cloudwatch_reads_it() -> None:
    """A row's own statistic comes before that of its widget, and a label before the metric's name."""
    heading, alarms, chart = parse_widgets(json.dumps(BODY))
    assert heading == HeadingWidget(Place(0, 0, 24, 1), "Jobs")
    assert isinstance(alarms, AlarmWidget)
    assert isinstance(chart, ChartWidget)
    assert (chart.low, chart.high) == (0, 100)
    assert list(chart.lines) == [
        MetricLine("oldest", "Ours", "Age", {"stack": "s"}, "Maximum", 60),
        MetricLine("Rate", "AWS/SES", "Rate", {}, "p99", 60),
    ]


def test_another_widget_is_refused() -> None:
    """One that the page would leave out silently."""
    with pytest.raises(ValueError, match="log"):
        parse_widgets(json.dumps({"widgets": [{**BODY["widgets"][0], "type": "log"}]}))


def test_values_and_alarms_come_to_their_widgets() -> None:
    """Each line asks for its own metric; a list that shows what rings has no other alarm."""
    dashboard, cloudwatch = load()
    _, alarms, chart = dashboard.widgets
    assert isinstance(alarms, AlarmWidget)
    assert isinstance(chart, ChartWidget)
    assert [alarm.name for alarm in alarms.alarms] == ["FirstAlarm"]
    assert [list(line.points) for line in chart.lines] == [[(START + 60, 1.0), (START + 120, 42.0)], []]
    metric = {"Namespace": "Ours", "MetricName": "Age", "Dimensions": [{"Name": "stack", "Value": "s"}]}
    assert cloudwatch.queries[0] == {"Id": "q0", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Maximum"}}


def test_the_page_shows_all_of_it_and_loads_nothing() -> None:
    """Escaped, without a script, and with no address of anybody's."""
    page = render_dashboard(load()[0]).body.decode()
    for shown in ("Ages &amp; &lt;more&gt;", "FirstAlarm", "1 of its alarms ring", "oldest <b>42</b>", "<h2>Jobs</h2>"):
        assert shown in page
    assert "<more>" not in page
    assert re.findall(r"<script|<link|https?://|url\(|@import", page) == []
    assert 'http-equiv="refresh"' not in page


def test_the_page_reloads_itself_for_whoever_asks() -> None:
    """Else it would take the place away from somebody who reads slowly; each range keeps what was asked for."""
    assert wants_reload("minutes=60&reload=1")
    assert not wants_reload("minutes=60")
    page = render_dashboard(load()[0], reloads=True).body.decode()
    assert '<meta http-equiv="refresh" content="30">' in page
    assert re.findall(r'<a href="(.*?)"', page) == [
        "?minutes=15&amp;reload=1", "?minutes=60&amp;reload=1", "?minutes=180&amp;reload=1", "?minutes=15", "/_local/",
    ]  # fmt: skip


@pytest.mark.parametrize(("query", "minutes"), [("", 15), ("minutes=60", 60), ("minutes=1e9", 15), ("minutes=", 15)])
def test_the_page_shows_one_of_its_ranges(query: str, minutes: int) -> None:
    """Whatever range the address asks for, the page shows one that it has."""
    assert minutes in RANGES_MIN
    assert read_range_s(query) == minutes * 60


def draw(*points: tuple[float, float], **options: Any) -> str:
    """Return the chart of one line."""
    line = MetricLine("line", "Ours", "Age", {}, "Maximum", 60, [(START + at, value) for at, value in points])
    return draw_chart(ChartWidget(PLACE, "Age", [line], **options), start=START, end=END)


def test_a_line_is_broken_where_nothing_is_known() -> None:
    """A straight line over an hour without reports would say that all was well."""
    assert draw((0, 1), (60, 2), (120, 3)).count("M") == 1
    assert draw((0, 1), (60, 2), (600, 3)).count("M") == 2


def test_a_value_beyond_the_axis_stays_at_its_edge() -> None:
    """It does not leave the picture."""
    within, beyond = draw((0, 100), low=0, high=100), draw((0, 250), low=0, high=100)
    assert re.findall(r'cy="[\d.]+"', within) == re.findall(r'cy="[\d.]+"', beyond)


def test_a_chart_without_values_says_so() -> None:
    """An empty picture could as well be a fault of the page."""
    assert "nothing yet" in draw()
    assert "nothing yet" not in draw((0, 0))


@pytest.mark.parametrize(
    ("value", "rounded"), [(0, 1), (0.003, 0.005), (1, 1), (1.1, 2), (4, 5), (61, 100), (5000, 5000)]
)
def test_an_axis_ends_at_a_round_value(value: float, rounded: float) -> None:
    """The axis reaches the largest value at least."""
    assert round_up(value) == pytest.approx(rounded)


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (0.012345, "0.0123"), (12.0, "12"), (570.4, "570"), (1290.2, "1,290")]
)
def test_a_value_is_written_short(value: float, text: str) -> None:
    """So it can be read in passing."""
    assert format_value(value) == text
