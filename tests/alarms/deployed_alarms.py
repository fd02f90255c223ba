"""The alarms of a running local cloud, judged by CloudWatch's documented rules on what its CloudWatch holds."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from local.alarms import build_rule, judge
from local.emulator import REGION
from local.events.cloudwatch import CloudWatch
from local.state_folder import StateFolder
from tests.e2e.cloud import ROOT, RunningCloud

HOUR_S = 3600


@dataclass(frozen=True)
class DeployedAlarms:
    """The alarms of a cloud, by their names in the template."""

    cloud: RunningCloud

    @cached_property
    def cloudwatch(self) -> CloudWatch:
        """Return a client of the cloud's CloudWatch."""
        port = StateFolder(ROOT, self.cloud.folder).read_state().ports["emulator"]
        return CloudWatch(f"http://127.0.0.1:{port}", REGION)

    @cached_property
    def alarms(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the deployed alarms on metrics."""
        found: list[dict[str, Any]] = []
        page: dict[str, Any] = {"NextToken": None}
        while "NextToken" in page:
            page = self.cloudwatch.call("DescribeAlarms", NextToken=page["NextToken"])
            found += page["MetricAlarms"]
        return {alarm["AlarmName"].split("-")[1]: alarm for alarm in found}

    def read_values(self, name: str, *, since: float, period_s: int | None = None) -> list[tuple[float, float]]:
        """Return the statistic of an alarm's metric in each period, with the period's begin in epoch seconds."""
        alarm = self.alarms[name]
        statistic = alarm.get("ExtendedStatistic") or alarm["Statistic"]
        is_percentile = statistic.startswith("p")
        answer = self.cloudwatch.call(
            "GetMetricStatistics",
            Namespace=alarm["Namespace"],
            MetricName=alarm["MetricName"],
            Dimensions=alarm.get("Dimensions", []),
            StartTime=since,
            EndTime=time.time() + 60,
            Period=period_s or alarm["Period"],
            **{"ExtendedStatistics" if is_percentile else "Statistics": [statistic]},
        )
        points = answer["Datapoints"]
        values = [point["ExtendedStatistics"] if is_percentile else point for point in points]
        return [(float(p["Timestamp"]), float(v[statistic])) for p, v in zip(points, values, strict=True)]

    def list_ringing(self, *, since: float, now: float) -> list[str]:
        """Return the alarms that ring at a moment, of what was written since another one (both epoch seconds)."""
        return [name for name in self.alarms if self._is_ringing(name, since, now)]

    def list_measured(self, *, since: float) -> set[str]:
        """Return the alarms whose metric has had a value."""
        return {name for name in self.alarms if self.read_values(name, since=since)}

    def read_composite(self, name: str) -> str:
        """Return the state of an alarm on other alarms, as the emulator judges it."""
        found = self.cloudwatch.call("DescribeAlarms", AlarmTypes=["CompositeAlarm"])["CompositeAlarms"]
        [state] = [alarm["StateValue"] for alarm in found if name in alarm["AlarmName"]]
        return str(state)

    def _is_ringing(self, name: str, since: float, now: float) -> bool:
        rule = build_rule(self.alarms[name])
        if rule.period_s >= HOUR_S:
            return self._is_breached_so_far(name, since)
        # One value a period is left, its statistic.
        values = self.read_values(name, since=since)
        return judge(replace(rule, statistic="Maximum"), values, now=now, state="OK") == "ALARM"

    def _is_breached_so_far(self, name: str, since: float) -> bool:
        """Return whether a period of an hour that began at `since` would breach already: stricter than the alarm."""
        rule = build_rule(self.alarms[name])
        values = [value for _, value in self.read_values(name, since=since, period_s=60)]
        if not values:
            return False
        return rule.is_breached_by(sum(values) if rule.statistic == "Sum" else max(values))
