"""Scenario: health under load, and whether its reports are true."""

import asyncio
from collections.abc import Sequence

from stress.faults import InjectedFault
from stress.function_log import LogReader
from stress.health_monitor import EVERY_S, HealthSample
from stress.health_schedule import report_every_second
from stress.ledger import CallSample
from stress.scenario_context import LocalScenarioContext
from stress.scenario_end import reconcile
from stress.scenarios.failover import fail_over

TITLE = "Health under load"
PROMISE = (
    "Asked every second while everything else runs, the health check says what is: unhealthy while nobody can write, "
    "the circuit while mail is down, a failover when the writer changes; and the alarm on it goes off, and back."
)

# A report is cached for 5 s, a check takes up to 2 s, and one is requested every second: reports may be this late.
LATE_S = 5.0 + 2.0 + EVERY_S
ALARM = "stress-unhealthy"
ALARM_S = 20.0
OK_S = 60.0
DEPLOYED_OK_S = 3 * 60 + 75.0  # its three periods, and the minute between two scheduled reports
CHECK_S = 2.0
MUST_REPORTS = 3  # that fall so far within the outage that they can say nothing but unhealthy
REFUSED_AT_ONCE, REFUSED_ROUNDS = 5, 3  # registrations while the database is away
# All connections in use for longer than the check's own timeout, a restart, a failover: for a moment no writes are
# possible. Where the pool itself shows that somebody waits, no fault has to be declared.
BRIEF_FAULTS = ("exhausted", "restart", "failover", "moment")
PROBED_S = 10.0  # from when a probe is due until a job makes it: one that met the last waits 5 s, and 2 s of jitter


async def run(context: LocalScenarioContext) -> None:
    """Inject the faults of this scenario: the database unreachable, and a failover."""
    alarm = await context.target.alarms.find_alarm("Unhealthy")
    await context.target.alarms.copy_alarm(alarm, ALARM, context.profile.alarm_period_s)
    async with report_every_second(context.target):
        state = await _wait_for_alarm(context, ALARM, "OK", OK_S)
        context.check_equal("Before any trouble the alarm is quiet", "OK", state)
        await _stop_database(context, alarm["AlarmName"])
        await fail_over(context, 2 * LATE_S)
    await reconcile(context)


async def _stop_database(context: LocalScenarioContext, deployed: str) -> None:
    context.show_progress("the database refuses every line")
    with context.faults.record_during("database refuses", "database") as fault:
        await context.target.control_database("PUT", "/listening", {"listening": False})
        await context.target.control_database("POST", "/cut")
        try:
            await _check_while_stopped(context, deployed)
            # until some reports must have been asked for and answered within the outage
            enough_s = fault.began_s + LATE_S + MUST_REPORTS * EVERY_S + 2 * CHECK_S
            await context.generator.clock.wait_until(enough_s)
        finally:
            await context.target.control_database("PUT", "/listening", {"listening": True})
    back = await context.monitor.wait_for_report(lambda report: report.status in ("healthy", "degraded"), LATE_S + 5)
    context.check(
        "When it is back, health says so",
        holds=back is not None,
        wanted=f"within {LATE_S:.0f} s",
        found=_format_when(back),
    )
    state = await _wait_for_alarm(context, ALARM, "OK", OK_S)
    context.check("The alarm goes back to OK", holds=state == "OK", wanted="OK", found=state)


async def _check_while_stopped(context: LocalScenarioContext, deployed: str) -> None:
    report = await context.monitor.wait_for_report(lambda report: report.status == "unhealthy", LATE_S)
    context.check(
        "Health says unhealthy while the database is away",
        holds=report is not None,
        wanted=f"within {LATE_S:.0f} s",
        found=_format_when(report),
    )
    await _check_refusals(context)
    state = await _wait_for_alarm(context, ALARM, "ALARM", ALARM_S)
    context.check_equal("The alarm on the health function goes off", "ALARM", state)
    context.check_equal(
        "So does the alarm as deployed", "ALARM", await _wait_for_alarm(context, deployed, "ALARM", ALARM_S)
    )
    await context.pause(context.profile.database_away_s, "the database stays away")


async def _check_refusals(context: LocalScenarioContext) -> None:
    """Check how writes are refused, and that hardly any of them is tried again while nothing can succeed."""
    log, samples = LogReader(context.target.find_log("MembersFunction")), list[CallSample]()
    for _ in range(REFUSED_ROUNDS):
        calls = [context.call_factory.make_registration(wanted=(503,)) for _ in range(REFUSED_AT_ONCE)]
        samples += await context.send_burst(calls)
    context.check_statuses("Registrations meanwhile: 503", {503: REFUSED_ROUNDS * REFUSED_AT_ONCE}, samples)
    unnamed = sum(not sample.retry_after_s for sample in samples)
    context.check_equal("Refusals that don't say when to come again", 0, unnamed)
    # Each environment has saved one retry at most, and no more environments were called than calls made.
    environments = len(await context.target.list_environments("MembersFunction"))
    context.check_at_most(
        "Retries while the database was away: at most one for each environment that was called",
        min(environments, len(samples)),
        len(log.list_entries("transaction_retried")),
        "retries",
    )


def _format_when(report: HealthSample | None) -> str:
    return f"at {report.got_s:.1f} s of the run" if report else "never"


async def _read_alarm_state(context: LocalScenarioContext, name: str) -> str:
    return await context.target.alarms.read_state(name)


async def _wait_for_alarm(context: LocalScenarioContext, name: str, state: str, within_s: float) -> str:
    """Return an alarm's state, once it is `state`, or when the time is up."""
    clock = context.generator.clock
    until = clock.read_now() + within_s
    while (found := await _read_alarm_state(context, name)) != state and clock.read_now() < until:
        await asyncio.sleep(0.5)
    return found


async def finish(context: LocalScenarioContext) -> None:
    """Check everything that health has reported during the whole run against the injected faults."""
    if context.profile.waits_for_deployed_alarm:
        context.show_progress("waiting for the alarm as deployed to go back")
        deployed = (await context.target.alarms.find_alarm("Unhealthy"))["AlarmName"]
        context.check_equal(
            "The alarm as deployed goes back to OK", "OK", await _wait_for_alarm(context, deployed, "OK", DEPLOYED_OK_S)
        )
    await context.monitor.stop()
    report = context.monitor.samples
    context.samples_wanted += int(0.9 * (context.generator.clock.read_now() - context.monitor.began_s) / EVERY_S)
    _check_answered(context, report)
    judge_unhealthy(context, report)
    judge_circuits(context, report, context.faults.list_faults("mail"), context.faults.open_circuits)
    context.check_equal("Jobs that failed, as it says at the end", 0, report[-1].report.get("jobs", {}).get("failed"))


def _check_answered(context: LocalScenarioContext, report: Sequence[HealthSample]) -> None:
    context.check_equal("Every question was answered with a report", 0, sum(not each.report for each in report))


def _is_within_fault(each: HealthSample, fault: InjectedFault) -> bool:
    """Return whether a fault had lasted long enough, and still went on, so that the report must show it."""
    return fault.began_s + LATE_S < each.asked_s and each.got_s < (fault.ended_s or 0.0)


def _is_near_fault(each: HealthSample, fault: InjectedFault, late_s: float) -> bool:
    """Return whether a report may show a fault."""
    return fault.began_s <= each.got_s and each.asked_s <= (fault.ended_s or 0.0) + late_s


def judge_unhealthy(context: LocalScenarioContext, report: Sequence[HealthSample]) -> None:
    """Check that health reports a longer outage of the database, and reports none without one."""
    away = context.faults.list_faults("database")
    perhaps = [fault for kind in BRIEF_FAULTS for fault in context.faults.list_faults(kind)]
    perhaps += [InjectedFault("all connections in use", "exhausted", at, at) for at in context.monitor.full_pool_s]
    must = [each for each in report if any(_is_within_fault(each, fault) for fault in away)]
    may = [each for each in report if any(_is_near_fault(each, fault, LATE_S) for fault in (*away, *perhaps))]
    missed = [each for each in must if each.status != "unhealthy"]
    unhealthy = [each for each in report if each.status == "unhealthy"]
    invented = [each for each in unhealthy if each not in may]
    context.check_at_least("Reports so far within an outage that they must say unhealthy", MUST_REPORTS, len(must))
    context.check_equal("Reports that did not say unhealthy while nobody could write", 0, len(missed))
    when = [round(each.got_s, 1) for each in invented]
    context.check_equal("Reports that said unhealthy though the database was there", [], when)


def judge_circuits(
    context: LocalScenarioContext,
    report: Sequence[HealthSample],
    faults: Sequence[InjectedFault],
    open_: Sequence[InjectedFault],
) -> None:
    """Check that a circuit is reported open only while mail was down, or until it has recovered, and then always."""
    until = context.profile.open_s + PROBED_S + LATE_S
    told = [each for each in report if each.report and each.read_circuit("email") != "closed"]
    invented = [each for each in told if not any(_is_near_fault(each, fault, until) for fault in faults)]
    context.check_equal("Reports of an open circuit though mail could be sent", 0, len(invented))
    if open_:
        must = [each for each in report if any(_is_within_fault(each, period) for period in open_)]
        missed = [each for each in must if each.read_circuit("email") not in ("open", "half_open")]
        context.check_at_least("Reports of the open circuit while mail was down", 1, len(must))
        context.check_equal("Reports of a closed circuit while it was open", 0, len(missed))
