"""Handlers for the tests of the gateway and the runtime: each behaves in one way, good or bad."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

Event = dict[str, Any]


def noop(event: Event, context: Any) -> Any:
    """Answers 200 at once."""
    return {"statusCode": 200, "body": "{}"}


def echo(event: Event, context: Any) -> Any:
    """Answers with the event and what the environment sees."""
    seen = {"event": event, "pid": os.getpid(), "variables": dict(os.environ), "request_id": context.aws_request_id}
    return {"statusCode": 200, "headers": {"Content-Type": "application/json"}, "body": json.dumps(seen)}


def answer(event: Event, context: Any) -> Any:
    """Answers what the body says, as it is."""
    return json.loads(event["body"])


def crash(event: Event, context: Any) -> Any:
    """Raises."""
    raise RuntimeError("broken on purpose")


def leave(event: Event, context: Any) -> Any:
    """Ends the process in the middle of an invocation."""
    os._exit(3)


def sleep(event: Event, context: Any) -> Any:
    """Takes the seconds that the body names, after saying who it is in the file of the query, if any."""
    wanted = event.get("queryStringParameters") or {}
    if "note" in wanted:
        with Path(wanted["note"]).open("a") as note:
            note.write(f"{os.getpid()}\n")
    time.sleep(float(wanted.get("seconds", "0.3")))
    return {"statusCode": 200, "body": json.dumps({"pid": os.getpid()})}


def big(event: Event, context: Any) -> Any:
    """Answers with more than Lambda lets through."""
    return {"statusCode": 200, "body": "x" * (7 * 1024 * 1024)}


def talk(event: Event, context: Any) -> Any:
    """Prints lines, a traceback's worth of them included."""
    sys.stdout.write("one line\n")
    for part in ("two", " ", "words\n"):
        sys.stdout.write(part)
    return {"statusCode": 200, "body": "{}"}


def batch(event: Event, context: Any) -> Any:
    """Notes the batch in the file of its first body's `note`, and fails the bodies that say so."""
    bodies = [json.loads(record["body"]) for record in event["Records"]]
    with Path(bodies[0]["note"]).open("a") as note:
        note.write(json.dumps({"records": event["Records"], "pid": os.getpid()}) + "\n")
    if any(body.get("crash") for body in bodies):
        raise RuntimeError("the whole batch")
    failed = [record["messageId"] for record, body in zip(event["Records"], bodies, strict=True) if body.get("fail")]
    return {"batchItemFailures": [{"itemIdentifier": identifier} for identifier in failed]}


def send_itself(event: Event, context: Any) -> Any:
    """Sends each message to the queue that its body names, and notes the trace headers in the file of `note`."""
    import boto3

    for record in event["Records"]:
        body = json.loads(record["body"])
        with Path(body["note"]).open("a") as note:
            note.write(
                json.dumps([record["attributes"].get("AWSTraceHeader", ""), os.environ["_X_AMZN_TRACE_ID"]]) + "\n"
            )
        boto3.client("sqs").send_message(QueueUrl=body["queue"], MessageBody=record["body"])
    return {}


def scheduled(event: Event, context: Any) -> Any:
    """Notes the event in the file that the environment names."""
    with Path(os.environ["NOTE"]).open("a") as note:
        note.write(json.dumps(event) + "\n")


def measure(event: Event, context: Any) -> Any:
    """Prints the numbers of the event as metrics of the namespace in NAMESPACE, under the dimension `service`."""
    named = [{"Name": name, "Unit": "Count"} for name in event]
    directive = {"Namespace": os.environ["NAMESPACE"], "Dimensions": [["service"]], "Metrics": named}
    described = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]}
    sys.stdout.write(json.dumps({"_aws": described, "service": "health", **event}) + "\n")
    return {"statusCode": 200, "body": "{}"}
