"""The checks of a release: an event for each new version, and the answer that it must give."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Network
from random import Random
from typing import Any
from uuid import UUID

# Addresses reserved for documentation (RFC 3849): limits of real clients are not charged. Limits count the first 64
# bits of an address, of which this network leaves 32 to chance.
ADDRESSES = IPv6Network("2001:db8::/32")
NO_JOB = "00000000-0000-0000-0000-000000000000"  # the id of a job that does not exist
MOST_CHARACTERS = 200  # of what is logged of an answer

Answer = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SyntheticCaller:
    """The identity and the address that one run of the hook calls from.

    There is no account with this identity. The database refuses it, in the transaction that would have read for it: so
    its refusal shows that the new version starts, connects, signs in as its role and runs a statement.
    """

    sub: str
    source_ip: str


def draw_caller(random: Random) -> SyntheticCaller:
    """Return a caller for one run: several runs at once, each with repeats, would exceed the limits of one caller."""
    sub = str(UUID(int=random.getrandbits(128), version=4))
    return SyntheticCaller(sub, str(ADDRESSES[random.getrandbits(ADDRESSES.max_prefixlen - ADDRESSES.prefixlen)]))


@dataclass(frozen=True, slots=True)
class Check:
    """An event for a new version, and what is wrong with its answer: nothing if the text is empty."""

    event: Mapping[str, Any]
    find_fault: Callable[[Answer], str]


def build_read(path: str, caller: SyntheticCaller, *, client_id: str = "") -> dict[str, Any]:
    """Return the event of a GET request, as API Gateway sends it; with a client's id the caller is signed in."""
    claims = {"sub": caller.sub, "token_use": "access", "client_id": client_id, "cognito:groups": "staff,admin"}
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
            "identity": {"sourceIp": caller.source_ip},
            **({"authorizer": {"claims": claims}} if client_id else {}),
        },
        "body": None,
        "isBase64Encoded": False,
    }


def build_batch() -> dict[str, Any]:
    """Return the event of a message about a job that does not exist: the worker looks for it and does nothing."""
    record = {
        "messageId": NO_JOB,
        "receiptHandle": "pre-traffic",
        "body": json.dumps({"job_id": NO_JOB}),
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
    """Return what is wrong with the answer to the caller's read: the database has to refuse it."""
    refused = answer.get("statusCode") == 403 and read_problem(answer).endswith(":forbidden")
    return "" if refused else describe(answer)


def find_fault_of_batch(answer: Answer) -> str:
    """Return what is wrong with the worker's answer to a batch whose only message leaves nothing to do."""
    return "" if answer.get("batchItemFailures") == [] else describe(answer)


def describe(answer: Answer) -> str:
    """Return what may be logged of an answer: its status and the name of its problem, or the class of its error."""
    named = read_problem(answer) or answer.get("errorType", "")
    return f"answered {answer.get('statusCode')} {named}".strip()[:MOST_CHARACTERS]


def read_problem(answer: Answer) -> str:
    """Return the type of the problem that an answer describes (RFC 9457); empty if it describes none."""
    try:
        return str(json.loads(answer["body"]).get("type", ""))
    except (KeyError, TypeError, ValueError, AttributeError):
        return ""


def build_checks(client_id: str, caller: SyntheticCaller) -> dict[str, Check]:
    """Return the check of each function that is released with a canary, by its package's name."""

    def read(path: str) -> Check:
        return Check(build_read(path, caller, client_id=client_id), find_fault_of_refusal)

    return {
        # Degraded passes: the version before is as well.
        "health": Check(build_read("/health/deep", caller), find_fault_of_page),
        "pages": Check(build_read("/openapi.json", caller), find_fault_of_page),
        "agents": read("/agents"),
        "members": read("/members"),
        "claims": read("/claims"),
        "jobs": read("/jobs"),
        "worker": Check(build_batch(), find_fault_of_batch),
    }
