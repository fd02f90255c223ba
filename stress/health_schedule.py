"""The health function's schedule, run faster: the alarms see only what the schedule's own runs report.

Deployed it runs every minute; within this block once a second, for alarms whose periods are shortened as well.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp

from stress.local_target import LocalCloud
from stress.repeating import repeat_within

REPORT_S = 1.0
# EventBridge's event; an invocation without a qualifier goes to what the alias `live` names.
EVENT = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}


@asynccontextmanager
async def report_every_second(cloud: LocalCloud) -> AsyncIterator[None]:
    """Invoke the health function once a second within the block, as its schedule does."""

    async def report() -> None:
        with suppress(aiohttp.ClientError, TimeoutError, ValueError):
            await cloud.invoke("HealthFunction", EVENT)

    async with repeat_within(report, every_s=REPORT_S):
        yield
