"""The checks of an environment's connection, on a simulated one whose time passes at once."""

import asyncio
import selectors
from itertools import count
from types import SimpleNamespace
from typing import Any, cast

import pytest

from stress.controls.model import FILE, read_controls
from stress.profiles import CONTROL
from stress.scenarios import pool_connections
from stress.scenarios.pool_connections import DEPLOYED, IDLE_S, JITTER, LIFETIME_S, SHORT_LIVED
from tests.stress.test_scenario_context import make_context

NEVER = float("inf")
DEPLOYED_IDLE = "Idle for more than the deployed 20 s it is another one"
EXPECTED = {each.name: each.expect for each in read_controls(FILE.read_text(encoding="utf-8"))}


class InstantSelector(selectors.SelectSelector):
    """Waits for nothing, and counts the seconds that it should have waited."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready now."""
        self.now += timeout or 0.0
        return super().select(0)


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop in which a sleep takes no time, and time goes on by it all the same."""

    def __init__(self) -> None:
        self._instant = InstantSelector()
        super().__init__(self._instant)

    def time(self) -> float:
        """Return the seconds slept so far."""
        return self._instant.now


class ConnectedEnvironment:
    """An environment with one connection, that keeps an idle limit and a lifetime, or doesn't."""

    def __init__(self, ports: "count[int]", idle_s: float, lifetime_s: float) -> None:
        self._ports = ports
        self._idle_s, self._lifetime_s = idle_s, lifetime_s
        self._opened = self._used = -NEVER
        self.port = self.calls = 0

    def call(self, now: float) -> None:
        """Use the connection; open another one first if there is a reason to."""
        if now - self._used >= self._idle_s or now - self._opened >= self._lifetime_s:
            self.port, self._opened = next(self._ports), now
        self._used, self.calls = now, self.calls + 1


def list_failed(monkeypatch: pytest.MonkeyPatch, shortened: tuple[float, float], idle_s: float) -> list[str]:
    """Return the checks that fail with these limits: idle and lifetime of the shortened one, idle of the others."""
    ports = count(40_000)
    deployed = idle_s, float(DEPLOYED["DB_MAX_LIFETIME"])
    environments = {
        name: ConnectedEnvironment(ports, *(shortened if name == SHORT_LIVED else deployed))
        for name in (SHORT_LIVED, "AgentsFunction", "MembersFunction")
    }
    called = {"jobs": SHORT_LIVED, "agents": "AgentsFunction", "members": "MembersFunction"}

    async def send(made: Any) -> None:
        await asyncio.sleep(0.02)
        environments[called[made.operation]].call(asyncio.get_running_loop().time())

    async def list_environments(_context: object, function: str) -> dict[int, Any]:
        found = environments[function]
        return {1: pool_connections._EnvironmentConnections(found.calls, frozenset({found.port}))}

    monkeypatch.setattr(pool_connections, "_list_environments", list_environments)
    context = make_context()
    assert context.profile is CONTROL  # what controls are run with
    clock = SimpleNamespace(read_now=lambda: asyncio.get_running_loop().time())
    context.generator = cast("Any", SimpleNamespace(send=send, clock=clock))
    context.fixtures = cast("Any", SimpleNamespace(admin="token"))
    context.progress = cast("Any", SimpleNamespace(note_step=lambda _text: None))
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        runner.run(pool_connections.check_replacement(context))
    assert len(context.checks) == 5
    return [check.name for check in context.checks if not check.passed]


@pytest.fixture(params=[1 - JITTER, 1.0], ids=["shortest", "longest"])
def lifetime_s(request: pytest.FixtureRequest) -> float:
    """Return what the lifetime may be in an environment."""
    return LIFETIME_S * float(request.param)


def test_limits_that_are_kept_pass(monkeypatch: pytest.MonkeyPatch, lifetime_s: float) -> None:
    """They pass with every lifetime that is allowed."""
    assert list_failed(monkeypatch, (IDLE_S, lifetime_s), 20.0) == []


def test_an_idle_limit_that_nobody_keeps_is_found_by_the_checks_about_idleness_alone(
    monkeypatch: pytest.MonkeyPatch, lifetime_s: float
) -> None:
    """At the deployed 20 s and at the shortened limit; age must not replace what idleness should have."""
    failed = list_failed(monkeypatch, (NEVER, lifetime_s), NEVER)
    assert failed == ["After idling it is another one", DEPLOYED_IDLE]
    assert EXPECTED["idle-limit-ignored"] in DEPLOYED_IDLE


@pytest.mark.parametrize(("idle_s", "failed"), [(16.0, "Idle for less than"), (22.0, "Idle for more than")])
def test_another_idle_limit_than_the_deployed_one_is_found(
    monkeypatch: pytest.MonkeyPatch, idle_s: float, failed: str
) -> None:
    """A shorter one by the environment that idles 17 s, a longer one by the one that idles 21 s."""
    [name] = list_failed(monkeypatch, (IDLE_S, LIFETIME_S), idle_s)
    assert name.startswith(failed)


def test_a_lifetime_that_nobody_keeps_is_found_by_the_check_about_age_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control for it names that check."""
    assert list_failed(monkeypatch, (IDLE_S, NEVER), 20.0) == [EXPECTED["lifetime-ignored"]]
