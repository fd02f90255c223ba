"""The emulator's alarms, in AWS's JSON protocol: it does not read the binary one that boto3 would use.

It judges an alarm whenever a metric is put, by one statistic over all of Period x EvaluationPeriods: one bad report
sets it off, and it goes back with the first good one once the last bad one is older than that.
"""

from typing import Any

import aiohttp

TARGET = "GraniteServiceVersion20100801"
TYPE = "application/x-amz-json-1.0"
KEPT = ("Namespace", "MetricName", "Dimensions", "Statistic", "EvaluationPeriods", "DatapointsToAlarm", "Threshold",
        "ComparisonOperator", "TreatMissingData")  # fmt: skip


class AlarmReader:
    """The alarms behind an endpoint."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint

    async def find_alarm(self, metric: str) -> dict[str, Any]:
        """The alarm on a metric. Raises LookupError."""
        for alarm in (await self._call("DescribeAlarms"))["MetricAlarms"]:
            if alarm["MetricName"] == metric:
                return dict(alarm)
        raise LookupError(metric)

    async def copy_alarm(self, alarm: dict[str, Any], name: str, period_s: int) -> None:
        """The same alarm once more, judged by shorter periods."""
        kept = {key: alarm[key] for key in KEPT if alarm.get(key) is not None}
        await self._call("PutMetricAlarm", AlarmName=name, Period=period_s, **kept)

    async def read_state(self, name: str) -> str:
        """OK, ALARM or INSUFFICIENT_DATA."""
        return str((await self._call("DescribeAlarms", AlarmNames=[name]))["MetricAlarms"][0]["StateValue"])

    async def _call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        headers = {"X-Amz-Target": f"{TARGET}.{operation}", "Content-Type": TYPE}
        async with (
            aiohttp.ClientSession(raise_for_status=True) as session,
            session.post(f"{self._endpoint}/", json=parameters, headers=headers) as reply,
        ):
            found: dict[str, Any] = await reply.json(content_type=None) or {}
        return found
