"""The metrics that AWS documents for the services of the stack: their units, and the dimensions they can be asked by.

From the pages "Types of metrics for Lambda functions", "Amazon API Gateway dimensions and metrics" (REST APIs),
"Available CloudWatch metrics for Amazon SQS", "DynamoDB Metrics and dimensions", "Monitoring RDS Proxy metrics with
Amazon CloudWatch" and "Monitoring your Amazon SES sending activity", as far as an on-call person has a use for them.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Documented:
    """A metric's unit, and each set of dimensions under which there are values."""

    unit: str
    dimensions: tuple[frozenset[str], ...]


def _dimensions(*sets: str) -> tuple[frozenset[str], ...]:
    """Return the sets of dimensions that are written as words."""
    return tuple(frozenset(each.split()) for each in sets)


LAMBDA = _dimensions("FunctionName", "FunctionName Resource", "FunctionName Resource ExecutedVersion")
REST_API = _dimensions("ApiName", "ApiName Stage", "ApiName Stage Method Resource")
QUEUE = _dimensions("QueueName")
TABLE = _dimensions("TableName")
TABLE_OPERATION = _dimensions("TableName Operation")
PROXY = _dimensions("ProxyName", "ProxyName TargetGroup Target", "ProxyName TargetGroup TargetRole")
PROXY_ENDPOINT = _dimensions("ProxyName", "ProxyName EndpointName")
ACCOUNT = _dimensions("")  # one value for the account in the region

DOCUMENTED: Mapping[tuple[str, str], Documented] = {
    ("AWS/Lambda", "Invocations"): Documented("Count", LAMBDA),
    ("AWS/Lambda", "Errors"): Documented("Count", LAMBDA),
    ("AWS/Lambda", "Throttles"): Documented("Count", LAMBDA),
    ("AWS/Lambda", "Duration"): Documented("Milliseconds", LAMBDA),
    ("AWS/Lambda", "ConcurrentExecutions"): Documented("Count", LAMBDA),
    ("AWS/Lambda", "RecursiveInvocationsDropped"): Documented("Count", LAMBDA),
    ("AWS/ApiGateway", "Count"): Documented("Count", REST_API),
    ("AWS/ApiGateway", "4XXError"): Documented("Count", REST_API),  # its average is the share of calls
    ("AWS/ApiGateway", "5XXError"): Documented("Count", REST_API),  # the same
    ("AWS/ApiGateway", "Latency"): Documented("Milliseconds", REST_API),
    ("AWS/ApiGateway", "IntegrationLatency"): Documented("Milliseconds", REST_API),
    ("AWS/SQS", "ApproximateAgeOfOldestMessage"): Documented("Seconds", QUEUE),
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible"): Documented("Count", QUEUE),
    ("AWS/SQS", "ApproximateNumberOfMessagesNotVisible"): Documented("Count", QUEUE),
    ("AWS/SQS", "NumberOfMessagesSent"): Documented("Count", QUEUE),
    ("AWS/SQS", "NumberOfMessagesDeleted"): Documented("Count", QUEUE),
    ("AWS/DynamoDB", "ReadThrottleEvents"): Documented("Count", TABLE),
    ("AWS/DynamoDB", "WriteThrottleEvents"): Documented("Count", TABLE),
    ("AWS/DynamoDB", "ThrottledRequests"): Documented("Count", TABLE_OPERATION),
    ("AWS/DynamoDB", "SystemErrors"): Documented("Count", TABLE_OPERATION),
    ("AWS/DynamoDB", "SuccessfulRequestLatency"): Documented("Milliseconds", TABLE_OPERATION),
    ("AWS/RDS", "ClientConnections"): Documented("Count", PROXY_ENDPOINT),
    ("AWS/RDS", "DatabaseConnections"): Documented("Count", PROXY),
    ("AWS/RDS", "DatabaseConnectionsCurrentlyBorrowed"): Documented("Count", PROXY),
    ("AWS/RDS", "DatabaseConnectionsCurrentlySessionPinned"): Documented("Count", PROXY),
    ("AWS/RDS", "MaxDatabaseConnectionsAllowed"): Documented("Count", PROXY),
    ("AWS/RDS", "DatabaseConnectionsBorrowLatency"): Documented("Microseconds", PROXY_ENDPOINT),
    ("AWS/SES", "Reputation.BounceRate"): Documented("None", ACCOUNT),
    ("AWS/SES", "Reputation.ComplaintRate"): Documented("None", ACCOUNT),
}
