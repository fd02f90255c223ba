"""Health under load: whether what it says is true."""

import asyncio
from collections.abc import Sequence

from stress.faults import Done
from stress.monitor import EVERY_S, Said
from stress.reconcile import reconcile
from stress.scenarios.common import statuses
from stress.stage import Stage

TITLE = "Health under load"
PROMISE = (
    "Asked every second while everything else runs, the health check says what is: unhealthy while nobody can write, "
    "the circuit while mail is down, a failover when the writer changes; and the alarm on it goes off, and back."
)

# A report is kept for 5 s, a check takes up to 2 s, and one is asked for every second: so late may the truth be told.
LATE_S = 5.0 + 2.0 + EVERY_S
ALARM = "stress-unhealthy"
ALARM_S = 20.0
OK_S = 60.0
DEPLOYED_OK_S = 3 * 60 + 75.0  # its three periods, and the minute between two reports of the schedule
WRITABLE_S = 30.0
# All connections taken for longer than the check's own time, a restart, a failover: for a moment nobody can write.
PERHAPS = ("exhausted", "restart", "failover", "moment")
PROBED_S = 10.0  # from when a probe is due until a job makes it: who met the last one waits 5 s, and 2 s of spread


async def run(stage: Stage) -> None:
    """The faults that are health's own: the database away, and a failover."""
    alarm = await stage.target.alarms.of("Unhealthy")
    await stage.target.alarms.copy(alarm, ALARM, stage.profile.alarm_period_s)
    state = await _alarm(stage, ALARM, "OK", OK_S)
    stage.check("Before any trouble the alarm is quiet", holds=state != "ALARM", wanted="not ALARM", found=state)
    await _database_away(stage, alarm["AlarmName"])
    await _failover(stage)
    await reconcile(stage)


async def _database_away(stage: Stage, deployed: str) -> None:
    stage.step("the database refuses every line")
    with stage.faults.during("database refuses", "database"):
        await stage.target.database("PUT", "/listening", {"listening": False})
        await stage.target.database("POST", "/cut")
        try:
            await _while_away(stage, deployed)
        finally:
            await stage.target.database("PUT", "/listening", {"listening": True})
    back = await stage.monitor.until(lambda said: said.status in ("healthy", "degraded"), LATE_S + 5)
    stage.check(
        "When it is back, health says so", holds=back is not None, wanted=f"within {LATE_S:.0f} s", found=_when(back)
    )
    came = await _alarm(stage, ALARM, "OK", OK_S)
    stage.check("The alarm goes back to OK", holds=came == "OK", wanted="OK", found=came)


async def _while_away(stage: Stage, deployed: str) -> None:
    said = await stage.monitor.until(lambda said: said.status == "unhealthy", LATE_S)
    stage.check(
        "Health says unhealthy while the database is away",
        holds=said is not None,
        wanted=f"within {LATE_S:.0f} s",
        found=_when(said),
    )
    samples = await stage.burst([stage.people.registration(wanted=(503,)) for _ in range(5)])
    told = [s for s in samples if s.status == 503 and s.retry_after_s]
    stage.equal("Registrations meanwhile: 503, and when to come again", (5, {503: 5}), (len(told), statuses(samples)))
    state = await _alarm(stage, ALARM, "ALARM", ALARM_S)
    stage.equal("The alarm on the health function goes off", "ALARM", state)
    stage.equal("So does the alarm as deployed", "ALARM", await _alarm(stage, deployed, "ALARM", ALARM_S))
    await stage.pause(stage.profile.database_away_s, "the database stays away")


def _when(said: Said | None) -> str:
    return f"at {said.got_s:.1f} s of the run" if said else "never"


async def _state(stage: Stage, name: str) -> str:
    return await stage.target.alarms.state(name)


async def _alarm(stage: Stage, name: str, state: str, within_s: float) -> str:
    """An alarm's state, once it is that one, or when the time is up."""
    clock = stage.generator.clock
    until = clock.now() + within_s
    while (found := await _state(stage, name)) != state and clock.now() < until:
        await asyncio.sleep(0.5)
    return found


async def _failover(stage: Stage) -> None:
    stage.step("failover: the standby takes over")
    before = stage.monitor.said[-1].database.get("server")
    await stage.target.promote_standby()
    stage.faults.at_once("failover", "failover")
    clock = stage.generator.clock
    began = clock.now()
    sample = await stage.generator.insist(stage.people.registration(wanted=(201, 503)), WRITABLE_S)
    stage.wanted += 1
    stage.figure("From the promotion to the first write", clock.now() - began, "s")
    stage.equal("The new writer takes writes", 201, sample.status)
    said = await stage.monitor.until(lambda s: bool(s.database.get("failover", {}).get("detected")), 2 * LATE_S)
    stage.check(
        "Health tells of the failover", holds=said is not None, wanted=f"within {2 * LATE_S:.0f} s", found=_when(said)
    )
    after = said.database.get("server") if said else before
    stage.check(
        "and of another server",
        holds=after != before,
        wanted="another",
        found="another" if after != before else "the same",
    )


async def finish(stage: Stage) -> None:
    """Everything that health has said during the whole run, held against what was done to the system."""
    if stage.profile.deployed_alarm:
        stage.step("waiting for the alarm as deployed to go back")
        deployed = (await stage.target.alarms.of("Unhealthy"))["AlarmName"]
        stage.equal("The alarm as deployed goes back to OK", "OK", await _alarm(stage, deployed, "OK", DEPLOYED_OK_S))
    await stage.monitor.stop()
    said = stage.monitor.said
    stage.wanted += int(0.9 * (stage.generator.clock.now() - stage.monitor.began_s) / EVERY_S)
    _unanswered(stage, said)
    _unhealthy(stage, said)
    _circuits(stage, said, stage.faults.of("mail"))
    stage.equal("Jobs that failed, as it says at the end", 0, said[-1].report.get("jobs", {}).get("failed"))


def _unanswered(stage: Stage, said: Sequence[Said]) -> None:
    stage.equal("Every question was answered with a report", 0, sum(not each.report for each in said))


def _within(each: Said, fault: Done) -> bool:
    """Whether a fault had lasted for so long, and lasted on, that the report must tell of it."""
    return fault.began_s + LATE_S < each.asked_s and each.got_s < (fault.ended_s or 0.0)


def _around(each: Said, fault: Done, late_s: float) -> bool:
    """Whether a report may tell of a fault."""
    return fault.began_s <= each.got_s and each.asked_s <= (fault.ended_s or 0.0) + late_s


def _unhealthy(stage: Stage, said: Sequence[Said]) -> None:
    """While the database is away for longer than the truth may take, it must say so; with the database there, never."""
    away = stage.faults.of("database")
    perhaps = [fault for kind in PERHAPS for fault in stage.faults.of(kind)]
    must = [each for each in said if any(_within(each, fault) for fault in away)]
    may = [each for each in said if any(_around(each, fault, LATE_S) for fault in (*away, *perhaps))]
    missed = [each for each in must if each.status != "unhealthy"]
    invented = [each for each in said if each.status == "unhealthy" and each not in may]
    stage.equal("Reports that did not say unhealthy while nobody could write", 0, len(missed))
    stage.equal("Reports that said unhealthy though the database was there", 0, len(invented))


def _circuits(stage: Stage, said: Sequence[Said], faults: Sequence[Done]) -> None:
    """A circuit that is not closed is told only while mail was down, or until it has recovered."""
    until = stage.profile.open_s + PROBED_S + LATE_S
    open_ = [each for each in said if each.report and each.circuit("email") != "closed"]
    invented = [each for each in open_ if not any(_around(each, fault, until) for fault in faults)]
    stage.equal("Reports of an open circuit though mail could be sent", 0, len(invented))
    if faults:
        stage.least("Reports of the open circuit while mail was down", 1, len(open_))
