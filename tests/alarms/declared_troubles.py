"""Which alarms ring in each trouble that a test makes on a local cloud: these, and no other.

docs/reference/alarms.md is compared with this table: an alarm that no trouble rings is verified by its metric alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tests.settings.alarms import CIRCUITS

# Functions, by the beginnings of their alarms' names.
CRASHING = ("Agents", "Members", "Claims", "Pages", "Jobs", "Health", "Worker", "Admin", "Relay", "Housekeeping")
THROTTLED = ("Agents", "Members", "Claims", "Jobs", "Worker", "Admin", "Housekeeping")
SLOW = ("Agents", "Members", "Claims", "Pages", "Jobs", "Health", "Relay", "Worker", "Housekeeping")

REPORTED = "tests/e2e/test_alarms.py"
DEPENDENCIES = "tests/e2e/test_dependency_alarms.py"
FUNCTIONS = "tests/e2e/test_function_alarms.py"
ANSWERS = "tests/e2e/test_service_alarms.py"
RELEASES = "tests/e2e/test_rollback.py"


@dataclass(frozen=True, slots=True)
class Trouble:
    """The alarms that ring, and the file with the test that makes the trouble."""

    rings: frozenset[str]
    file: str


def _in(file: str, *names: str) -> Trouble:
    return Trouble(frozenset(f"{name}Alarm" for name in names), file)


TROUBLES: Mapping[str, Trouble] = {
    # ---- what the health function finds
    "a job of low priority is given up": _in(REPORTED, "JobsFailed"),
    "a job of high priority is given up": _in(REPORTED, "JobsFailed", "JobsHighUnsolved"),
    "a mail's outcome is uncertain": _in(REPORTED, "JobsUncertain"),
    "jobs wait for too long": _in(
        REPORTED, "JobsLate", "JobsOldestPendingHigh", "JobsOldestPendingNormal", "JobsOldestPendingLow"
    ),
    "the database is away": _in(REPORTED, "Unhealthy"),
    "the health report is silent": _in(REPORTED, "Unhealthy"),
    "connections stay in use": _in(REPORTED, "DatabaseConnections"),
    "a circuit stays open": _in(REPORTED, "CircuitOpenStorage", "Degraded"),
    "SES, Cognito and S3 fail": _in(
        DEPENDENCIES, "CircuitsOpened", "Degraded", *(f"CircuitOpen{name}" for name in CIRCUITS)
    ),
    # ---- the state table
    "the state table does not answer": _in(REPORTED, "StateStoreUnavailable"),
    "the limits' items are throttled": _in(DEPENDENCIES, "StateStoreUnavailable", "StateTableWriteThrottles"),
    "the circuits' items are throttled": _in(DEPENDENCIES, "CircuitStoreUnavailable", "StateTableReadThrottles"),
    "the mails' pace is throttled": _in(DEPENDENCIES, "MailPaceUnavailable", "StateTableReadThrottles"),
    # ---- functions, one after another
    "a called function dies": _in(ANSWERS, "MembersErrors", "ServerErrors"),
    "answers are slow": _in(ANSWERS, "Latency"),
    **{f"{name}Function crashes": _in(FUNCTIONS, f"{name}Errors") for name in CRASHING},
    "PagesFunction is throttled": _in(FUNCTIONS, "PagesThrottles"),
    **{f"{name}Function is throttled": _in(FUNCTIONS, f"{name}Throttles") for name in THROTTLED},
    "HealthFunction is throttled": _in(FUNCTIONS, "HealthThrottles", "Unhealthy"),
    "RelayFunction is throttled and its wake-ups grow old": _in(DEPENDENCIES, "RelayThrottles", "NudgeQueueAge"),
    **{f"{name}Function is slow": _in(FUNCTIONS, f"{name}Duration") for name in SLOW},
    "a loop through the queues is stopped": _in(DEPENDENCIES, "RelayRecursion", "WorkerRecursion"),
    "a task of housekeeping fails": _in(DEPENDENCIES, "ChoresFailed"),
    # ---- queues, mails and the proxy
    "a dead letter stays": _in(ANSWERS, "DeadLetterLow"),
    "dead letters of high and normal priority stay": _in(DEPENDENCIES, "DeadLetterHigh", "DeadLetterNormal"),
    "messages grow old": _in(DEPENDENCIES, "QueueHighAge", "QueueNormalAge", "QueueLowAge"),
    "mails bounce": _in(DEPENDENCIES, "MailBounces"),
    "mails are complained of": _in(DEPENDENCIES, "MailComplaints"),
    "sessions stay pinned": _in(DEPENDENCIES, "SessionPins"),
    # ---- a release
    "every write fails": _in(RELEASES, "MembersReleaseFailures"),
    "raises after the commit": _in(RELEASES, "MembersReleaseErrors"),
}
