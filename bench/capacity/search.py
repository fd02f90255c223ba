"""The calls a second that 50 users get answered within 250 ms (p95), searched for on two clouds in turn.

The search is the readiness report's, up and down: after a turn that was answered in time the users call faster, after
another one more slowly. Both clouds have a turn in each round, and begin it alternately; never are both under load.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.capacity.clouds import LoadedCloud
from bench.capacity.users import make_intervals, run_users
from bench.measured import describe_estimate
from stress.estimates import TooFewSamples
from stress.model import Estimate
from stress.scenarios.capacity_curves import LoadSearch, estimate_load_ratio

USERS = 50
P95_MS = 250.0
FIRST_RATE = 60.0  # calls a second: what was measured on 26 November 2026
TURN_S = 3.5


async def search_rates(
    clouds: Sequence[LoadedCloud],
    dice: random.Random,
    *,
    limit_s: float,
    rounds: int,
    report: Callable[[str], None],
) -> dict[str, LoadSearch]:
    """Return the search of each cloud by its name; no round begins that would end after the limit."""
    clock, longest = clouds[0].generator.clock, 0.0
    searches = {each.name: LoadSearch(FIRST_RATE, P95_MS) for each in clouds}
    until = clock.read_now() + limit_s
    for number in range(rounds):
        began = clock.read_now()
        if number and began + longest > until:
            break
        for loaded in clouds if number % 2 == 0 else reversed(clouds):
            search = searches[loaded.name]
            report(f"{loaded.name}: {USERS} users, {search.load:.0f} calls a second")
            await _run_trial(loaded, search, dice.getrandbits(32))
        longest = max(longest, clock.read_now() - began)
    return searches


async def _run_trial(loaded: LoadedCloud, search: LoadSearch, seed: int) -> None:
    """Let the users call at the search's rate, and note how that went."""
    pacing = make_intervals(USERS, search.load)
    first_s = 2 * USERS / search.load
    samples = await run_users(
        loaded.generator, loaded.calls, pacing, users=USERS, first_s=first_s, seconds=TURN_S, seed=seed
    )
    search.note(samples)
    await loaded.wait_until_rested()


def describe_searches(searches: Mapping[str, LoadSearch], present: str, earlier: str) -> dict[str, Any]:
    """Return both rates and their ratio for the file; None for what was not found."""
    ratio = estimate_load_ratio(searches[present], searches[earlier])
    return {
        "users": USERS,
        "p95_ms": P95_MS,
        "present": describe_search(searches[present]),
        "earlier": describe_search(searches[earlier]),
        "ratio": None if isinstance(ratio, TooFewSamples) else describe_estimate(ratio),
    }


def describe_search(search: LoadSearch) -> dict[str, Any]:
    """Return what a search has found, and its turns."""
    found = search.estimate()
    turns = [
        {"rate": round(trial.load, 1), "failed": round(trial.failed_share, 4), "p95_ms": round(trial.p95_ms, 1)}
        for trial in search.trials
    ]
    return {"rate": describe_estimate(found) if isinstance(found, Estimate) else None, "turns": turns}
