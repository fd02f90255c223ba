"""Scenario: health under load, and whether its reports are true."""

import asyncio
from collections.abc import Sequence

from stress.faults import InjectedFault
from stress.health_monitor import EVERY_S, HealthSample
from stress.scenario_context import LocalScenarioContext
from stress.scenario_end import reconcile
from stress.scenarios.shared_steps import count_statuses

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
WRITABLE_S = 30.0
# All connections in use for longer than the check's own timeout, a restart, a failover: for a moment no writes are
# possible.
BRIEF_FAULTS = ("exhausted", "restart", "failover", "moment")
PROBED_S = 10.0  # from when a probe is due until a job makes it: one that met the last waits 5 s, and 2 s of jitter


async def run(context: LocalScenarioContext) -> None:
    """Inject the faults of this scenario: the database unreachable, and a failover."""
    alarm = await context.target.alarms.find_alarm("Unhealthy")
    await context.target.alarms.copy_alarm(alarm, ALARM, context.profile.alarm_period_s)
    state = await _wait_for_alarm(context, ALARM, "OK", OK_S)
    context.check("Before any trouble the alarm is quiet", holds=state != "ALARM", wanted="not ALARM", found=state)
    await _stop_database(context, alarm["AlarmName"])
    await _fail_over(context)
    await reconcile(context)


async def _stop_database(context: LocalScenarioContext, deployed: str) -> None:
    context.show_progress("the database refuses every line")
    with context.faults.record_during("database refuses", "database"):
        await context.target.control_database("PUT", "/listening", {"listening": False})
        await context.target.control_database("POST", "/cut")
        try:
            await _check_while_stopped(context, deployed)
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
    samples = await context.send_burst([context.call_factory.make_registration(wanted=(503,)) for _ in range(5)])
    refused = [s for s in samples if s.status == 503 and s.retry_after_s]
    context.check_equal(
        "Registrations meanwhile: 503, and when to come again", (5, {503: 5}), (len(refused), count_statuses(samples))
    )
    state = await _wait_for_alarm(context, ALARM, "ALARM", ALARM_S)
    context.check_equal("The alarm on the health function goes off", "ALARM", state)
    context.check_equal(
        "So does the alarm as deployed", "ALARM", await _wait_for_alarm(context, deployed, "ALARM", ALARM_S)
    )
    await context.pause(context.profile.database_away_s, "the database stays away")


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


async def _fail_over(context: LocalScenarioContext) -> None:
    context.show_progress("failover: the standby takes over")
    before = context.monitor.samples[-1].database.get("server")
    await context.target.promote_standby()
    context.faults.record_instant("failover", "failover")
    clock = context.generator.clock
    began = clock.read_now()
    sample = await context.generator.insist(context.call_factory.make_registration(wanted=(201, 503)), WRITABLE_S)
    context.samples_wanted += 1
    context.record_figure("From the promotion to the first write", clock.read_now() - began, "s")
    context.check_equal("The new writer takes writes", 201, sample.status)
    report = await context.monitor.wait_for_report(
        lambda s: bool(s.database.get("failover", {}).get("detected")), 2 * LATE_S
    )
    context.check(
        "Health tells of the failover",
        holds=report is not None,
        wanted=f"within {2 * LATE_S:.0f} s",
        found=_format_when(report),
    )
    after = report.database.get("server") if report else before
    context.check(
        "and of another server",
        holds=after != before,
        wanted="another",
        found="another" if after != before else "the same",
    )


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
    _check_unhealthy(context, report)
    _check_circuits(context, report, context.faults.list_faults("mail"))
    context.check_equal("Jobs that failed, as it says at the end", 0, report[-1].report.get("jobs", {}).get("failed"))


def _check_answered(context: LocalScenarioContext, report: Sequence[HealthSample]) -> None:
    context.check_equal("Every question was answered with a report", 0, sum(not each.report for each in report))


def _is_within_fault(each: HealthSample, fault: InjectedFault) -> bool:
    """Return whether a fault had lasted, and went on, so long that the report must show it."""
    return fault.began_s + LATE_S < each.asked_s and each.got_s < (fault.ended_s or 0.0)


def _is_near_fault(each: HealthSample, fault: InjectedFault, late_s: float) -> bool:
    """Return whether a report may show a fault."""
    return fault.began_s <= each.got_s and each.asked_s <= (fault.ended_s or 0.0) + late_s


def _check_unhealthy(context: LocalScenarioContext, report: Sequence[HealthSample]) -> None:
    """Check that health reports a longer outage of the database, and reports none without one."""
    away = context.faults.list_faults("database")
    perhaps = [fault for kind in BRIEF_FAULTS for fault in context.faults.list_faults(kind)]
    must = [each for each in report if any(_is_within_fault(each, fault) for fault in away)]
    may = [each for each in report if any(_is_near_fault(each, fault, LATE_S) for fault in (*away, *perhaps))]
    missed = [each for each in must if each.status != "unhealthy"]
    invented = [each for each in report if each.status == "unhealthy" and each not in may]
    context.check_equal("Reports that did not say unhealthy while nobody could write", 0, len(missed))
    context.check_equal("Reports that said unhealthy though the database was there", 0, len(invented))


def _check_circuits(
    context: LocalScenarioContext, report: Sequence[HealthSample], faults: Sequence[InjectedFault]
) -> None:
    """Check that a circuit is reported open only while mail was down, or until it has recovered."""
    until = context.profile.open_s + PROBED_S + LATE_S
    open_ = [each for each in report if each.report and each.read_circuit("email") != "closed"]
    invented = [each for each in open_ if not any(_is_near_fault(each, fault, until) for fault in faults)]
    context.check_equal("Reports of an open circuit though mail could be sent", 0, len(invented))
    if faults:
        context.check_at_least("Reports of the open circuit while mail was down", 1, len(open_))
