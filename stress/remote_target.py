"""A stack that is not ours to break: what can be proved about it by HTTP alone, from one address.

There is no SQL access, so the reconciliation uses the API, as a staff member: a person who was accepted is there once;
a person who was refused is not.
"""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from stress.call_factory import CallFactory
from stress.check_registry import REMOTE, load_registry
from stress.ledger import CallLedger, CallSample
from stress.limits import ObservedLimit, count_wrongly_accepted, count_wrongly_refused
from stress.load_generator import LoadGenerator, RunClock
from stress.model import ReadinessReport
from stress.profiles import SHORT
from stress.progress_view import ProgressView
from stress.report_builder import build_report, build_timeline, describe_environment, write_report
from stress.scenario_context import ScenarioContext
from stress.verdict import compute_percentile

BURST = 20
LIMIT = ObservedLimit(5, 60)
READS = 200  # of the shallow health check
RATE = 20.0
CALLER = "127.0.0.1"  # one client, whatever its real address is

# SES's own mailbox simulator accepts these mails, and no bounce counts against the account.
MAILBOX = "success+{name}@simulator.amazonses.com"

NOTICE = f"""This will create, at {{target}}:
  up to {2 * LIMIT.burst + 4} members and {LIMIT.burst + 2} agents' applications, with mail to SES's mailbox simulator;
  {4 * BURST} refused or repeated calls, and {READS} reads of the health check.
Nothing is removed again, and nothing is broken on purpose."""


class RemoteScenarios:
    """The scenarios of a remote stack; without a staff member's access token `staff` nothing is reconciled."""

    def __init__(self, staff: str) -> None:
        self._staff = staff

    def list_scenarios(self) -> dict[str, tuple[str, str, Callable[[ScenarioContext], Awaitable[None]]]]:
        """Return title, promise and function of each scenario, by key."""
        return {
            "agents": (
                "Concurrent agent registration",
                "20 applications at once from one address: exactly 5.",
                self._run_agents,
            ),
            "members": (
                "Concurrent member registration",
                "One key is one member, one address is 5 a minute.",
                self._run_members,
            ),
            "health": (
                "Health under load",
                "The shallow check answers every time, the deep one says what is.",
                self._run_health,
            ),
        }

    async def _run_agents(self, context: ScenarioContext) -> None:
        context.show_progress(f"{BURST} applications at once")
        calls = [
            replace(context.call_factory.make_application(), client=CALLER, wanted=(201, 429)) for _ in range(BURST)
        ]
        samples = await context.send_burst(calls)
        _check_limit(context, samples)
        for sample in samples:
            if sample.is_accepted:
                record = sample.record or {}
                found = await self._read_as_staff(context, f"/agents/{record.get('id')}")
                context.reconciliation.compare("agent as staff see them", str(record.get("id")), 200, found.status)
        self._check_staff_token(context)

    async def _run_members(self, context: ScenarioContext) -> None:
        context.show_progress(f"{BURST} calls with one key")
        call = replace(context.call_factory.make_registration(), client=CALLER, wanted=(201, 409))
        same = [*await context.send_burst([call] * BURST), *await context.send_burst([call] * BURST)]
        context.check_equal("Calls with one key, repeated: one answer", 1, len({str(s.record) for s in same[BURST:]}))
        context.show_progress(f"{BURST} registrations at once")
        calls = [
            replace(context.call_factory.make_registration(), client=CALLER, wanted=(201, 429)) for _ in range(BURST)
        ]
        made = await context.send_burst(calls)
        first = [s for s in same if s.is_accepted and not s.replayed][:1]
        _check_limit(context, [*first, *made], already=len(first))
        await self._reconcile(context, [*same, *made])

    async def _reconcile(self, context: ScenarioContext, samples: Sequence[CallSample]) -> None:
        """Compare each address that was used with its accepted member, or none."""
        context.show_progress("reconciling through the API")
        accepted: dict[str, set[str]] = {str((s.call.body or {})["email"]): set() for s in samples}
        for sample in samples:
            if sample.is_accepted and sample.record:
                accepted[str((sample.call.body or {})["email"])].add(str(sample.record["id"]))
        for n, (email, ids) in enumerate(sorted(accepted.items())):
            found = await self._read_as_staff(context, f"/members?email={email.replace('+', '%2B')}")
            there = {str(item["id"]) for item in (found.record or {}).get("items", [])}
            context.reconciliation.compare(
                "members of an address, as staff see them", f"number {n}", sorted(ids), sorted(there)
            )
        self._check_staff_token(context)

    def _check_staff_token(self, context: ScenarioContext) -> None:
        wanted = "a staff member's token in STAFF_TOKEN"
        context.check(
            "Somebody can look what is there",
            holds=bool(self._staff),
            wanted=wanted,
            found="given" if self._staff else "none",
        )

    async def _read_as_staff(self, context: ScenarioContext, path: str) -> CallSample:
        return await context.generator.send(
            context.call_factory.make_read("look", path, client=CALLER, token=self._staff)
        )

    async def _run_health(self, context: ScenarioContext) -> None:
        context.show_progress(f"{READS} reads, {RATE:.0f} a second")
        context.samples_wanted += READS
        calls = [context.call_factory.make_read("health", "/health", client=CALLER) for _ in range(READS)]
        samples = await context.generator.send_at_random(calls, RATE, seed=1)
        context.record_figure("Health, shallow: p95", compute_percentile([s.latency_ms for s in samples], 0.95), "ms")
        deep = await context.generator.send(
            context.call_factory.make_read("deep health", "/health/deep", client=CALLER)
        )
        word = (deep.record or {}).get("status")
        context.check_equal("The deep check's word", "healthy", word)
        open_ = [
            name for name, check in (deep.record or {}).get("checks", {}).items() if check.get("circuit") == "open"
        ]
        context.reconciliation.compare(
            "what the deep check says, and its checks", "circuits", word == "healthy", not open_
        )


def _check_limit(context: ScenarioContext, samples: Sequence[CallSample], already: int = 0) -> None:
    """Check one client's calls against its limit; `already` were made just before."""
    found = Counter(sample.status for sample in samples[already:])
    most = LIMIT.burst - already
    gained = int((max(s.done_s for s in samples) - min(s.sent_s for s in samples)) / LIMIT.interval_s)
    context.check(f"{BURST} at once from one address: {most} accepted", holds=most <= found[201] <= most + gained,
                  wanted=most, found=dict(found))  # fmt: skip
    context.check_equal(
        "Accepted beyond what the limit gives, in any stretch of time", 0, count_wrongly_accepted(samples, LIMIT)
    )
    context.check_equal("Refused though the limit was not used up", 0, count_wrongly_refused(samples, LIMIT))


async def run(url: str, staff: str, out: Path, progress: ProgressView) -> ReadinessReport:
    """Run the scenarios at the API's base path, write the report and return it."""
    clock, ledger, started_at = RunClock(), CallLedger(), datetime.now(UTC)
    generator = LoadGenerator(url.rstrip("/"), ledger, clock, lambda sample: _note_sample(progress, sample))
    call_factory, results = CallFactory(time.time_ns(), MAILBOX), []
    try:
        for key, (title, promise, work) in RemoteScenarios(staff).list_scenarios().items():
            progress.start_scenario(key, title)
            context = ScenarioContext(
                key=key,
                title=title,
                promise=promise,
                profile=SHORT,
                generator=generator.copy_for_scenario(key),
                call_factory=call_factory,
                ledger=ledger,
                progress=progress,
                began_s=clock.read_now(),
                registry=load_registry(),
                registered_as=REMOTE,
            )
            await work(context)
            context.ended_s = clock.read_now()
            results.append(context.build_result())
            progress.finish_scenario(results[-1])
    finally:
        await generator.close()
    found = build_report(
        results,
        started_at=started_at,
        duration_s=clock.read_now(),
        profile="remote",
        target=url,
        over_time=build_timeline(ledger.samples, clock.read_now()),
        environment=describe_environment(Path(__file__).parent),
        settings={"reconciled": "through the API" if staff else "not at all"},
    )
    write_report(found, ledger.samples, out, Path(__file__).resolve().parents[1])
    return found


def _note_sample(progress: ProgressView, sample: CallSample) -> None:
    progress.note_answer(sample.is_expected)
    progress.note_lag(sample.lag_ms)
