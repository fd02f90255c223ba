"""The handler of CodeDeploy's hook `BeforeAllowTraffic`: a release gets traffic only if all its new versions pass.

It has neither the layer nor a way into the network: a release whose layer or network is broken is checked as well, and
CodeDeploy is reached without an endpoint of its own.
"""

import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from pretraffic.checks import Check, build_checks

ATTEMPTS = 3  # a version that was published a moment ago may not be ready yet
PAUSE_S = 5.0

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)


class Lambda(Protocol):
    """The one method that is used of boto3's client `lambda`."""

    def invoke(self, *, FunctionName: str, Payload: bytes) -> Mapping[str, Any]:  # noqa: N803 - AWS's names
        """Invoke a version and wait for its answer. Raise ClientError, BotoCoreError."""


def handler(event: Mapping[str, str], _context: object) -> None:
    """Lambda's entry point: check the new versions, and tell CodeDeploy whether they may get traffic."""
    faults = check_release(
        boto3.client("lambda"),
        json.loads(os.environ["VERSIONS"]),
        build_checks(os.environ["USER_POOL_CLIENT_ID"]),
        time.sleep,
    )
    boto3.client("codedeploy").put_lifecycle_event_hook_execution_status(
        deploymentId=event["DeploymentId"],
        lifecycleEventHookExecutionId=event["LifecycleEventHookExecutionId"],
        status="Failed" if faults else "Succeeded",
    )


def check_release(
    client: Lambda, versions: Mapping[str, str], checks: Mapping[str, Check], sleep: Callable[[float], None]
) -> dict[str, str]:
    """Return what is wrong, by function; empty if all passed. `versions` are the new versions' ARNs by function."""
    faults = {name: check_version(client, versions[name], check, sleep) for name, check in checks.items()}
    for name, fault in faults.items():
        log(name=name, version=versions[name].rpartition(":")[2], fault=fault)
    return {name: fault for name, fault in faults.items() if fault}


def check_version(client: Lambda, version: str, check: Check, sleep: Callable[[float], None]) -> str:
    """Return what is wrong with a version's answer after the last attempt; empty if it passed."""
    fault = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            sleep(PAUSE_S)
        fault = try_version(client, version, check)
        if not fault:
            break
    return fault


def try_version(client: Lambda, version: str, check: Check) -> str:
    """Return what is wrong with a version's answer to its event; empty if it is as it must be."""
    try:
        result = client.invoke(FunctionName=version, Payload=json.dumps(check.event).encode())
        answer = json.loads(result["Payload"].read())
    except (ClientError, BotoCoreError, ValueError) as error:
        return f"could not be invoked: {type(error).__name__}"
    if "FunctionError" in result or not isinstance(answer, dict):
        return f"raised {answer.get('errorType', '?') if isinstance(answer, dict) else type(answer).__name__}"
    return check.find_fault(answer)


def log(*, name: str, version: str, fault: str) -> None:
    """Write a line for one version: `passed`, or `refused` with the fault."""
    line = {"message": "version_refused" if fault else "version_passed", "function": name, "version": version}
    logger.log(logging.ERROR if fault else logging.INFO, json.dumps({**line, **({"fault": fault} if fault else {})}))
