"""Users in a closed loop: each makes a call, waits for the answer, pauses, and makes the next.

The generator sends each call when it is due; here the next one is due only after an answer. So an overloaded service is
asked less, as people ask it less. Whoever is refused waits as long as Retry-After says, and pauses after that as usual.
"""

import asyncio
import math
import random
from collections.abc import Callable, Sequence
from typing import Protocol

from stress.ledger import CallSample, PlannedCall
from stress.load_generator import LoadGenerator, disable_garbage_collection

# Half the pause of the readiness report's users: then the knee, and three times its users, lie within two hundred.
MOST_PAUSE_S = 0.8

Pacing = Callable[[CallSample, float], float]  # the last answer and a random share: when the next call is due


class CallMaker(Protocol):
    """Whoever makes the users' calls."""

    def make_call(self) -> PlannedCall:
        """Return the next call."""
        ...


def make_pauses(most_s: float = MOST_PAUSE_S) -> Pacing:
    """Return the pacing of people: a pause between none and `most_s` after each answer."""

    def choose_next(sample: CallSample, share: float) -> float:
        return sample.done_s + (sample.retry_after_s or 0.0) + most_s * share

    return choose_next


def make_intervals(users: int, rate: float) -> Pacing:
    """Return the pacing by which all users together make `rate` calls a second, as long as answers come in time.

    From one call to the next it takes a random time, counted from when the first was due, but no user makes two calls
    at a time.
    """
    most_s = 2 * users / rate

    def choose_next(sample: CallSample, share: float) -> float:
        return max(sample.done_s + (sample.retry_after_s or 0.0), sample.meant_s + most_s * share)

    return choose_next


async def run_users(
    generator: LoadGenerator, calls: CallMaker, pacing: Pacing, *, users: int, first_s: float, seconds: float, seed: int
) -> list[CallSample]:
    """Run users for some seconds; return all samples.

    They begin as if they had been calling for long: `first_s` is the longest pause, and each has some of it behind.
    """
    dice, now = random.Random(seed), generator.clock.read_now()
    starts = [now + first_s * (1 - math.sqrt(dice.random())) for _ in range(users)]
    seeds = [dice.getrandbits(32) for _ in range(users)]
    with disable_garbage_collection():
        found: Sequence[list[CallSample]] = await asyncio.gather(
            *(
                _run_user(generator, calls, pacing, due, now + seconds, random.Random(own))
                for due, own in zip(starts, seeds, strict=True)
            )
        )
    return [sample for of_user in found for sample in of_user]


async def _run_user(
    generator: LoadGenerator, calls: CallMaker, pacing: Pacing, due: float, until: float, dice: random.Random
) -> list[CallSample]:
    made = []
    while due < until:
        made.append(await generator.send(calls.make_call(), due))
        due = pacing(made[-1], dice.random())
    return made
