"""Scenario: alerts. Troubles are made; the alarms of each ring for it and go back, and no other alarm rings."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

from stress.alarm_judge import AlarmRule, State, judge_minutes, list_children
from stress.alarm_mail import AlarmMailbox
from stress.alarm_troubles import TroubleMaker
from stress.local_target import CloudOptions
from stress.scenario_context import LocalScenarioContext
from stress.scenarios.own_cloud import QUICK_MAIL, start_own_cloud

TITLE = "Alerts"
PROMISE = (
    "Troubles of many kinds are made. The alarms of each ring while it lasts, not before, and go back to OK after it; "
    "no other alarm rings. Both alarms that reach people ring with theirs, and their topics get the message."
)
MINUTE_S = 2  # stands for a minute of the alarms and of the metrics of AWS's services
PERIOD_MINUTES = {60: 1, 300: 2, 3600: 5}  # by the seconds of the deployed period that they stand for
ALIGNED_S = 20  # a multiple of all periods, so that each begins where the emulator's does
FIRST_MINUTES = 5  # of reports, before an alarm on their silence is over
QUIET_MINUTES = 3  # before the first trouble, with reports in each
BACK_S = 25.0  # the longest wait for all alarms to go back, after the last trouble
WRITTEN_S = 3.0  # from the end of a minute until its metrics can be read
WAKE, LOOK = "WakeSomebodyAlarm", "LookTomorrowAlarm"
# Their schedules run in real minutes, which are silence where two seconds stand for one.
SCHEDULES = frozenset({"RelayScheduleAlarm", "HousekeepingScheduleAlarm"})
CALLED = ("Agents", "Members", "Claims", "Pages", "Jobs", "Worker", "Admin")
OPTIONS = CloudOptions(parameters=QUICK_MAIL, flags=("--no-checkpoints", "--minute", str(MINUTE_S)))
Make = Callable[[TroubleMaker], AbstractAsyncContextManager[None]]


@dataclass
class AlarmTrouble:
    """A trouble, the alarms that it must ring, and its time in minutes from the first.

    `wakes` are those of its alarms that wake somebody; the others tell people to look tomorrow.
    """

    name: str
    begins: int
    lasts: int
    make: Make
    looks: Sequence[str] = ()
    wakes: Sequence[str] = ()
    began: float = field(default=0.0, init=False)  # epoch seconds

    @property
    def rings(self) -> list[str]:
        """Return all of its alarms."""
        return sorted(f"{name}Alarm" for name in (*self.looks, *self.wakes))


def list_troubles() -> list[AlarmTrouble]:
    """Return the troubles; those that overlap touch none of the other's metrics."""
    functions = [f"{name}Function" for name in (*CALLED, "Housekeeping")]
    return [
        AlarmTrouble(
            "circuits stay open", 0, 17, lambda m: m.force_circuits_open("email", "identity", "storage"),
            looks=("CircuitOpenEmail", "CircuitOpenIdentity", "CircuitOpenStorage", "Degraded"),
        ),
        AlarmTrouble(
            "a task of housekeeping fails", 1, 12, lambda m: m.fail_chore(), looks=("ChoresFailed",)
        ),
        AlarmTrouble(
            "jobs wait for too long", 2, 13,
            lambda m: m.add_jobs(*(("mail", priority, "pending", age_s) for priority, age_s in (
                ("high", 1_000), ("normal", 4_000), ("low", 22_000)))),
            looks=("JobsLate", "JobsOldestPendingNormal", "JobsOldestPendingLow"), wakes=("JobsOldestPendingHigh",),
        ),
        AlarmTrouble(
            "messages grow old", 3, 8,
            lambda m: m.leave_messages({"QueueHigh": 1_000, "QueueNormal": 3_700, "QueueLow": 22_000}, hidden=True),
            looks=("QueueHighAge", "QueueNormalAge", "QueueLowAge"),
        ),
        AlarmTrouble(
            "mails bounce and are complained of", 4, 7, lambda m: m.return_mails(bounces=6, complaints=1),
            looks=("MailBounces", "MailComplaints"),
        ),
        AlarmTrouble(
            "wake-ups of the relay grow old", 5, 8, lambda m: m.leave_messages({"NudgeQueue": 250}, hidden=True),
            looks=("NudgeQueueAge",),
        ),
        AlarmTrouble(
            "functions are refused", 6, 1, lambda m: m.refuse(*functions),
            looks=tuple(f"{name}Throttles" for name in (*CALLED, "Housekeeping")),
        ),
        AlarmTrouble(
            "dead letters stay", 7, 3,
            lambda m: m.leave_messages(dict.fromkeys(("DeadLetterHigh", "DeadLetterNormal", "DeadLetterLow"), 0),
                                       hidden=False),
            looks=("DeadLetterHigh", "DeadLetterNormal", "DeadLetterLow"),
        ),
        AlarmTrouble(
            "jobs were given up, and one may have been done", 8, 4,
            lambda m: m.add_jobs(("identity", "high", "failed", 0), ("mail", "low", "uncertain", 0)),
            looks=("JobsFailed", "JobsHighUnsolved", "JobsUncertain"),
        ),
        AlarmTrouble(
            "loops through the queues are stopped", 9, 2,
            lambda m: m.send_looped({"NudgeQueue": "RelayFunction", "QueueLow": "WorkerFunction"}),
            looks=("RelayRecursion", "WorkerRecursion"),
        ),
        AlarmTrouble(
            "functions crash", 10, 1, lambda m: m.crash(*(f"{name}Function" for name in CALLED if name != "Members")),
            looks=tuple(f"{name}Errors" for name in CALLED if name != "Members"),
        ),
        AlarmTrouble(
            "calls end with a crash", 12, 7, lambda m: m.crash_called(), looks=("MembersErrors",),
            wakes=("ServerErrors",),
        ),
        AlarmTrouble(
            "the limits' items are throttled", 13, 5, lambda m: m.throttle_limits(),
            looks=("StateStoreUnavailable", "StateTableWriteThrottles"),
        ),
        AlarmTrouble(
            "the health function crashes", 16, 7, lambda m: m.change_health("crashes"), wakes=("HealthErrors",)
        ),
        AlarmTrouble(
            "the health report is silent", 23, 6, lambda m: m.change_health("is silent"), wakes=("Unhealthy",)
        ),
    ]  # fmt: skip


async def run(context: LocalScenarioContext) -> None:
    """Run the scenario on a cloud of its own."""
    async with start_own_cloud(context, OPTIONS) as own:
        await own.fixtures.prepare(1)
        [member] = own.fixtures.take_members(1)
        maker, troubles = TroubleMaker(own, member), list_troubles()
        async with maker.report_health():
            await own.pause(FIRST_MINUTES * MINUTE_S, "health reports, whose silence would ring")
            watch = await AlarmWatch.begin(own)
            mailbox = await AlarmMailbox.subscribe(own.target, watch.composites.values())
            quiet_since = time.time()
            await own.pause(QUIET_MINUTES * MINUTE_S, "no trouble yet")
            await _make_all(own, maker, troubles)
            await watch.wait_until_quiet(quiet_since)
        history = await watch.read_history(quiet_since)
        check_alarms(own, troubles, history, watch.composites)
        check_messages(own, watch.composites, await mailbox.read_messages())
    declared = sum(len(each.rings) for each in troubles)
    context.record_figure("Alarms that rang for their trouble", declared, "alarms", f"of {watch.deployed} deployed")
    context.notes.append(
        f"{declared} of the {watch.deployed} alarms are rung here, {MINUTE_S} s for a minute; all others but those of "
        "schedules and of a release are watched and must stay quiet. docs/reference/alarms.md says where each of the "
        "others is verified."
    )


async def _make_all(own: LocalScenarioContext, maker: TroubleMaker, troubles: Sequence[AlarmTrouble]) -> None:
    """Make each trouble at its time, and return when all are over."""
    first = time.time()

    async def make(trouble: AlarmTrouble) -> None:
        await asyncio.sleep(first + trouble.begins * MINUTE_S - time.time())
        own.show_progress(trouble.name)
        trouble.began = time.time()
        with own.faults.record_during(trouble.name, "alarm"):
            async with trouble.make(maker):
                await asyncio.sleep(max(0.0, trouble.began + trouble.lasts * MINUTE_S - time.time()))

    await asyncio.gather(*map(make, troubles))


@dataclass(frozen=True)
class AlarmHistory:
    """The state of each alarm at the end of each minute; `moments` are these ends in epoch seconds."""

    moments: Sequence[float]
    states: Mapping[str, Sequence[State]]

    def list_ringing(self, name: str) -> list[float]:
        """Return the moments at which an alarm rang; none for an alarm that there is not."""
        return [at for at, state in zip(self.moments, self.states.get(name, ()), strict=False) if state == "ALARM"]


@dataclass(frozen=True)
class AlarmWatch:
    """The alarms that can tell people: those in the rule of a composite alarm, but for those on schedules."""

    own: LocalScenarioContext
    alarms: Mapping[str, Mapping[str, Any]]
    composites: Mapping[str, Mapping[str, Any]]
    deployed: int

    @classmethod
    async def begin(cls, own: LocalScenarioContext) -> "AlarmWatch":
        """Read which alarms there are."""
        found = {read_name(alarm): alarm for alarm in await own.target.alarms.list_alarms()}
        composites = {read_name(alarm): alarm for alarm in await own.target.alarms.list_composites()}
        told = {name for each in composites.values() for name in list_told(each)}
        watched = {name: alarm for name, alarm in found.items() if name in told - SCHEDULES}
        return cls(own, watched, composites, len(found) + len(composites))

    async def read_history(self, since: float) -> AlarmHistory:
        """Return the states from a time on, until now."""
        first = int(since // MINUTE_S) + 1
        moments = [minute * float(MINUTE_S) for minute in range(first, int((time.time() - WRITTEN_S) // MINUTE_S) + 1)]
        return AlarmHistory(moments, {name: await self._read_states(alarm, moments) for name, alarm in
                                      self.alarms.items()})  # fmt: skip

    async def _read_states(self, alarm: Mapping[str, Any], moments: Sequence[float]) -> list[State]:
        period_s = PERIOD_MINUTES[int(alarm["Period"])] * MINUTE_S
        since = (moments[0] // ALIGNED_S - 1) * ALIGNED_S
        values = await self.own.target.alarms.read_values(dict(alarm), since, period_s)
        return judge_minutes(AlarmRule.from_alarm(alarm, period_s), values, moments)

    async def wait_until_quiet(self, since: float) -> None:
        """Return when no alarm rings any more, or the time is up."""
        self.own.show_progress("waiting for all alarms to go back")
        until = time.time() + BACK_S
        while time.time() < until:
            await asyncio.sleep(MINUTE_S)
            history = await self.read_history(since)
            if all(states[-1] == "OK" for states in history.states.values()):
                return


def read_name(alarm: Mapping[str, Any]) -> str:
    """Return an alarm's name in the template."""
    return str(alarm["AlarmName"]).split("-")[1]


def list_told(composite: Mapping[str, Any]) -> list[str]:
    """Return the names in the template of the alarms that a composite alarm tells of."""
    return [name.split("-")[1] for name in list_children(str(composite["AlarmRule"]))]


def check_alarms(
    own: LocalScenarioContext,
    troubles: Sequence[AlarmTrouble],
    history: AlarmHistory,
    composites: Mapping[str, Mapping[str, Any]],
) -> None:
    """Check that the declared alarms rang, each in its time, that they went back, and that no other rang."""
    first = min(trouble.began for trouble in troubles)
    rang = {name for name in history.states if history.list_ringing(name)}
    early = sorted(name for name in rang if history.list_ringing(name)[0] <= first)
    own.check_equal("Before any trouble no alarm rings", [], early)
    declared: dict[str, AlarmTrouble] = {name: trouble for trouble in troubles for name in trouble.rings}
    for trouble in troubles:
        own.check_equal(f"Rung by: {trouble.name}", trouble.rings, [name for name in trouble.rings if name in rang])
    before = sorted(name for name in rang & declared.keys() if history.list_ringing(name)[0] <= declared[name].began)
    own.check_equal("Alarms that rang before their own trouble", [], before)
    own.check_equal("Alarms that no trouble should ring, and that rang", [], sorted(rang - declared.keys()))
    still = sorted(name for name, states in history.states.items() if states[-1] == "ALARM")
    own.check_equal("Alarms that have not gone back to OK", [], still)
    for name, states in history.states.items():
        wanted = ("rang" if name in declared else "quiet", "OK")
        own.reconciliation.compare("alarms, and their states at the end", name, wanted,
                                   ("rang" if name in rang else "quiet", states[-1]))  # fmt: skip
    for composite, kind in ((WAKE, "wakes"), (LOOK, "looks")):
        wanted_names = sorted(f"{name}Alarm" for trouble in troubles for name in getattr(trouble, kind))
        told = set(list_told(composites[composite])) if composite in composites else set()
        own.check_equal(f"Alarms that rang and made {composite} ring", wanted_names, sorted(rang & told))


def check_messages(
    own: LocalScenarioContext, composites: Mapping[str, Mapping[str, Any]], messages: set[tuple[str, str, str]]
) -> None:
    """Check that the topics of both composite alarms got what they tell; each message is an alarm, its state, a topic.

    That they tell also when they go back is checked by their configuration: the emulator's own alarms go back only
    after the deployed minutes.
    """
    for name in (WAKE, LOOK):
        alarm = composites.get(name, {})
        got = sorted(topic for alarm_name, state, topic in messages if (alarm_name, state) == (name, "ALARM"))
        own.check(f"{name} reached its topic", holds=len(got) == 1, wanted="a message to one topic", found=got)
        own.check_equal(f"{name} also tells that it is over", got, sorted(map(read_topic, alarm.get("OKActions", ()))))
    topics = {topic for _, state, topic in messages if state == "ALARM"}
    own.check_equal("Topics that got a message", 2, len(topics))


def read_topic(arn: str) -> str:
    """Return a topic's name in the template."""
    return arn.rpartition(":")[2].split("-")[1]
