"""Scenario: the circuit breaker of the mail service."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from stress import circuit_facts
from stress.circuit_facts import CircuitPeriod, CircuitTransition
from stress.function_log import LogReader
from stress.ledger import CallSample
from stress.mail_proxy import ERROR, LOST, NONE, REFUSED, SILENT, THROTTLED, MailCall
from stress.repeating import repeat_within
from stress.scenario_context import LocalScenarioContext
from stress.scenario_end import reconcile

BURST = 20
ROUNDS = 3
THRESHOLD = 5  # the circuit's, as deployed: this many failures open it, whatever succeeded before
REPORTED_WITHIN_S = 15.0
GOOD = 20  # registrations just before, whose mails are sent: successes must not delay the opening
SENT_WITHIN_S = 30.0
WORKERS = 10  # that the queue of high jobs may use: each can begin one call by a view from before the opening
EVERY_S = 1.0  # between two registrations while mail is down: each brings a job that can be the probe
PROBED_S = 10.0  # from when a probe is due until a job makes it: one that met the last waits 5 s, and 2 s of jitter
ANSWERED_S = 17.0  # the longest call of the mail client: 2 s to connect, 15 s for the answer
# One probe meets each of these failures, after the throttled calls that open the circuit. The slowest is the last.
PROBE_FAILURES = (ERROR, LOST, REFUSED, SILENT)
UNKNOWN = (ERROR, LOST, SILENT)  # failures after which nobody knows if the mail was sent
CIRCUIT = "email"
TITLE = "Circuit breaker"
PROMISE = (
    "The mail service fails, in five ways: its circuit opens, requests go on, the dead service is left alone but for a "
    "probe now and then; when it is back, everything recovers by itself, nothing is lost, and no mail is sent twice."
)
JOB_STATES = "SELECT id::text AS id, state FROM outbox WHERE id::text = ANY(%(ids)s)"
# What an admin does with uncertain mails: mark those that the inbox has as done, and replay the others.
SETTLE = """
UPDATE outbox SET state = 'done', last_error = NULL, updated_at = now()
WHERE id::text = ANY(%(sent)s) AND state = 'uncertain';
UPDATE outbox SET state = 'pending', attempts = 0, available_at = now(), leased_until = NULL, last_error = NULL,
    replayed_at = now(), updated_at = now()
WHERE id::text = ANY(%(unsent)s) AND state = 'uncertain'
"""


@dataclass
class MailOutage:
    """The outage as it goes: registrations meanwhile, the worker's log, and what the mail proxy has recorded."""

    context: LocalScenarioContext
    log: LogReader
    began: float = field(default_factory=time.time)
    samples: list[CallSample] = field(default_factory=list)

    async def read_calls(self) -> list[MailCall]:
        """Return the calls to send a mail since the outage began."""
        found = await self.context.target.control_mail(since=self.began)
        return [MailCall(**call) for call in found["calls"]]

    def list_transitions(self) -> list[CircuitTransition]:
        """Return the transitions of the circuit since the outage began."""
        return circuit_facts.list_transitions(self.log.read(), CIRCUIT)

    async def wait_for_failed_probe(self, within_s: float) -> None:
        """Wait until a probe that begins from now on has failed, or the time is up."""
        since, until = time.time(), time.monotonic() + within_s
        while time.monotonic() < until:
            states = [made.state for made in self.list_transitions() if made.at > since]
            if "half_open" in states and "open" in states[states.index("half_open") :]:
                break
            await asyncio.sleep(0.1)


async def run(context: LocalScenarioContext) -> None:
    """Run the scenario."""
    before = await _send_good_mails(context)
    outage = MailOutage(context, LogReader(context.target.find_log("WorkerFunction")))
    with context.faults.record_during("mail down", "mail"):
        await context.target.control_mail(failure=THROTTLED)
        try:
            await _break_mail(outage)
        finally:
            await context.target.control_mail(failure=NONE)
    async with _keep_registering(outage):
        await _check_recovery(outage)
    wanted = {201: len(outage.samples)}
    context.check_statuses("Registrations while the mail service is down", wanted, outage.samples)
    await _judge_circuit(outage)
    await _judge_unknown(outage)
    await reconcile(context)
    sent = Counter(call.job for call in await outage.read_calls() if call.sent)
    context.check_equal("Mails that were given to the service twice", 0, sum(count > 1 for count in sent.values()))
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


async def _break_mail(outage: MailOutage) -> None:
    """Let the circuit open by throttled calls, then let one probe meet each other kind of failure."""
    context = outage.context
    context.show_progress(f"{ROUNDS} times {BURST} registrations while mail is down")
    for _ in range(ROUNDS):
        calls = [context.call_factory.make_registration() for _ in range(BURST)]
        outage.samples += await context.send_burst(calls)
        await asyncio.sleep(1.0)
    await _check_open(context)
    async with _keep_registering(outage):
        for failure in PROBE_FAILURES:
            if not outage.list_transitions():
                return  # a circuit that never opened makes no probes to wait for
            await _let_probe_meet(outage, failure)


async def _let_probe_meet(outage: MailOutage, failure: str) -> None:
    context = outage.context
    context.show_progress(f"a probe of the open circuit meets another failure: {failure}")
    await context.target.control_mail(failure=failure)
    slow_s = ANSWERED_S if failure == SILENT else 0.0
    await outage.wait_for_failed_probe(context.profile.open_s + PROBED_S + slow_s)


@asynccontextmanager
async def _keep_registering(outage: MailOutage) -> AsyncIterator[None]:
    """Register somebody every second within the block."""
    context = outage.context

    async def register() -> None:
        context.samples_wanted += 1
        outage.samples.append(await context.generator.send(context.call_factory.make_registration()))

    async with repeat_within(register, every_s=EVERY_S):
        yield


async def _check_open(context: LocalScenarioContext) -> None:
    context.show_progress("waiting for the health check to say that the circuit is open")
    report = await _wait_for_circuit(context, "open")
    found = (report.get("status"), read_circuit(report) in ("open", "half_open"))
    context.check_equal("The health check says so: degraded, and the circuit is not closed", ("degraded", True), found)


async def _judge_circuit(outage: MailOutage) -> None:
    """Check the calls that reached the dead service against what the circuit itself has logged."""
    context, transitions = outage.context, outage.list_transitions()
    calls, periods = await outage.read_calls(), circuit_facts.list_periods(transitions)
    opened = [period for period in periods if period.state == "open"][:1]
    probed = [period for period in periods if period.state == "half_open"]
    first_probe = probed[0].began if probed else float("inf")
    states = [transition.state for transition in transitions]
    failed_probes = max(len(PROBE_FAILURES), len(probed) - 1)
    wanted = ["open", *["half_open", "open"] * failed_probes, "half_open", "closed"]
    context.check_equal("The circuit's own log: opened, a failed probe for each other failure, closed", wanted, states)
    missing = circuit_facts.list_missing_generations(transitions)
    context.check_equal("Transitions of the circuit that are not in the log", [], missing)
    opened_at = opened[0].began if opened else 0.0
    if opened:
        context.faults.note_open_circuit(CIRCUIT, opened_at, transitions[-1].at)
    count = circuit_facts.count_failures_before_opening(calls, opened_at)
    context.check_at_least(
        "Calls until the circuit opened: as many failures as its threshold", THRESHOLD, count, "calls"
    )
    late = circuit_facts.count_begun_after_threshold(calls, THRESHOLD, first_probe)
    context.check_at_most(
        "Calls that began after the fifth failure, before a probe: at most one for each worker", WORKERS, late, "calls"
    )
    while_open = circuit_facts.count_calls_while_open(calls, periods)
    context.check_equal("Calls that began while the circuit was open", 0, while_open)
    _judge_probes(outage, calls, periods)
    failed = sum(bool(call.failure) for call in calls)
    context.check_at_most(
        "Calls that reached the dead service: the threshold, one of each worker, and each probe in the circuit's log",
        THRESHOLD + WORKERS + len(probed),
        failed,
        "calls",
    )
    context.record_figure("Calls that reached the dead service", failed, "calls", f"{len(probed)} probes in the log")


def _judge_probes(outage: MailOutage, calls: Sequence[MailCall], periods: Sequence[CircuitPeriod]) -> None:
    context, not_reached = outage.context, circuit_facts.list_not_reached(outage.log.read())
    counts = circuit_facts.count_calls_of_probes(calls, not_reached, periods)
    wanted = [1] * max(len(counts), len(PROBE_FAILURES) + 1)
    context.check_equal("Each probe in the circuit's log is one call of the service", wanted, counts)
    met = {call.failure for call in calls if call.failure} | ({REFUSED} if not_reached else set())
    context.check_equal("Failures that calls have met", sorted([THROTTLED, *PROBE_FAILURES]), sorted(met))


async def _judge_unknown(outage: MailOutage) -> None:
    """Check that a mail of which nobody knows if it was sent waits for a person; then act as that person."""
    context = outage.context
    unknown = [call for call in await outage.read_calls() if call.failure in UNKNOWN]
    rows = await context.target.query_rows(JOB_STATES, {"ids": [call.job for call in unknown]})
    states = {row["id"]: row["state"] for row in rows}
    found = {failure: sorted({states.get(c.job, "?") for c in unknown if c.failure == failure}) for failure in UNKNOWN}
    name = "Mails of which nobody knows if they were sent wait for a person"
    context.check_equal(name, {failure: ["uncertain"] for failure in UNKNOWN}, found)
    sent = [call.job for call in unknown if call.sent]
    unsent = [call.job for call in unknown if not call.sent]
    for statement in SETTLE.split(";"):
        await context.target.query_rows(statement, {"sent": sent, "unsent": unsent})
    await context.send_burst([context.call_factory.make_registration()])  # its commit wakes the relay


async def _check_recovery(outage: MailOutage) -> None:
    context = outage.context
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
