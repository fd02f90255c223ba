"""The handler of the custom resource `Setup` of templates/database.yaml.

CloudFormation calls it when the stack is created, and when the cluster is replaced. It runs `setup.sql` through the
Data API, so it needs no way into the network. It has no layer: the parent stack creates that later.
"""

import json
import time
import urllib.request
from collections.abc import Mapping
from importlib import resources
from typing import Any, Protocol

import boto3
from botocore.exceptions import BotoCoreError, ClientError

STATEMENT = resources.files("database_setup").joinpath("setup.sql").read_text(encoding="utf-8")

# A new cluster's Data API may refuse for a moment. CloudFormation waits for 200 s, Lambda for 180 s.
ATTEMPTS = 12
PAUSE_S = 10.0
ANSWER_S = 10.0
RESOURCE_ID = "setup"  # always the same: CloudFormation takes another id for a new resource, and deletes this one
REASON_CHARACTERS = 1000  # CloudFormation takes 4 KB in all


class DataApi(Protocol):
    """The one method that is used of boto3's client `rds-data`."""

    def execute_statement(self, *, resourceArn: str, secretArn: str, database: str, sql: str) -> Mapping[str, Any]:  # noqa: N803 - AWS's names
        """Run one statement, in a transaction of its own. Raise ClientError, BotoCoreError."""


def handler(event: Mapping[str, Any], _context: object) -> None:
    """Carry out CloudFormation's request, and answer it whatever happens."""
    try:
        if event["RequestType"] != "Delete":  # the role goes with the cluster
            create_owner(boto3.client("rds-data"), event["ResourceProperties"])
    except Exception as error:  # noqa: BLE001 - without an answer the stack would wait
        send_answer(event, "FAILED", f"{type(error).__name__}: {error}")
    else:
        send_answer(event, "SUCCESS")


def create_owner(
    api: DataApi, properties: Mapping[str, str], *, attempts: int = ATTEMPTS, pause_s: float = PAUSE_S
) -> None:
    """Run the statement, and again if the Data API refuses it. Raise the last refusal: ClientError, BotoCoreError."""
    for attempt in range(1, attempts + 1):
        try:
            api.execute_statement(
                resourceArn=properties["ClusterArn"],
                secretArn=properties["SecretArn"],
                database=properties["Database"],
                sql=STATEMENT,
            )
        except (ClientError, BotoCoreError):
            if attempt == attempts:
                raise
            time.sleep(pause_s)
        else:
            return


def send_answer(event: Mapping[str, Any], status: str, reason: str = "") -> None:
    """Put the outcome where CloudFormation asked for it."""
    body = {
        "Status": status,
        "Reason": reason[:REASON_CHARACTERS],
        "PhysicalResourceId": RESOURCE_ID,
        **{name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")},
    }
    # S3 signed the address for an empty content type.
    request = urllib.request.Request(  # noqa: S310 - CloudFormation's address
        event["ResponseURL"], data=json.dumps(body).encode(), method="PUT", headers={"Content-Type": ""}
    )
    urllib.request.urlopen(request, timeout=ANSWER_S).close()  # noqa: S310
