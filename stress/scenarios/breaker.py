"""The circuit breaker before the mail service."""

import asyncio
import time
from typing import Any

from stress.reconcile import reconcile
from stress.scenarios.common import statuses
from stress.stage import Stage

CROWD = 20
ROUNDS = 3
THRESHOLD = 5  # the circuit's, as deployed: so many failures open it, whatever went well before
SEES_S = 15.0
GOOD = 20  # registrations just before, whose mails are sent: a good minute must not be a credit
SENT_WITHIN_S = 30.0
WORKERS = 16  # the worker's reserved concurrency: as many calls can be under way when the circuit opens
TITLE = "Circuit breaker"
PROMISE = (
    "The mail service fails: its circuit opens, requests go on, the dead service is left alone but for a probe now and "
    "then; when it is back, everything recovers by itself and nothing is lost."
)


async def run(stage: Stage) -> None:
    """The scenario."""
    before = await _good_mails(stage)
    with stage.faults.during("mail down", "mail"):
        await stage.target.mail(down=True)
        try:
            began = time.time()
            await _registrations(stage)
            await _is_open(stage)
            await stage.pause(2.5 * stage.profile.open_s, "probes of an open circuit")
            during = await stage.target.mail()
        finally:
            await stage.target.mail(down=False)
    _judge_calls(stage, [at for at in during["refused_at"] if at >= began], time.time() - began)
    await _recovers(stage)
    await reconcile(stage)
    after = await stage.target.mail()
    stage.figure("Mails sent after the service was back", after["sent"] - before["sent"])


def circuit_of(report: dict[str, Any]) -> str:
    """The mail circuit's state in a health report."""
    return str(report.get("checks", {}).get("email", {}).get("circuit"))


async def _good_mails(stage: Stage) -> dict[str, Any]:
    """Have mails sent just before, and return what the mail service counts then."""
    stage.step(f"{GOOD} registrations whose mails are sent")
    count = (await stage.target.mail())["sent"]
    await stage.burst([stage.people.registration() for _ in range(GOOD)])
    until = time.monotonic() + SENT_WITHIN_S
    found = await stage.target.mail()
    while found["sent"] - count < GOOD and time.monotonic() < until:
        await asyncio.sleep(0.2)
        found = await stage.target.mail()
    stage.least("Mails sent just before the service fails", GOOD, found["sent"] - count, "mails")
    return found


async def _registrations(stage: Stage) -> None:
    stage.step(f"{ROUNDS} times {CROWD} registrations while mail is down")
    samples = []
    for _ in range(ROUNDS):
        samples += await stage.burst([stage.people.registration() for _ in range(CROWD)])
        await asyncio.sleep(1.0)
    stage.equal("Registrations while the mail service is down", {201: ROUNDS * CROWD}, statuses(samples))


async def _is_open(stage: Stage) -> None:
    stage.step("waiting for the health check to say that the circuit is open")
    said = await _health(stage, "open")
    found = (said.get("status"), circuit_of(said) in ("open", "half_open"))
    stage.equal("The health check says so: degraded, and the circuit is not closed", ("degraded", True), found)


def _judge_calls(stage: Stage, refused_at: list[float], lasted_s: float) -> None:
    """The fleet stops at the threshold, and what was under way; afterwards a probe each time the circuit is due."""
    first, open_s = min(refused_at, default=0.0), stage.profile.open_s
    opening = sum(at < first + open_s * 0.9 for at in refused_at)
    probes = len(refused_at) - opening
    stage.figure(
        "Calls that reached the dead service",
        len(refused_at),
        "calls",
        f"in {lasted_s:.0f} s, of {2 * ROUNDS * CROWD} mails' jobs",
    )
    due = lasted_s / open_s + 1
    stage.most(
        "Calls that reached the dead service: the threshold, those under way, and a probe each time it is due",
        THRESHOLD + WORKERS + due,
        len(refused_at),
        "calls",
    )
    stage.least("Calls until the circuit opened", THRESHOLD, opening, "calls")
    name = "Calls until the circuit opened: the threshold, and those under way"
    stage.most(name, THRESHOLD + WORKERS, opening, "calls")
    stage.most(
        "Probes of the dead service afterwards: one each time the circuit is due",
        due,
        probes,
        "calls",
    )
    stage.least("Probes of the dead service afterwards", 1, probes, "calls")


async def _recovers(stage: Stage) -> None:
    stage.step("waiting for the circuit to close by itself")
    clock = stage.generator.clock
    began = clock.now()
    said = await _health(stage, "closed", within_s=SEES_S + 2 * stage.profile.open_s)
    stage.figure("From the service's return until health says that its circuit is closed", clock.now() - began, "s")
    stage.equal("The circuit closes by itself", "closed", circuit_of(said))


async def _health(stage: Stage, circuit: str, within_s: float = SEES_S) -> dict[str, Any]:
    """The first report with the email circuit as wanted (half-open counts as open), or the last one in time."""
    clock = stage.generator.clock
    report: dict[str, Any] = {}
    until = clock.now() + within_s
    while clock.now() < until:
        sample = await stage.generator.send(stage.people.read("deep health", "/health/deep", wanted=(200,)))
        report = sample.record or {}
        if (circuit_of(report) == "closed") == (circuit == "closed"):
            return report
        await asyncio.sleep(1.0)
    return report
