"""The emulator's alarms, read and copied in AWS's JSON protocol: the emulator does not read boto3's binary one.

It evaluates an alarm whenever a metric is put, by one statistic over all of Period x EvaluationPeriods: one bad report
sets it off, and the first good report after that time resets it.
"""

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
        page: dict[str, Any] = {"NextToken": None}
        while "NextToken" in page:
            page = await self._call("DescribeAlarms", NextToken=page["NextToken"])
            for alarm in page["MetricAlarms"]:
                if alarm["MetricName"] == metric:
                    return dict(alarm)
        raise LookupError(metric)

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
