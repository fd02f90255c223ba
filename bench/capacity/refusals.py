"""Refusals on purpose, and what each said: a burst beyond API Gateway's throttle (429), a database that is away (503).

Users who wait for their answers may never be refused; then nobody would have seen whether a refusal says when to come
again.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from bench.capacity.clouds import LoadedCloud
from bench.capacity.turns import REFUSALS
from stress.ledger import CallSample, count_answers
from stress.scenarios.compared_systems import is_unexplained

BURST = 80  # at one instant; the stage lets 50 of a method through, and 50 more a second
AWAY = 10
BACK_S = 30.0  # for the first read that is answered again
POLL_S = 0.2


async def cause_refusals(loaded: LoadedCloud) -> list[CallSample]:
    """Return the answers to a burst, and to calls while the database takes no connection."""
    throttled = await loaded.generator.send_burst(loaded.calls.make_own_record_reads(BURST))
    await asyncio.sleep(1.0)  # until the stage lets ten through again
    cloud = loaded.cloud
    await cloud.control_database("PUT", "/listening", {"listening": False})
    try:
        await cloud.control_database("POST", "/cut")
        away = await loaded.generator.send_burst(loaded.calls.make_own_record_reads(AWAY))
    finally:
        await cloud.control_database("PUT", "/listening", {"listening": True})
    await _wait_until_back(loaded)
    return [*throttled, *away]


async def _wait_until_back(loaded: LoadedCloud) -> None:
    clock = loaded.generator.clock
    until = clock.read_now() + BACK_S
    while clock.read_now() < until:
        [call] = loaded.calls.make_own_record_reads(1)
        if (await loaded.generator.send(call)).is_accepted:
            return
        await asyncio.sleep(POLL_S)


def describe_refusals(samples: Iterable[CallSample]) -> dict[str, Any]:
    """Return how many calls were refused, how many refusals named no moment, and what else was answered."""
    found = list(samples)
    by_status = {str(status): [s for s in found if s.status == status] for status in REFUSALS}
    return {
        **{name: len(refused) for name, refused in by_status.items()},
        "without_retry_after": sum(s.retry_after_s is None for refused in by_status.values() for s in refused),
        "unexplained": count_answers(s for s in found if is_unexplained(s)),
    }
