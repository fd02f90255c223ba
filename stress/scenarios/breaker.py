"""Scenario: the circuit breaker of the mail service."""

import asyncio
import time
from typing import Any

from stress.scenario_context import LocalScenarioContext
from stress.scenario_end import reconcile
from stress.scenarios.shared_steps import count_statuses

BURST = 20
ROUNDS = 3
THRESHOLD = 5  # the circuit's, as deployed: this many failures open it, whatever succeeded before
REPORTED_WITHIN_S = 15.0
GOOD = 20  # registrations just before, whose mails are sent: successes must not delay the opening
SENT_WITHIN_S = 30.0
WORKERS = 16  # the worker's reserved concurrency: this many calls can be under way when the circuit opens
TITLE = "Circuit breaker"
PROMISE = (
    "The mail service fails: its circuit opens, requests go on, the dead service is left alone but for a probe now and "
    "then; when it is back, everything recovers by itself and nothing is lost."
)


async def run(context: LocalScenarioContext) -> None:
    """Run the scenario."""
    before = await _send_good_mails(context)
    with context.faults.record_during("mail down", "mail"):
        await context.target.control_mail(down=True)
        try:
            began = time.time()
            await _register_members(context)
            await _check_open(context)
            await context.pause(2.5 * context.profile.open_s, "probes of an open circuit")
            during = await context.target.control_mail()
        finally:
            await context.target.control_mail(down=False)
    _judge_calls(context, [at for at in during["refused_at"] if at >= began], time.time() - began)
    await _check_recovery(context)
    await reconcile(context)
    after = await context.target.control_mail()
    context.record_figure("Mails sent after the service was back", after["sent"] - before["sent"])


def read_circuit(report: dict[str, Any]) -> str:
    """Return the mail circuit's state in a health report."""
    return str(report.get("checks", {}).get("email", {}).get("circuit"))


async def _send_good_mails(context: LocalScenarioContext) -> dict[str, Any]:
    """Have mails sent just before; return the mail proxy's counts then."""
    context.show_progress(f"{GOOD} registrations whose mails are sent")
    count = (await context.target.control_mail())["sent"]
    await context.send_burst([context.call_factory.make_registration() for _ in range(GOOD)])
    until = time.monotonic() + SENT_WITHIN_S
    found = await context.target.control_mail()
    while found["sent"] - count < GOOD and time.monotonic() < until:
        await asyncio.sleep(0.2)
        found = await context.target.control_mail()
    context.check_at_least("Mails sent just before the service fails", GOOD, found["sent"] - count, "mails")
    return found


async def _register_members(context: LocalScenarioContext) -> None:
    context.show_progress(f"{ROUNDS} times {BURST} registrations while mail is down")
    samples = []
    for _ in range(ROUNDS):
        samples += await context.send_burst([context.call_factory.make_registration() for _ in range(BURST)])
        await asyncio.sleep(1.0)
    context.check_equal("Registrations while the mail service is down", {201: ROUNDS * BURST}, count_statuses(samples))


async def _check_open(context: LocalScenarioContext) -> None:
    context.show_progress("waiting for the health check to say that the circuit is open")
    report = await _wait_for_circuit(context, "open")
    found = (report.get("status"), read_circuit(report) in ("open", "half_open"))
    context.check_equal("The health check says so: degraded, and the circuit is not closed", ("degraded", True), found)


def _judge_calls(context: LocalScenarioContext, refused_at: list[float], lasted_s: float) -> None:
    """Check that calls stop at the threshold and those under way; afterwards there is one probe each time it is due."""
    first, open_s = min(refused_at, default=0.0), context.profile.open_s
    opening = sum(at < first + open_s * 0.9 for at in refused_at)
    probes = len(refused_at) - opening
    context.record_figure(
        "Calls that reached the dead service",
        len(refused_at),
        "calls",
        f"in {lasted_s:.0f} s, of {2 * ROUNDS * BURST} mails' jobs",
    )
    due = lasted_s / open_s + 1
    context.check_at_most(
        "Calls that reached the dead service: the threshold, those under way, and a probe each time it is due",
        THRESHOLD + WORKERS + due,
        len(refused_at),
        "calls",
    )
    context.check_at_least("Calls until the circuit opened", THRESHOLD, opening, "calls")
    name = "Calls until the circuit opened: the threshold, and those under way"
    context.check_at_most(name, THRESHOLD + WORKERS, opening, "calls")
    context.check_at_most(
        "Probes of the dead service afterwards: one each time the circuit is due",
        due,
        probes,
        "calls",
    )
    context.check_at_least("Probes of the dead service afterwards", 1, probes, "calls")


async def _check_recovery(context: LocalScenarioContext) -> None:
    context.show_progress("waiting for the circuit to close by itself")
    clock = context.generator.clock
    began = clock.read_now()
    report = await _wait_for_circuit(context, "closed", within_s=REPORTED_WITHIN_S + 2 * context.profile.open_s)
    context.record_figure(
        "From the service's return until health says that its circuit is closed", clock.read_now() - began, "s"
    )
    context.check_equal("The circuit closes by itself", "closed", read_circuit(report))


async def _wait_for_circuit(
    context: LocalScenarioContext, circuit: str, within_s: float = REPORTED_WITHIN_S
) -> dict[str, Any]:
    """Return the first report with the mail circuit as wanted (half-open counts as open), or the last one in time."""
    clock = context.generator.clock
    report: dict[str, Any] = {}
    until = clock.read_now() + within_s
    while clock.read_now() < until:
        sample = await context.generator.send(
            context.call_factory.make_read("deep health", "/health/deep", wanted=(200,))
        )
        report = sample.record or {}
        if (read_circuit(report) == "closed") == (circuit == "closed"):
            return report
        await asyncio.sleep(1.0)
    return report
