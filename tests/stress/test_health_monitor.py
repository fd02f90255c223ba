"""The watch on the deep health check, before a server that says what a test wants."""

import asyncio

import aiohttp
import pytest
from aiohttp import web

from stress import health_monitor
from stress.call_factory import CallFactory
from stress.health_monitor import HealthMonitor, HealthSample
from tests.stress.servers import LoadGeneratorSetup, respond_problem, run_setup, wait_until

REPORT = {"status": "healthy", "checks": {"email": {"circuit": "open"}, "database": {"connected": True}}}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten looks a second."""
    monkeypatch.setattr(health_monitor, "EVERY_S", 0.1)


def make_monitor(setup: LoadGeneratorSetup) -> HealthMonitor:
    """Return a monitor of a server's."""
    return HealthMonitor(setup.generator.copy_for_scenario("health"), CallFactory(1))


def test_what_the_check_says_is_kept_as_it_was_said() -> None:
    """Each report has its time; an answer that is no report counts as none."""

    async def scenario() -> None:
        async with run_setup(
            lambda _: web.json_response(REPORT) if len(setup.requests) % 2 else respond_problem(429, "x")
        ) as setup:
            watch = make_monitor(setup)
            watch.start()
            await wait_until(lambda: len(watch.samples) >= 4)
            await watch.stop()
            first, second = watch.samples[:2]
            stopped = len(setup.requests)
            await asyncio.sleep(0.3)
            assert len(setup.requests) <= stopped + 1
        assert (first.status, first.report, first.read_circuit("email"), first.database) == (
            "healthy", REPORT, "open", {"connected": True})  # fmt: skip
        assert (second.status, second.report, second.read_circuit("email"), second.database) == (
            "no answer",
            {},
            "",
            {},
        )
        assert all(said.asked_s <= said.got_s for said in watch.samples)
        assert {sample.scenario for sample in setup.ledger.samples} == {"health"}

    asyncio.run(scenario())


def test_the_monitor_asks_on_while_nobody_answers_and_from_many_addresses() -> None:
    """A silent health check is asked as often as a quick one, and no address as often as its limit."""
    gate = asyncio.Event()

    async def answer(_request: web.BaseRequest) -> web.Response:
        await gate.wait()
        return web.json_response(REPORT)

    async def scenario() -> None:
        async with run_setup(answer) as setup:
            watch = make_monitor(setup)
            watch.start()
            await wait_until(lambda: len(setup.requests) >= health_monitor.ADDRESSES + 1)
            assert watch.samples == []
            gate.set()
            await watch.stop()
        addresses = [address for address, _ in setup.lines]
        assert len(set(addresses[: health_monitor.ADDRESSES])) == health_monitor.ADDRESSES

    asyncio.run(scenario())


def test_a_wait_ends_with_the_next_report_that_fits() -> None:
    """An earlier report does not end it; the wait returns None if none comes in time."""

    async def scenario() -> None:
        async with run_setup(lambda _: respond_problem(503, "x")) as setup:
            watch = make_monitor(setup)
            watch.samples.append(HealthSample(0, 0, "healthy", {}))
            assert await watch.wait_for_report(lambda said: said.status == "healthy", 0.15) is None
            waiting = asyncio.ensure_future(watch.wait_for_report(lambda said: said.status == "healthy", 10))
            await asyncio.sleep(0)
            after = HealthSample(1, 1, "healthy", {"checks": {}})
            watch.samples += [HealthSample(1, 1, "unhealthy", {}), after]
            assert await waiting is after

    asyncio.run(scenario())


def test_the_monitor_notes_when_somebody_waits_for_a_connection() -> None:
    """A look that fails, as the proxy's control port may, ends nothing."""
    looks = iter([0, 3, -1, 2])

    async def count_waiting() -> int:
        found = next(looks, 0)
        if found < 0:
            raise aiohttp.ClientConnectionError
        return found

    async def scenario() -> None:
        async with run_setup(lambda _: web.json_response(REPORT)) as setup:
            generator = setup.generator.copy_for_scenario("health")
            watch = HealthMonitor(generator, CallFactory(1), count_waiting)
            watch.start()
            await wait_until(lambda: len(watch.full_pool_s) == 2)
            await watch.stop()
        first, second = watch.full_pool_s
        assert watch.began_s < first < second

    asyncio.run(scenario())
