"""A local cloud whose alarms are judged by CloudWatch's rules while trouble is made in it.

Seconds stand for the alarms' minutes: the local cloud writes the metrics of AWS's services as often
(`python -m local up --minute`), and the health function is invoked once a second, where its schedule is a minute.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import httpx

from local.alarms import EXTRA_PERIODS, State, build_rule, judge
from local.events.dependency_metrics import PROXY_NAME
from tests.alarms.declared_troubles import TROUBLES
from tests.alarms.deployed_alarms import DeployedAlarms
from tests.alarms.troubles import invoke_function
from tests.e2e.cloud import RunningCloud
from tests.settings.alarms import ALARMS, ONLY_CREATED, SCHEDULES, properties

MINUTE_S = 3
PERIOD_MINUTES = {60: 1, 300: 2, 3600: 10}  # by the seconds of the deployed period that they stand for
BEFORE_MINUTES = 5  # before a trouble, in which nothing rang: silence of the health report rings
WRITTEN_S = 3.0  # from the end of a minute until its metrics are in CloudWatch
REPORT_S = 1.0
FIRST_MINUTES = 6  # of reports, before an alarm on their silence is over
SCHEDULE = b'{"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}'


@dataclass
class WatchedCloud:
    """A cloud, and which of its alarms ring after a time."""

    cloud: RunningCloud
    minute_s: int = MINUTE_S
    runs_schedules: bool = False  # as often as the alarms' shortened periods want
    _paused: threading.Event = field(default_factory=threading.Event)

    @cached_property
    def alarms(self) -> DeployedAlarms:
        """Return the deployed alarms."""
        return DeployedAlarms(self.cloud)

    @cached_property
    def watched(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the properties of all alarms by name; those of a created database watch the local stand-in's proxy."""
        by_stand_in = {
            name: {**properties(ALARMS[name]), "Dimensions": [{"Name": "ProxyName", "Value": PROXY_NAME}]}
            for name in ONLY_CREATED
        }
        return {**self.alarms.alarms, **by_stand_in}

    def scale(self, minute_s: int) -> "WatchedCloud":
        """Return this cloud with `minute_s` seconds standing for a minute; a multiple of the usual ones."""
        return replace(self, minute_s=minute_s)

    def align(self, period_s: int = 300) -> float:
        """Wait until a period of this deployed length begins; return when that is, in epoch seconds."""
        scaled_s = self._scale(period_s)
        began = (time.time() // scaled_s + 1) * scaled_s
        time.sleep(max(0.0, began - time.time()))
        return began

    def watch(self, minutes: int, act: Callable[[], object] = lambda: None, *, pause_s: float = 0.2) -> float:
        """Repeat an act until `minutes` are over and their metrics written; return when they were over."""
        ends = (time.time() // self.minute_s + minutes) * self.minute_s
        while time.time() < ends:
            act()
            time.sleep(min(pause_s, max(0.0, ends - time.time())))
        time.sleep(WRITTEN_S)
        return ends

    @contextmanager
    def report_health(self) -> Iterator[None]:
        """Invoke the health function as its schedule does, once a second, within the block."""
        over = threading.Event()

        def run() -> None:
            while not over.wait(REPORT_S):
                if self._paused.is_set():
                    continue
                with suppress(httpx.HTTPError):
                    invoke_function(self.cloud, "HealthFunction", SCHEDULE)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    @contextmanager
    def pause_reports(self) -> Iterator[None]:
        """Stop reporting within the block; afterwards wait until an alarm on this silence is over."""
        self._paused.set()
        try:
            yield
        finally:
            self._paused.clear()
        self.watch(FIRST_MINUTES)

    def judge_alarms(self, *, began: float, ended: float) -> tuple[set[str], set[str]]:
        """Return the alarms that rang at the end of any minute between two times (epoch seconds), and at the last.

        Alarms of a release are left out: they count only while CodeDeploy looks at them. So are those on schedules in
        a cloud whose schedules run in real minutes, which are silence where seconds stand for them.
        """
        rang, ring_still = set(), set()
        left_out = {name for name, watch in ALARMS.items() if watch.group == "release"}
        left_out |= set() if self.runs_schedules else SCHEDULES.keys()
        for name in self.watched:
            if name not in left_out:
                states = self.list_states(name, began=began, ended=ended)
                rang |= {name} if "ALARM" in states else set()
                ring_still |= {name} if states[-1] == "ALARM" else set()
        return rang, ring_still

    def list_states(self, name: str, *, began: float, ended: float) -> list[State]:
        """Return the states of an alarm at the end of each minute between two times (epoch seconds)."""
        alarm = self.watched[name]
        period_s = self._scale(alarm["Period"])
        before_s = BEFORE_MINUTES * self.minute_s
        if name in SCHEDULES:  # silence rings, so all that the alarm looks at has to be known
            before_s = period_s * (alarm["EvaluationPeriods"] + EXTRA_PERIODS + 1)
        values = self._read_values(alarm, since=began - before_s, until=ended, period_s=period_s)
        # One value a period is left, its statistic.
        rule = replace(build_rule(alarm), period_s=period_s, statistic="Maximum")
        states: list[State] = []
        for minute in range(int(began // self.minute_s) + 1, int(ended // self.minute_s) + 1):
            states.append(judge(rule, values, now=minute * self.minute_s, state=states[-1] if states else "OK"))
        return states

    def _read_values(
        self, alarm: Mapping[str, Any], *, since: float, until: float, period_s: int
    ) -> list[tuple[float, float]]:
        statistic = alarm.get("ExtendedStatistic") or alarm["Statistic"]
        is_percentile = statistic.startswith("p")
        answer = self.alarms.cloudwatch.call(
            "GetMetricStatistics",
            Namespace=alarm["Namespace"],
            MetricName=alarm["MetricName"],
            Dimensions=alarm.get("Dimensions", []),
            StartTime=since,
            EndTime=until,
            Period=period_s,
            **{"ExtendedStatistics" if is_percentile else "Statistics": [statistic]},
        )
        points = answer["Datapoints"]
        values = [point["ExtendedStatistics"] if is_percentile else point for point in points]
        return [(float(p["Timestamp"]), float(v[statistic])) for p, v in zip(points, values, strict=True)]

    def check_trouble(self, name: str, *, began: float, end_minutes: int = 0) -> None:
        """Let the trouble's alarms end without it, and assert that they and no others rang, and that none rings."""
        rings = TROUBLES[name].rings
        ended = self.watch(max(end_minutes, self._count_minutes_to_end(rings)))
        rang, ring_still = self.judge_alarms(began=began, ended=ended)
        found = {"rang": sorted(rang), "rings still": sorted(ring_still)}
        wanted = {"rang": sorted(rings), "rings still": []}
        assert found == wanted, f"{found} instead of {wanted}"

    def _count_minutes_to_end(self, names: frozenset[str]) -> int:
        """Return after how many minutes without trouble these alarms have nothing else to look at."""
        looked_at = [PERIOD_MINUTES[self.watched[name]["Period"]] * self._count_periods_to_end(name) for name in names]
        return int(max(looked_at)) + 1

    def _count_periods_to_end(self, name: str) -> int:
        """Return the periods that an alarm needs to end; that on a silence ends by the first whole one with a value."""
        if name in SCHEDULES:
            return 3
        return int(self.watched[name]["EvaluationPeriods"]) + EXTRA_PERIODS + 1

    def _scale(self, period_s: int) -> int:
        """Return the seconds that stand for a deployed period."""
        return PERIOD_MINUTES[period_s] * self.minute_s
