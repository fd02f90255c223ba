"""The alarms that CodeDeploy watches during a release, judged on the versions that are released."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from local.alarms import State, build_rule, judge
from local.release.metrics import LogMetrics
from local.stack import DeploymentGroup, Stack

VERSION_DIMENSIONS = ("ExecutedVersion", "version")  # those that name the version which is being released


class ReleaseAlarms:
    """The alarms of some deployment groups, for new versions by function.

    `minute_s` is how many seconds stand for a minute of the alarms.
    """

    def __init__(
        self,
        stack: Stack,
        groups: Sequence[DeploymentGroup],
        new: Mapping[str, str],
        metrics: LogMetrics,
        *,
        minute_s: float,
    ) -> None:
        self._new = new
        self._metrics = metrics
        self._minute_s = minute_s
        self._by_service = {f.environment.get("POWERTOOLS_SERVICE_NAME", ""): f.logical_id for f in stack.functions}
        self._alarms = {name: self._name_new_versions(a) for group in groups for name, a in group.alarms.items()}
        self._states: dict[str, State] = dict.fromkeys(self._alarms, "OK")

    def list_ringing(self) -> list[str]:
        """Return the alarms that ring now, by what has been logged until now."""
        self._metrics.read_new()
        for name, alarm in self._alarms.items():
            self._states[name] = self._judge(alarm, self._states[name])
        return [name for name, state in self._states.items() if state == "ALARM"]

    def _judge(self, alarm: Mapping[str, Any], state: State) -> State:
        rule = build_rule(alarm)
        rule = replace(rule, period_s=rule.period_s / 60 * self._minute_s)
        return judge(rule, self._metrics.find_values(alarm), now=time.time(), state=state)

    def _name_new_versions(self, alarm: Mapping[str, Any]) -> dict[str, Any]:
        """Return an alarm as the release's template has it: with the number of the new version in its dimensions."""
        dimensions = {item["Name"]: item["Value"] for item in alarm["Dimensions"]}
        function = dimensions.get("FunctionName") or self._by_service.get(dimensions.get("service", ""), "")
        if function in self._new:
            dimensions |= {name: self._new[function] for name in VERSION_DIMENSIONS if name in dimensions}
        return {**alarm, "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()]}
