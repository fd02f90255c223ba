"""A CloudWatch dashboard's widgets, and what the emulator's CloudWatch holds for them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from local.events.cloudwatch import CloudWatch

MOST_ALARMS = 100  # of one page of DescribeAlarms
Point = tuple[float, float]  # time in seconds since the epoch, value


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a widget on a grid of 24 columns."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class MetricLine:
    """A line of a chart: the metric, its statistic, and the values of its periods."""

    label: str
    namespace: str
    metric: str
    dimensions: Mapping[str, str]
    statistic: str
    period_s: int
    points: Sequence[Point] = ()

    def build_query(self, query_id: str) -> dict[str, Any]:
        """Return the line's query of GetMetricData."""
        dimensions = [{"Name": name, "Value": value} for name, value in self.dimensions.items()]
        metric = {"Namespace": self.namespace, "MetricName": self.metric, "Dimensions": dimensions}
        return {
            "Id": query_id,
            "MetricStat": {"Metric": metric, "Period": self.period_s, "Stat": self.statistic},
        }


@dataclass(frozen=True, slots=True)
class ChartWidget:
    """A chart; `low` and `high` are the ends of its axis where the dashboard says them."""

    place: Place
    title: str
    lines: Sequence[MetricLine]
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class AlarmState:
    """An alarm, by its logical id, and its state as the emulator judges it."""

    name: str
    state: str
    description: str


@dataclass(frozen=True, slots=True)
class AlarmWidget:
    """A list of alarms; one that shows only some states says which."""

    place: Place
    title: str
    arns: Sequence[str]
    states: Sequence[str] = ()
    alarms: Sequence[AlarmState] = ()


@dataclass(frozen=True, slots=True)
class HeadingWidget:
    """A line of text."""

    place: Place
    text: str


Widget = ChartWidget | AlarmWidget | HeadingWidget


@dataclass(frozen=True, slots=True)
class Dashboard:
    """The widgets with what was found for them between two times, in seconds since the epoch."""

    name: str
    widgets: Sequence[Widget]
    start: float
    end: float


def parse_widgets(body: str) -> list[Widget]:
    """Return the widgets of a dashboard's body, without values. Raise ValueError, KeyError for one of another form."""
    return [_parse_widget(widget) for widget in json.loads(body)["widgets"]]


def _parse_widget(widget: Mapping[str, Any]) -> Widget:
    place = Place(widget["x"], widget["y"], widget["width"], widget["height"])
    properties = widget["properties"]
    match widget["type"]:
        case "text":
            return HeadingWidget(place, properties["markdown"].lstrip("# "))
        case "alarm":
            return AlarmWidget(place, properties["title"], properties["alarms"], properties.get("states", ()))
        case "metric":
            axis = properties.get("yAxis", {}).get("left", {})
            lines = [_parse_line(row, properties) for row in properties["metrics"]]
            return ChartWidget(place, properties["title"], lines, axis.get("min"), axis.get("max"))
    raise ValueError(f"no such widget: {widget['type']}")


def _parse_line(row: Sequence[Any], properties: Mapping[str, Any]) -> MetricLine:
    namespace, metric, *rest = [part for part in row if isinstance(part, str)]
    options: Mapping[str, Any] = row[-1] if isinstance(row[-1], dict) else {}
    return MetricLine(
        label=options.get("label", metric),
        namespace=namespace,
        metric=metric,
        dimensions=dict(zip(rest[::2], rest[1::2], strict=True)),
        statistic=options.get("stat", properties.get("stat", "Average")),
        period_s=options.get("period", properties.get("period", 300)),
    )


def load_dashboard(cloudwatch: "CloudWatch", name: str, *, start: float, end: float) -> Dashboard:
    """Return a dashboard as deployed, with its values between two times. Raise OSError and MetricsRejected."""
    widgets = parse_widgets(cloudwatch.call("GetDashboard", DashboardName=name)["DashboardBody"])
    lines = [line for widget in widgets if isinstance(widget, ChartWidget) for line in widget.lines]
    queries = [line.build_query(f"q{number}") for number, line in enumerate(lines)]
    answer = cloudwatch.call("GetMetricData", MetricDataQueries=queries, StartTime=start, EndTime=end)
    found = {result["Id"]: _read_points(result) for result in answer["MetricDataResults"]}
    points = iter([found.get(f"q{number}", []) for number in range(len(lines))])
    alarms = _load_alarms(cloudwatch)
    return Dashboard(name, [_fill_widget(widget, points, alarms) for widget in widgets], start, end)


def load_listed_alarms(cloudwatch: "CloudWatch", name: str) -> list[AlarmState]:
    """Return the alarms that a dashboard lists, in its order. Raise OSError and MetricsRejected."""
    widgets = parse_widgets(cloudwatch.call("GetDashboard", DashboardName=name)["DashboardBody"])
    arns = dict.fromkeys(arn for widget in widgets if isinstance(widget, AlarmWidget) for arn in widget.arns)
    alarms = _load_alarms(cloudwatch)
    return [alarms[arn] for arn in arns if arn in alarms]


def _read_points(result: Mapping[str, Any]) -> list[Point]:
    return [(float(at), float(value)) for at, value in zip(result["Timestamps"], result["Values"], strict=True)]


def _load_alarms(cloudwatch: "CloudWatch") -> dict[str, AlarmState]:
    """Return all alarms by their ARNs."""
    found: dict[str, AlarmState] = {}
    page: dict[str, Any] = {"NextToken": None}
    while "NextToken" in page:
        page = cloudwatch.call(
            "DescribeAlarms",
            AlarmTypes=["MetricAlarm", "CompositeAlarm"],
            MaxRecords=MOST_ALARMS,
            NextToken=page["NextToken"],
        )
        for alarm in (*page.get("MetricAlarms", ()), *page.get("CompositeAlarms", ())):
            found[alarm["AlarmArn"]] = AlarmState(
                # <stack>-<logical id>-<random>
                alarm["AlarmName"].split("-")[1] if "-" in alarm["AlarmName"] else alarm["AlarmName"],
                alarm["StateValue"],
                alarm.get("AlarmDescription", ""),
            )
    return found


def _fill_widget(widget: Widget, points: Iterator[list[Point]], alarms: Mapping[str, AlarmState]) -> Widget:
    if isinstance(widget, ChartWidget):
        return replace(widget, lines=[replace(line, points=next(points)) for line in widget.lines])
    if isinstance(widget, AlarmWidget):
        listed = [alarms[arn] for arn in widget.arns if arn in alarms]
        return replace(widget, alarms=[a for a in listed if not widget.states or a.state in widget.states])
    return widget
