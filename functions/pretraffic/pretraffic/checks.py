"""The checks of a release: an event for each new version, and the answer that it must give."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

# Nobody's identity. The database refuses it, in the transaction that would have read for it: so its refusal shows that
# the new version starts, connects, signs in as its role and runs a statement, without an account made for the purpose.
NOBODY = "00000000-0000-0000-0000-000000000000"
# The address is one of those reserved for documentation (RFC 5737): limits of real clients are not charged.
SOURCE_IP = "192.0.2.1"

Answer = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Check:
    """An event for a new version, and what is wrong with its answer: nothing if the text is empty."""

    event: Mapping[str, Any]
    find_fault: Callable[[Answer], str]


def build_read(path: str, *, client_id: str = "") -> dict[str, Any]:
    """Return the event of a GET request, as API Gateway sends it; with a client's id it is signed in as NOBODY."""
    claims = {"sub": NOBODY, "token_use": "access", "client_id": client_id, "cognito:groups": "staff,admin"}
    return {
        "resource": path,
        "path": path,
        "httpMethod": "GET",
        "headers": {"Accept": "application/json"},
        "multiValueHeaders": {"Accept": ["application/json"]},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": None,
        "stageVariables": None,
        "requestContext": {
            "resourcePath": path,
            "httpMethod": "GET",
            "path": f"/api{path}",
            "stage": "api",
            "requestId": "pre-traffic",
            "extendedRequestId": "pre-traffic",
            "identity": {"sourceIp": SOURCE_IP},
            **({"authorizer": {"claims": claims}} if client_id else {}),
        },
        "body": None,
        "isBase64Encoded": False,
    }


def build_batch() -> dict[str, Any]:
    """Return the event of a message about a job that there is not: the worker looks for it and does nothing."""
    record = {
        "messageId": NOBODY,
        "receiptHandle": "pre-traffic",
        "body": json.dumps({"job_id": NOBODY}),
        "attributes": {"ApproximateReceiveCount": "1"},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-central-1:111122223333:pre-traffic",
        "awsRegion": "eu-central-1",
    }
    return {"Records": [record]}


def find_fault_of_page(answer: Answer) -> str:
    """Return what is wrong with an answer that must be 200."""
    return "" if answer.get("statusCode") == 200 else describe(answer)


def find_fault_of_refusal(answer: Answer) -> str:
    """Return what is wrong with the answer to NOBODY's read: the database has to refuse it."""
    refused = answer.get("statusCode") == 403 and ":forbidden" in str(answer.get("body"))
    return "" if refused else describe(answer)


def find_fault_of_batch(answer: Answer) -> str:
    """Return what is wrong with the worker's answer to a batch whose only message leaves nothing to do."""
    return "" if answer.get("batchItemFailures") == [] else describe(answer)


def describe(answer: Answer) -> str:
    """Return what may be logged of an answer: its status and the name of its problem, or the class of its error."""
    try:
        problem = json.loads(answer["body"]).get("type", "")
    except (KeyError, TypeError, ValueError, AttributeError):
        problem = answer.get("errorType", "")
    return f"answered {answer.get('statusCode')} {problem}".strip()


def build_checks(client_id: str) -> dict[str, Check]:
    """Return the check of each function that is released with a canary, by its package's name."""

    def read(path: str) -> Check:
        return Check(build_read(path, client_id=client_id), find_fault_of_refusal)

    return {
        "health": Check(build_read("/health/deep"), find_fault_of_page),  # degraded passes: the old version is as well
        "pages": Check(build_read("/openapi.json"), find_fault_of_page),
        "agents": read("/agents"),
        "members": read("/members"),
        "claims": read("/claims"),
        "jobs": read("/jobs"),
        "worker": Check(build_batch(), find_fault_of_batch),
    }
