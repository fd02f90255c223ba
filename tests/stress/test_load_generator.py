"""The load generator before a real server: it keeps its own time, and says so where it did not."""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from dataclasses import replace
from itertools import cycle, pairwise
from statistics import fmean
from typing import Any

import pytest
from aiohttp import web

from stress import load_generator
from stress.call_factory import CallFactory
from stress.ledger import CallLedger, CallSample
from stress.load_generator import run_limited
from stress.processes import find_free_port
from tests.stress.calls import make_call
from tests.stress.servers import (
    LoadGeneratorSetup,
    cut_connection,
    respond_created,
    respond_problem,
    run_setup,
    wait_until,
)


@pytest.fixture
def people() -> CallFactory:
    """Callers with addresses of their own."""
    return CallFactory(1)


def run(work: Coroutine[Any, Any, None]) -> None:
    """A test's coroutine, to its end."""
    asyncio.run(asyncio.wait_for(work, 60))


async def open_gate_once(gate: asyncio.Event, holds: Callable[[], bool]) -> None:
    """Open a gate once something holds."""
    await wait_until(holds)
    gate.set()


def test_a_latency_counts_from_the_meant_moment_to_the_answer() -> None:
    """A server that takes its time is slow, and the generator was not late."""

    async def answer(_request: web.BaseRequest) -> web.Response:
        await asyncio.sleep(0.2)
        return respond_created(id="7")

    async def scenario() -> None:
        async with run_setup(answer) as setup:
            sample = await setup.generator.send(make_call(wanted=(201,)))
        assert sample.latency_ms >= 200
        assert sample.lag_ms < sample.latency_ms / 2
        assert (sample.status, sample.record, sample.is_expected, sample.attempt) == (201, {"id": "7"}, True, 1)

    run(scenario())


def test_a_stalled_generator_makes_its_own_calls_slow_never_fast(people: CallFactory) -> None:
    """The stall is in the lag and in the latency of each call that was due in it, though the server was quick."""

    async def scenario() -> None:
        async with run_setup(lambda _: respond_created()) as setup:
            setup.generator.stall(0.3)
            stalled = await setup.generator.send_burst([people.make_read("read", "/") for _ in range(20)])
            after = await setup.generator.send(make_call())
        assert min(sample.lag_ms for sample in stalled) >= 250
        assert min(sample.latency_ms for sample in stalled) >= 250
        assert after.latency_ms < min(sample.latency_ms for sample in stalled)

    run(scenario())


def test_a_call_whose_moment_has_passed_is_late_from_that_moment() -> None:
    """Its lag does not begin when it could be sent at last."""

    async def scenario() -> None:
        async with run_setup(lambda _: respond_created()) as setup:
            await asyncio.sleep(0.2)
            sample = await setup.generator.send(make_call(), at=0.0)
        assert sample.meant_s == 0.0
        assert sample.latency_ms >= sample.lag_ms >= 200

    run(scenario())


def test_a_burst_is_meant_for_one_instant_and_is_there_before_any_answer(people: CallFactory) -> None:
    """Fifty are at the server together: nobody is answered until all have come."""
    gate = asyncio.Event()

    async def answer(_request: web.BaseRequest) -> web.Response:
        await gate.wait()
        return respond_created()

    async def scenario() -> None:
        async with run_setup(answer) as setup:
            samples, _ = await asyncio.gather(
                setup.generator.send_burst([people.make_registration() for _ in range(50)]),
                open_gate_once(gate, lambda: len(setup.requests) == 50),
            )
        assert len({sample.meant_s for sample in samples}) == 1
        spread = (max(s.sent_s for s in samples) - min(s.sent_s for s in samples)) * 1000
        assert spread <= max(sample.lag_ms for sample in samples)
        assert all(sample.lag_ms >= 0 for sample in samples)

    run(scenario())


def test_arrivals_do_not_wait_for_answers() -> None:
    """All are sent while the server answers none."""
    gate = asyncio.Event()

    async def answer(_request: web.BaseRequest) -> web.Response:
        await gate.wait()
        return respond_created()

    async def scenario() -> None:
        async with run_setup(answer) as setup:
            samples, _ = await asyncio.gather(
                setup.generator.send_at_random([make_call(key=str(n)) for n in range(100)], 400.0, 1),
                open_gate_once(gate, lambda: len(setup.requests) == 100 and setup.ledger.samples == []),
            )
        assert {sample.status for sample in samples} == {201}
        assert sorted(setup.keys, key=str) == sorted(map(str, range(100)))

    run(scenario())


def test_arrivals_come_at_random_moments_at_their_rate() -> None:
    """Gaps of a Poisson process: their mean is 1 / rate, and they spread as much; a seed repeats them."""

    async def measure_gaps(setup: LoadGeneratorSetup, seed: int) -> list[float]:
        samples = await setup.generator.send_at_random([make_call(key=str(n)) for n in range(300)], 1000.0, seed)
        meant = [sample.meant_s for sample in samples]
        return [after - before for before, after in pairwise(meant)]

    async def scenario() -> None:
        async with run_setup(lambda _: respond_created()) as setup:
            first, again, other = (
                await measure_gaps(setup, 1),
                await measure_gaps(setup, 1),
                await measure_gaps(setup, 2),
            )
        mean = fmean(first)
        assert mean == pytest.approx(0.001, rel=0.25)
        assert fmean((gap - mean) ** 2 for gap in first) ** 0.5 == pytest.approx(mean, rel=0.35)
        assert again == pytest.approx(first, abs=1e-9)
        assert other != pytest.approx(first, abs=1e-9)

    run(scenario())


def test_a_call_comes_from_the_address_it_names(people: CallFactory) -> None:
    """Each client a line of its own, kept for its next call."""

    async def scenario() -> None:
        async with run_setup(lambda _: respond_created()) as setup:
            calls = [people.make_registration() for _ in range(5)]
            for made in [*calls, *calls]:
                await setup.generator.send(made)
        assert [address for address, _ in setup.lines] == [made.client for made in calls] * 2
        assert len(set(setup.lines)) == 5

    run(scenario())


def test_a_call_is_sent_as_it_was_made() -> None:
    """Method, path, body, key, token, headers; without them nothing stands in."""
    said: list[tuple[str, str, bytes, dict[str, str | None]]] = []
    names = ("Idempotency-Key", "Authorization", "If-Match", "Content-Type", "Cookie")

    async def answer(request: web.BaseRequest) -> web.Response:
        found = {name: request.headers.get(name) for name in names}
        said.append((request.method, request.path_qs, await request.read(), found))
        return web.json_response({}, headers={"Set-Cookie": "who=me; Path=/"})

    async def scenario() -> None:
        async with run_setup(answer) as setup:
            made = make_call(path="/a?b=c", method="PATCH", body={"x": "é"}, token="t", headers={"If-Match": '"1"'})
            await setup.generator.send(made)
            await setup.generator.send(make_call(method="GET", path="/", key=None))

    run(scenario())
    full = {"Idempotency-Key": "key-register", "Authorization": "Bearer t", "If-Match": '"1"'}
    assert said[0][:2] == ("PATCH", "/a?b=c")
    assert said[0][2] in ('{"x": "é"}'.encode(), b'{"x": "\\u00e9"}')
    assert said[0][3] == {**full, "Content-Type": "application/json", "Cookie": None}
    assert said[1] == ("GET", "/", b"", dict.fromkeys(names))


def test_a_dead_port_is_an_answer_of_none() -> None:
    """It raises nothing, and is a sample like any other."""

    async def scenario() -> None:
        async with run_setup(lambda _: respond_created()) as setup:
            setup.generator.api = f"http://127.0.0.1:{find_free_port()}"
            sample = await setup.generator.send(make_call())
        assert (sample.status, sample.is_accepted, sample.is_expected, sample.record) == (0, False, False, None)
        assert "Connect" in sample.problem
        assert setup.ledger.samples == setup.heard == [sample]

    run(scenario())


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_lost_connection_is_an_answer_of_none_and_nothing_is_repeated_unseen(method: str) -> None:
    """This holds on a new connection and on a used one, on which a client might quietly try again."""
    turns = cycle([respond_created, cut_connection, cut_connection])

    async def scenario() -> None:
        async with run_setup(
            lambda request: cut_connection(request) if next(turns) is cut_connection else respond_created()
        ) as setup:
            samples = [await setup.generator.send(make_call(method=method)) for _ in range(3)]
        assert [sample.status for sample in samples] == [201, 0, 0]
        assert len(setup.requests) == 3

    run(scenario())


def test_a_server_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The generator gives up after its own limit."""
    monkeypatch.setattr(load_generator, "TIMEOUT_S", 0.1)
    gate = asyncio.Event()

    async def answer(_request: web.BaseRequest) -> web.Response:
        await gate.wait()
        return respond_created()

    async def scenario() -> None:
        async with run_setup(answer) as setup:
            sample = await setup.generator.send(make_call())
            gate.set()
        assert (sample.status, sample.latency_ms >= 100) == (0, True)

    run(scenario())


@pytest.mark.parametrize("status", [301, 303, 307])
def test_an_answer_that_leads_elsewhere_is_the_answer(status: int) -> None:
    """A sample is one call and its own answer."""

    async def scenario() -> None:
        elsewhere = {"Location": "/elsewhere"}
        async with run_setup(lambda _: web.Response(status=status, headers=elsewhere)) as setup:
            sample = await setup.generator.send(make_call())
        assert (sample.status, len(setup.requests)) == (status, 1)

    run(scenario())


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (
            lambda: respond_problem(429, "too-many-requests", **{"Retry-After": "12"}),
            (429, "too-many-requests", 12.0, False),
        ),
        (lambda: respond_problem(409, "email-taken"), (409, "email-taken", None, False)),
        (lambda: web.Response(status=502, text="<html>"), (502, "", None, False)),
        (lambda: web.json_response(["a list"]), (200, "", None, False)),
        (
            lambda: web.json_response({"type": "urn:x:y"}, headers={"Idempotency-Replayed": "true"}),
            (200, "", None, True),
        ),
        (lambda: web.Response(status=204), (204, "", None, False)),
    ],
)
def test_an_answer_is_read_as_it_is(reply: Any, expected: tuple[int, str, float | None, bool]) -> None:
    """A problem by its name, what is no JSON object as none."""

    async def scenario() -> None:
        async with run_setup(lambda _: reply()) as setup:
            sample = await setup.generator.send(make_call())
        assert (sample.status, sample.problem, sample.retry_after_s, sample.replayed) == expected

    run(scenario())


FAILED = {
    "503": lambda _: respond_problem(503, "unavailable"),
    "502": lambda _: web.Response(status=502),
    "500": lambda _: respond_problem(500, "internal"),
    "504": lambda _: web.Response(status=504),
    "a lost line": cut_connection,
    "still running": lambda _: respond_problem(409, "request-in-progress"),
}


@pytest.mark.parametrize("reply", FAILED.values(), ids=FAILED)
def test_a_patient_client_repeats_with_the_same_key_until_it_has_an_answer(
    reply: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt is a sample."""
    monkeypatch.setattr(load_generator, "RETRY_AFTER_S", 0.01)

    async def scenario() -> None:
        async with run_setup(lambda request: reply(request) if len(setup.requests) < 3 else respond_created()) as setup:
            sample = await setup.generator.insist(make_call(key="one"))
        assert (sample.status, sample.attempt, setup.keys) == (201, 3, ["one"] * 3)
        assert [each.attempt for each in setup.ledger.samples] == [1, 2, 3]

    run(scenario())


@pytest.mark.parametrize(("status", "name"), [(409, "email-taken"), (429, "too-many-requests"), (412, "x"), (422, "x")])
def test_a_refusal_is_an_answer(status: int, name: str) -> None:
    """It is not asked again."""

    async def scenario() -> None:
        async with run_setup(lambda _: respond_problem(status, name)) as setup:
            sample = await setup.generator.insist(make_call())
        assert (sample.status, len(setup.requests)) == (status, 1)

    run(scenario())


def test_a_patient_client_comes_back_when_retry_after_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for Retry-After, however long that is; without one it waits for its own pause."""
    monkeypatch.setattr(load_generator, "RETRY_AFTER_S", 0.01)
    replies = [respond_problem(503, "x", **{"Retry-After": "1"}), respond_problem(503, "x"), respond_created()]

    async def scenario() -> None:
        async with run_setup(lambda _: replies[len(setup.requests) - 1]) as setup:
            await setup.generator.insist(make_call())
        first, second, third = setup.ledger.samples
        assert second.sent_s - first.done_s >= 1.0
        assert third.sent_s - second.done_s < second.sent_s - first.done_s

    run(scenario())


def test_patience_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last sample is then what came of it."""
    monkeypatch.setattr(load_generator, "RETRY_AFTER_S", 0.01)

    async def scenario() -> None:
        async with run_setup(lambda _: respond_problem(503, "unavailable")) as setup:
            sample = await setup.generator.insist(make_call(), within_s=0.1)
        assert sample.status == 503
        assert sample == setup.ledger.samples[-1]
        assert len(setup.ledger.samples) == len(setup.requests) >= 2

    run(scenario())


def test_samples_are_noted_once_each_under_the_scenario_that_made_them() -> None:
    """Over lines that all of them share; a stall is of one scenario alone."""

    async def scenario() -> None:
        async with run_setup(lambda _: respond_created()) as setup:
            pool, agents = setup.generator.copy_for_scenario("pool"), setup.generator.copy_for_scenario("agents")
            pool.stall(0.2)
            sent = [await each.send(make_call(key=each.scenario)) for each in (setup.generator, agents, pool, agents)]
        assert [sample.scenario for sample in sent] == ["setup", "agents", "pool", "agents"]
        assert setup.ledger.samples == setup.heard == sent
        assert setup.ledger.list_samples("agents") == [sent[1], sent[3]]
        assert len(set(setup.lines)) == 1
        assert max(sent, key=lambda sample: sample.lag_ms) is sent[2]

    run(scenario())


def test_work_runs_a_limited_number_at_a_time_and_keeps_its_order() -> None:
    """It never runs more at once, and it does reach the number."""
    busy, most = 0, 0

    async def send_piece(n: int) -> int:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(0)
        busy -= 1
        return n

    async def scenario() -> None:
        done = await run_limited([lambda n=n: send_piece(n) for n in range(20)], 3)  # type: ignore[misc]
        assert done == list(range(20))

    run(scenario())
    assert most == 3


def test_lag_and_latency_are_of_the_same_moment() -> None:
    """Both count from when the call was due, so a call is never faster than it was late."""
    sample = CallSample("pool", make_call(), 1.0, 1.25, 2.0, 201)
    assert (sample.lag_ms, sample.latency_ms) == (250, 1000)
    assert replace(sample, status=200).is_accepted
    assert not replace(sample, status=204).is_accepted


def test_the_connections_of_a_burst_are_open_before_its_instant(people: CallFactory) -> None:
    """A client of a burst has connected before any call of it is sent, also where one client makes several."""
    shared = people.make_client_address()
    calls = [
        *(people.make_registration() for _ in range(10)),
        *(people.make_registration(client=shared) for _ in range(5)),
    ]
    events: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        events.append("connected")
        await reader.readuntil(b"\r\n\r\n")
        events.append("called")
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        writer.close()

    async def scenario() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=64)
        async with server:
            origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            generator = load_generator.LoadGenerator(origin, CallLedger(), load_generator.RunClock(), lambda _: None)
            samples = await generator.send_burst(calls)
            await generator.close()
        assert [sample.status for sample in samples] == [201] * len(calls)
        assert events == ["connected"] * len(calls) + ["called"] * len(calls)

    run(scenario())


def test_no_garbage_is_collected_while_a_burst_is_sent(people: CallFactory) -> None:
    """The collector rests from before the instant until all have answered, and works again afterwards."""
    seen: list[bool] = []

    def answer(_request: web.BaseRequest) -> web.Response:
        seen.append(gc.isenabled())
        return respond_created()

    async def scenario() -> None:
        async with run_setup(answer) as setup:
            await setup.generator.send_burst([people.make_registration() for _ in range(3)])
        assert seen == [False] * 3
        assert gc.isenabled()

    run(scenario())
