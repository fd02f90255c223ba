"""Users in a closed loop on a small real server that sheds load, refuses everybody when it is busy, or forgets when.

Only counts and shapes are asserted, no times.
"""

import asyncio
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import web

from bench.capacity.figures import LEAST_KEPT, judge_estimate
from bench.capacity.knee import describe_curve
from bench.capacity.refusals import describe_refusals
from bench.capacity.results import build_curve
from bench.capacity.turns import MeasuredTurn
from bench.capacity.user_mix import SHARES, UserCalls
from bench.capacity.users import CallMaker, make_intervals, make_pauses, run_users
from bench.measured import describe_estimate
from stress.call_factory import CallFactory
from stress.fixtures import SignedInUser
from stress.ledger import PlannedCall
from stress.scenarios import capacity
from stress.scenarios.compared_systems import REFUSABLE
from tests.stress.servers import LoadGeneratorSetup, respond_problem, run_setup

USERS = (1, 2, 5, 10, 20, 40, 60)
ROUNDS = 3
MOST_PAUSE_S = 0.2
RAMP_S, WINDOW_S = 0.2, 0.5
RATE = 80.0  # calls a second that the server serves
LOOK_BACK_S = 0.2


class Reads(CallMaker):
    """Reads of one client."""

    def make_call(self) -> PlannedCall:
        return PlannedCall("own member", "GET", "/members/me", "127.20.0.1", wanted=REFUSABLE)


@dataclass
class LimitedServer:
    """A server with a limit. It refuses what is beyond it, or, if it `collapses`, everybody while there is too much."""

    collapses: bool = False
    says_when: bool = True
    _next_s: float = 0.0
    _seen: deque[float] = field(default_factory=deque)

    def answer(self, _request: web.BaseRequest) -> web.Response:
        now = time.perf_counter()
        self._seen.append(now)
        while self._seen[0] < now - LOOK_BACK_S:
            self._seen.popleft()
        is_refused = len(self._seen) > RATE * LOOK_BACK_S * 1.5 if self.collapses else self._next_s > now + 0.05
        if is_refused:
            return respond_problem(503, "unavailable", **({"Retry-After": "0"} if self.says_when else {}))
        self._next_s = max(self._next_s, now) + 1 / RATE
        return web.json_response({"id": "1"})


async def run_turns(setup: LoadGeneratorSetup) -> list[list[MeasuredTurn]]:
    """Return a few rounds of turns."""
    rounds = []
    for number in range(ROUNDS):
        turns = []
        for users in USERS:
            began = setup.generator.clock.read_now()
            calls = await run_users(setup.generator, Reads(), make_pauses(MOST_PAUSE_S), users=users,
                                    first_s=MOST_PAUSE_S, seconds=RAMP_S + WINDOW_S, seed=number)  # fmt: skip
            turns.append(MeasuredTurn(users, began + RAMP_S, WINDOW_S, calls))
        rounds.append(turns)
    return rounds


def measure(server: LimitedServer) -> tuple[str, dict[str, Any]]:
    """Return the outcome of the bar beyond the knee, and what was refused."""

    async def measure_all() -> list[list[MeasuredTurn]]:
        async with run_setup(server.answer) as setup:
            return await run_turns(setup)

    rounds = asyncio.run(measure_all())
    found = describe_curve(build_curve(rounds), describe_estimate)
    outcome: str = judge_estimate("kept", found["kept_share"], LEAST_KEPT, "at least")["outcome"]
    return outcome, describe_refusals(call for turns in rounds for turn in turns for call in turn.calls)


def test_a_server_that_sheds_what_is_too_much_does_not_fail() -> None:
    outcome, refusals = measure(LimitedServer())
    assert outcome != "FAIL"
    assert refusals["503"] > 0
    assert (refusals["without_retry_after"], refusals["unexplained"]) == (0, {})


def test_a_server_that_refuses_everybody_when_it_is_busy_fails() -> None:
    outcome, refusals = measure(LimitedServer(collapses=True))
    assert outcome == "FAIL"
    assert refusals["without_retry_after"] == 0


def test_refusals_that_do_not_say_when_to_come_again_are_counted() -> None:
    _, refusals = measure(LimitedServer(says_when=False))
    assert refusals["without_retry_after"] == refusals["503"] > 0
    assert refusals["unexplained"] == {"503 unavailable": refusals["503"]}


# pacing


@pytest.fixture
def sample() -> Any:
    """Return an answer that took three seconds."""
    return SimpleNamespace(meant_s=10.0, done_s=13.0, retry_after_s=None)


def test_a_user_pauses_after_the_answer(sample: Any) -> None:
    choose_next = make_pauses(0.8)
    assert (choose_next(sample, 0.0), choose_next(sample, 0.5)) == (13.0, 13.4)


def test_a_refused_user_waits_until_the_moment_that_was_named(sample: Any) -> None:
    sample.retry_after_s = 2.0
    assert make_pauses(0.8)(sample, 0.5) == 15.4
    assert make_intervals(50, 50.0)(sample, 0.5) == 15.0


def test_paced_users_count_from_when_the_call_was_due_but_make_one_call_at_a_time(sample: Any) -> None:
    """Fifty users with five calls a second: one each in ten seconds, on average."""
    choose_next = make_intervals(50, 5.0)
    assert (choose_next(sample, 0.5), choose_next(sample, 1.0)) == (20.0, 30.0)
    assert choose_next(sample, 0.01) == 13.0


def test_no_user_makes_two_calls_at_a_time_and_all_are_answered() -> None:
    running, most = 0, 0

    async def answer(_request: web.BaseRequest) -> web.StreamResponse:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02)
        running -= 1
        return web.json_response({"id": "1"})

    async def run() -> int:
        async with run_setup(answer) as setup:
            made = await run_users(
                setup.generator, Reads(), make_pauses(0.0), users=5, first_s=0.1, seconds=0.4, seed=1
            )
            assert all(each.is_accepted for each in made)
            return len(made)

    assert asyncio.run(run()) >= 5
    assert most <= 5


# the mix


MEMBERS = [SignedInUser(str(n), f"m{n}@example.test", f"token-{n}", f"127.30.0.{n}", {}) for n in range(1, 8)]


class ScriptedDice:
    """Dice that give one share after another."""

    def __init__(self) -> None:
        self._numbers = iter(range(100))

    def random(self) -> float:
        return (next(self._numbers) + 0.5) / 100


def test_the_mix_is_that_of_the_readiness_reports_users() -> None:
    context, dice = cast("Any", SimpleNamespace(call_factory=CallFactory(1))), cast("Any", ScriptedDice())
    chosen = Counter(capacity._choose_next_call(context, MEMBERS[0], dice).operation for _ in range(100))
    assert chosen == SHARES


def test_calls_go_round_among_all_members_and_may_be_refused() -> None:
    stream = UserCalls(CallFactory(1), MEMBERS, seed=1)
    calls = [stream.make_call() for _ in range(1000)]
    claims = Counter(call.token for call in calls if call.operation == "claim")
    reads = Counter(call.client for call in calls if call.method == "GET")
    assert {call.wanted for call in calls} == {REFUSABLE}
    assert max(claims.values()) - min(claims.values()) <= 1
    assert max(reads.values()) - min(reads.values()) <= 1
    assert len({call.client for call in calls if call.operation in ("register", "apply")}) == sum(
        call.operation in ("register", "apply") for call in calls
    )


def test_the_same_seed_makes_the_same_operations() -> None:
    streams = [UserCalls(CallFactory(1), MEMBERS, seed) for seed in (1, 1, 2)]
    first, same, other = ([stream.make_call().operation for _ in range(50)] for stream in streams)
    assert first == same != other
