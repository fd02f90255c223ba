"""The emulator's alarms, read and copied in AWS's JSON protocol: the emulator does not read boto3's binary one.

It evaluates an alarm whenever a metric is put, by one statistic over all of Period x EvaluationPeriods: one bad report
sets it off, and the first good report after that time resets it.
"""

import time
from typing import Any

import aiohttp

TARGET = "GraniteServiceVersion20100801"
TYPE = "application/x-amz-json-1.0"
KEPT = ("Namespace", "MetricName", "Dimensions", "Statistic", "EvaluationPeriods", "DatapointsToAlarm", "Threshold",
        "ComparisonOperator", "TreatMissingData")  # fmt: skip


class AlarmReader:
    """The alarms at an endpoint."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint

    async def find_alarm(self, metric: str) -> dict[str, Any]:
        """Return the alarm on a metric. Raise LookupError."""
        for alarm in await self.list_alarms():
            if alarm["MetricName"] == metric:
                return alarm
        raise LookupError(metric)

    async def list_alarms(self) -> list[dict[str, Any]]:
        """Return all alarms on metrics."""
        found: list[dict[str, Any]] = []
        page: dict[str, Any] = {"NextToken": None}
        while "NextToken" in page:
            page = await self._call("DescribeAlarms", NextToken=page["NextToken"])
            found += page["MetricAlarms"]
        return found

    async def list_composites(self) -> list[dict[str, Any]]:
        """Return all alarms on other alarms."""
        found: list[dict[str, Any]] = (await self._call("DescribeAlarms", AlarmTypes=["CompositeAlarm"]))[
            "CompositeAlarms"
        ]
        return found

    async def read_values(self, alarm: dict[str, Any], since: float, period_s: int) -> dict[int, float]:
        """Return the statistic of an alarm's metric in each period since a time in epoch seconds, by its number."""
        statistic = str(alarm.get("ExtendedStatistic") or alarm["Statistic"])
        is_percentile = statistic.startswith("p")
        answer = await self._call(
            "GetMetricStatistics",
            Namespace=alarm["Namespace"],
            MetricName=alarm["MetricName"],
            Dimensions=alarm.get("Dimensions", []),
            StartTime=since,
            EndTime=time.time() + period_s,
            Period=period_s,
            **{"ExtendedStatistics" if is_percentile else "Statistics": [statistic]},
        )
        points = [(point, point["ExtendedStatistics"] if is_percentile else point) for point in answer["Datapoints"]]
        return {int(float(point["Timestamp"]) // period_s): float(values[statistic]) for point, values in points}

    async def copy_alarm(self, alarm: dict[str, Any], name: str, period_s: int) -> None:
        """Create a copy of an alarm that is judged by shorter periods."""
        kept = {key: alarm[key] for key in KEPT if alarm.get(key) is not None}
        await self._call("PutMetricAlarm", AlarmName=name, Period=period_s, **kept)

    async def read_state(self, name: str) -> str:
        """Return OK, ALARM or INSUFFICIENT_DATA."""
        return str((await self._call("DescribeAlarms", AlarmNames=[name]))["MetricAlarms"][0]["StateValue"])

    async def _call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        headers = {"X-Amz-Target": f"{TARGET}.{operation}", "Content-Type": TYPE}
        async with (
            aiohttp.ClientSession(raise_for_status=True) as session,
            session.post(f"{self._endpoint}/", json=parameters, headers=headers) as reply,
        ):
            found: dict[str, Any] = await reply.json(content_type=None) or {}
        return found
