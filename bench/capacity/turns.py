"""Turns of users: some users call for some seconds, what is answered is counted, and the jobs of it are waited for."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.capacity.clouds import LoadedCloud
from bench.capacity.processor_time import read_processor_time, subtract_times
from bench.capacity.users import MOST_PAUSE_S, Pacing, make_pauses, run_users
from stress.ledger import CallSample

LEVELS = (1, 2, 5, 10, 20, 50, 100, 150, 200)
RAMP_S = 0.9  # until each user has made a call; not counted
WINDOW_S = 2.5
# What became of a call. Anything else is neither done nor refused with a moment to come again.
SERVED, TOO_MANY, UNAVAILABLE, OTHER = OUTCOMES = ("served", "429", "503", "other")
REFUSALS = (429, 503)
WARM_S = 3.0
STEADY_TURNS = 2  # in which no environment was added: then there are as many as this load needs
FUNCTIONS = ("AgentsFunction", "MembersFunction", "ClaimsFunction", "HealthFunction")


@dataclass(frozen=True)
class MeasuredTurn:
    """All calls of a turn, the window within which answers count, and the processor time until all jobs were done."""

    users: int
    from_s: float
    window_s: float
    calls: Sequence[CallSample]
    processor_s: Mapping[str, float] = field(default_factory=dict)

    @property
    def answered(self) -> list[CallSample]:
        """Return the calls that were answered within the window."""
        return [sample for sample in self.calls if self.from_s <= sample.done_s < self.from_s + self.window_s]

    def count_outcomes(self) -> Counter[str]:
        """Return how many calls had each outcome."""
        return Counter(name_outcome(sample) for sample in self.answered)

    @property
    def goodput(self) -> float:
        """Return the calls served a second."""
        return self.count_outcomes()[SERVED] / self.window_s


def name_outcome(sample: CallSample) -> str:
    """Return what became of a call."""
    if sample.is_accepted:
        return SERVED
    return str(sample.status) if sample.status in REFUSALS else OTHER


async def run_turn(loaded: LoadedCloud, users: int, dice: random.Random) -> MeasuredTurn:
    """Run one turn of users with the usual pauses, and wait for its jobs."""
    clock = loaded.generator.clock
    before, began = await asyncio.to_thread(read_processor_time, loaded.cloud), clock.read_now()
    calls = await run_users(
        loaded.generator,
        loaded.calls,
        make_pauses(),
        users=users,
        first_s=MOST_PAUSE_S,
        seconds=RAMP_S + WINDOW_S,
        seed=dice.getrandbits(32),
    )
    await loaded.wait_until_rested()
    after = await asyncio.to_thread(read_processor_time, loaded.cloud)
    return MeasuredTurn(users, began + RAMP_S, WINDOW_S, calls, subtract_times(after, before))


async def run_rounds(
    loaded: LoadedCloud,
    dice: random.Random,
    *,
    levels: Sequence[int],
    limit_s: float,
    rounds: int,
    report: Callable[[str], None],
) -> list[list[MeasuredTurn]]:
    """Return rounds with a turn of each number of users, in another order each; none that would end after the limit."""
    clock, found, longest = loaded.generator.clock, list[list[MeasuredTurn]](), 0.0
    until = clock.read_now() + limit_s
    while len(found) < rounds and (not found or clock.read_now() + longest < until):
        order, began, turns = list(levels), clock.read_now(), list[MeasuredTurn]()
        dice.shuffle(order)
        for users in order:
            report(f"round {len(found) + 1}: {users} users")
            turns.append(await run_turn(loaded, users, dice))
        found.append(sorted(turns, key=lambda turn: turn.users))
        longest = max(longest, clock.read_now() - began)
    return found


async def warm_up(
    loaded: LoadedCloud, pacing: Pacing, *, users: int, limit_s: float, seed: int, report: Callable[[str], None]
) -> int:
    """Run users until their number of calls needs no further environments; return how many there are."""
    clock, steady, ready = loaded.generator.clock, 0, 0
    until = clock.read_now() + limit_s
    while steady < STEADY_TURNS and clock.read_now() < until:
        report(f"{loaded.name}: warming up with {users} users, {ready} environments")
        await run_users(
            loaded.generator, loaded.calls, pacing, users=users, first_s=WARM_S / 2, seconds=WARM_S, seed=seed
        )
        found = await count_environments(loaded)
        steady, ready = (steady + 1 if found <= ready else 0), max(ready, found)
    await loaded.wait_until_rested()
    return ready


async def count_environments(loaded: LoadedCloud) -> int:
    """Return how many environments of the functions that answer the users there are."""
    return sum([len(await loaded.cloud.list_environments(function)) for function in FUNCTIONS])
