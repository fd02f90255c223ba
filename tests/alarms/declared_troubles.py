"""The alarms that ring in each trouble that a test makes on a local cloud: these, and no other.

docs/reference/alarms.md is compared with this table, in which each alarm has a trouble that rings it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tests.settings.alarms import BUSY, CIRCUITS, RELEASED

# Functions, by the beginnings of their alarms' names.
CRASHING = ("Agents", "Members", "Claims", "Pages", "Jobs", "Health", "Worker", "Admin", "Relay", "Housekeeping")
THROTTLED = ("Agents", "Members", "Claims", "Jobs", "Worker", "Admin", "Housekeeping")
SLOW = ("Agents", "Members", "Claims", "Pages", "Jobs", "Health", "Relay", "Worker", "Housekeeping")

REPORTED = "tests/e2e/test_alarms.py"
DEPENDENCIES = "tests/e2e/test_dependency_alarms.py"
FUNCTIONS = "tests/e2e/test_function_alarms.py"
ANSWERS = "tests/e2e/test_service_alarms.py"
RELEASES = "tests/e2e/test_release_alarms.py"
REHEARSAL = "tests/chaos/test_rollback.py"
PLATFORM = "tests/e2e/test_platform_alarms.py"


@dataclass(frozen=True, slots=True)
class Trouble:
    """The alarms that ring, and the file with the test that makes the trouble."""

    rings: frozenset[str]
    file: str


def _declare(file: str, *names: str) -> Trouble:
    return Trouble(frozenset(f"{name}Alarm" for name in names), file)


TROUBLES: Mapping[str, Trouble] = {
    # ---- what the health function finds
    "a job of low priority is given up": _declare(REPORTED, "JobsFailed"),
    "a job of high priority is given up": _declare(REPORTED, "JobsFailed", "JobsHighUnsolved"),
    "a mail's outcome is uncertain": _declare(REPORTED, "JobsUncertain"),
    "jobs wait for too long": _declare(
        REPORTED, "JobsLate", "JobsOldestPendingHigh", "JobsOldestPendingNormal", "JobsOldestPendingLow"
    ),
    "the database is away": _declare(REPORTED, "Unhealthy"),
    "the health report is silent": _declare(REPORTED, "Unhealthy"),
    "connections stay in use": _declare(REPORTED, "DatabaseConnections"),
    "a circuit stays open": _declare(REPORTED, "CircuitOpenStorage", "Degraded"),
    "SES, Cognito and S3 fail": _declare(
        DEPENDENCIES, "CircuitsOpened", "Degraded", *(f"CircuitOpen{name}" for name in CIRCUITS)
    ),
    # ---- schedules and the database
    "the relay's schedule is off": _declare(PLATFORM, "RelaySchedule"),
    "the schedule of housekeeping is off": _declare(PLATFORM, "HousekeepingSchedule"),
    "two use cases meet at the same rows again and again": _declare(PLATFORM, "TransactionRetries"),
    "another server becomes the writer": _declare(PLATFORM, "Failover"),
    # ---- the state table
    "the state table does not answer": _declare(REPORTED, "StateStoreUnavailable"),
    "the limits' items are throttled": _declare(DEPENDENCIES, "StateStoreUnavailable", "StateTableWriteThrottles"),
    "the circuits' items are throttled": _declare(DEPENDENCIES, "CircuitStoreUnavailable", "StateTableReadThrottles"),
    "the mails' pace is throttled": _declare(DEPENDENCIES, "MailPaceUnavailable", "StateTableReadThrottles"),
    "the relay may not keep answers": _declare(DEPENDENCIES, "AnswersNotKept"),
    # ---- functions, one after another
    "a called function dies": _declare(ANSWERS, "MembersErrors", "ServerErrors"),
    "answers are slow": _declare(ANSWERS, "Latency"),
    **{f"{name}Function crashes": _declare(FUNCTIONS, f"{name}Errors") for name in CRASHING},
    "PagesFunction is throttled": _declare(FUNCTIONS, "PagesThrottles"),
    **{f"{name}Function is throttled": _declare(FUNCTIONS, f"{name}Throttles") for name in THROTTLED},
    "HealthFunction is throttled": _declare(FUNCTIONS, "HealthThrottles", "Unhealthy"),
    **{f"{name}Function is full": _declare(FUNCTIONS, f"{name}Concurrency") for name in BUSY if name != "Health"},
    "HealthFunction is full": _declare(FUNCTIONS, "HealthConcurrency", "Unhealthy"),
    "RelayFunction is throttled and its wake-ups grow old": _declare(DEPENDENCIES, "RelayThrottles", "NudgeQueueAge"),
    **{f"{name}Function is slow": _declare(FUNCTIONS, f"{name}Duration") for name in SLOW},
    "a loop through the queues is stopped": _declare(DEPENDENCIES, "RelayRecursion", "WorkerRecursion"),
    "a task of housekeeping fails": _declare(DEPENDENCIES, "ChoresFailed"),
    # ---- queues, mails and the proxy
    "a dead letter stays": _declare(ANSWERS, "DeadLetterLow"),
    "dead letters of high and normal priority stay": _declare(DEPENDENCIES, "DeadLetterHigh", "DeadLetterNormal"),
    "messages grow old": _declare(DEPENDENCIES, "QueueHighAge", "QueueNormalAge", "QueueLowAge"),
    "mails bounce": _declare(DEPENDENCIES, "MailBounces"),
    "mails are complained of": _declare(DEPENDENCIES, "MailComplaints"),
    "sessions stay pinned": _declare(DEPENDENCIES, "SessionPins"),
    # ---- a release
    "the hook of a release can't report": _declare(FUNCTIONS, "PreTrafficErrors"),
    "a release is checked": _declare(REHEARSAL, "ReleaseInProgress"),
    **{f"a new version of {name}Function raises": _declare(RELEASES, f"{name}ReleaseErrors") for name in RELEASED},
    **{
        f"a new version of {name}Function answers with 5xx": _declare(RELEASES, f"{name}ReleaseFailures")
        for name in RELEASED
        if name != "Worker"
    },
    "a new version of WorkerFunction can't do a job": _declare(RELEASES, "WorkerReleaseFailures"),
}
