"""The report of a hook's result to CodeDeploy, which otherwise waits for it for an hour."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Literal, Protocol

from pretraffic.logs import log_event, log_failure, read_code

ATTEMPTS = 4
CONNECT_S = 3.0
READ_S = 10.0
LONGEST_PAUSE_S = 2.0  # after the first attempt, twice as long after the second, and so on
# All attempts and pauses together; the rest of the hook ends before this time begins.
REPORT_S = 65.0
# An earlier report has arrived: its answer was lost, or Lambda has run the hook a second time.
ALREADY_REPORTED = "LifecycleEventAlreadyCompletedException"

Status = Literal["Succeeded", "Failed"]


class CodeDeploy(Protocol):
    """The one method that is used of boto3's client `codedeploy`."""

    def put_lifecycle_event_hook_execution_status(
        self,
        *,
        deploymentId: str,  # noqa: N803 - AWS's names
        lifecycleEventHookExecutionId: str,  # noqa: N803
        status: Status,
    ) -> Mapping[str, Any]:
        """Set the result of a hook's run. Raise ClientError, BotoCoreError."""


@dataclass(frozen=True, slots=True)
class HookRun:
    """One run of a hook, as CodeDeploy names it."""

    deployment_id: str
    execution_id: str

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> "HookRun":
        """Return the run that an event of CodeDeploy's asks for. Raise KeyError for any other event."""
        return cls(str(event["DeploymentId"]), str(event["LifecycleEventHookExecutionId"]))


def report_status(
    make_client: Callable[[], CodeDeploy],
    run: HookRun,
    status: Status,
    *,
    random: Random,
    sleep: Callable[[float], None],
) -> None:
    """Report a run's result, and again if that fails. Raise what the client raised at the last attempt."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            make_client().put_lifecycle_event_hook_execution_status(
                deploymentId=run.deployment_id, lifecycleEventHookExecutionId=run.execution_id, status=status
            )
        except Exception as error:
            log_failure("report_failed", error, attempt=attempt)
            if read_code(error) == ALREADY_REPORTED:
                return
            if attempt == ATTEMPTS:
                raise
            sleep(random.uniform(0, LONGEST_PAUSE_S * attempt))
        else:
            log_event(logging.INFO, "reported", status=status)
            return
