"""Half an hour of ordinary use on a local cloud, in real minutes, in which no alarm rings.

QUIET_MINUTES shortens it; the figure of a shortened run has another name, so that it is never kept for the whole one.

All alarms are judged by CloudWatch's documented rules, on what the functions printed and what the local cloud wrote in
the place of AWS's services.
"""

import os
import sys
import time
from pathlib import Path

import pytest

from tests.alarms.deployed_alarms import DeployedAlarms
from tests.alarms.usual_traffic import UsualTraffic
from tests.e2e.cloud import run_cloud
from tests.measurements import describe_commit, record
from tests.settings.alarms import ALARMS, ONLY_CREATED, SCHEDULES

WHOLE_MINUTES = 30
MINUTES = int(os.environ.get("QUIET_MINUTES", WHOLE_MINUTES))
FIGURE = "quiet_minutes" if MINUTES >= WHOLE_MINUTES else "quiet_minutes_shortened"
# Alarms on the health report's silence look at five minutes, and before the start there was silence.
FIRST_MINUTES = 5
MINUTE_S = 60
LATE_S = 10.0  # after a minute's end, when its metrics are there
# Without a value when all is well: events, reputation without a bounce, throttles, stopped loops, and what a function
# does that is called once an hour or by an operator; and a version that is being released, of which there is none.
SILENT = {
    name
    for name, watch in ALARMS.items()
    if (watch.dimensions.get("service") == "fleet" and name not in SCHEDULES)
    or watch.namespace in ("AWS/SES", "AWS/DynamoDB")
    or watch.metric == "RecursiveInvocationsDropped"
    or watch.group == "release"
    or name.startswith(("AdminErrors", "Housekeeping"))
}


def test_half_an_hour_of_ordinary_use_rings_no_alarm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each alarm is looked at in each minute, and so are the two that tell people."""
    rung: dict[str, list[int]] = {}
    commit = describe_commit()  # of what the run begins with
    with run_cloud(tmp_path) as cloud, UsualTraffic(cloud) as traffic, capsys.disabled():
        alarms = DeployedAlarms(cloud)
        began = time.time()
        for minute in range(1, FIRST_MINUTES + MINUTES + 1):
            _sleep_until((began // MINUTE_S + minute) * MINUTE_S + LATE_S)
            ringing = alarms.list_ringing(since=began, now=time.time()) if minute > FIRST_MINUTES else []
            ringing += [name for name in ("WakeSomebody", "LookTomorrow") if alarms.read_composite(name) == "ALARM"]
            for name in ringing:
                rung.setdefault(name, []).append(minute)
            said = f"minute {minute - FIRST_MINUTES}: {traffic.calls} calls, rung so far: {rung or 'nothing'}"
            sys.stderr.write(f"{said}\n")
        measured = alarms.list_measured(since=began)
    record(
        FIGURE, minutes=MINUTES, calls=traffic.calls, refused=len(traffic.refused), alarms=len(ALARMS),
        measured=len(measured), rung=len(rung), commit=commit,
    )  # fmt: skip
    assert rung == {}
    assert traffic.refused == [], "the calls themselves met trouble"
    assert set(ALARMS) - measured <= SILENT | ONLY_CREATED, "an alarm without values was not tested"


def _sleep_until(at: float) -> None:
    time.sleep(max(0.0, at - time.time()))
