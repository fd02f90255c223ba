"""The metrics that AWS writes of DynamoDB, SES and RDS Proxy, from what their stand-ins count.

From the pages "DynamoDB Metrics and dimensions", "Monitoring your Amazon SES sending activity" and "Monitoring RDS
Proxy metrics with Amazon CloudWatch". As there, a throttle that did not happen and a reputation without a single
bounce or complaint have no value.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from local.events.service_metric import ServiceMetric

READS = frozenset({"GetItem", "BatchGetItem", "Query", "Scan", "TransactGetItems"})
PROXY_NAME = "interdomestik-database"  # of the stand-in, as an RDS Proxy would be named
# SES computes rates over "a representative volume" of mails, which it does not document.
REPRESENTATIVE = 100
# The local part of an address that SES's mailbox simulator answers so.
BOUNCE, COMPLAINT = "bounce", "complaint"
MICROSECONDS = 1_000_000


def summarize_table(name: str, throttled: Mapping[str, int]) -> Iterator[ServiceMetric]:
    """Yield the metrics of the requests of a table that were throttled, which are given by operation."""
    for operation, count in throttled.items():
        dimensions = {"TableName": name, "Operation": operation}
        yield ServiceMetric("AWS/DynamoDB", "ThrottledRequests", dimensions, "Count", [(1.0, count)])
    reads = sum(count for operation, count in throttled.items() if operation in READS)
    writes = sum(throttled.values()) - reads
    for metric, count in (("ReadThrottleEvents", reads), ("WriteThrottleEvents", writes)):
        if count:
            yield ServiceMetric("AWS/DynamoDB", metric, {"TableName": name}, "Count", [(1.0, count)])


def summarize_mails(recipients: Sequence[str]) -> Iterator[ServiceMetric]:
    """Yield the reputation of the account after mails to these addresses, the newest last."""
    latest = recipients[-REPRESENTATIVE:]
    for metric, local_part in (("Reputation.BounceRate", BOUNCE), ("Reputation.ComplaintRate", COMPLAINT)):
        if any(_is_answered(address, local_part) for address in recipients):
            rate = sum(_is_answered(address, local_part) for address in latest) / len(latest)
            yield ServiceMetric("AWS/SES", metric, {}, "None", [(rate, 1)])


def _is_answered(address: str, local_part: str) -> bool:
    """Return whether an address is the simulator's for this answer; a label after a plus sign is ignored, as there."""
    return address.lower().partition("@")[0].partition("+")[0] == local_part


def summarize_proxy(counts: Mapping[str, Any], before: Mapping[str, Any]) -> Iterator[ServiceMetric]:
    """Yield the metrics of the proxy from its statistics, and from those of a period before."""
    dimensions = {"ProxyName": PROXY_NAME}
    for metric, value in (
        ("ClientConnections", counts["clients"]),
        ("DatabaseConnections", counts["server_connections"]),
        ("DatabaseConnectionsCurrentlyBorrowed", counts["borrowed"]),
        ("DatabaseConnectionsCurrentlySessionPinned", counts["pinned"]),
        ("MaxDatabaseConnectionsAllowed", counts["max_connections"]),
    ):
        yield ServiceMetric("AWS/RDS", metric, dimensions, "Count", [(float(value), 1)])
    borrows = counts["borrows"] - before.get("borrows", counts["borrows"])
    if borrows > 0:
        average = (counts["borrow_wait_s"] - before["borrow_wait_s"]) / borrows * MICROSECONDS
        yield ServiceMetric(
            "AWS/RDS", "DatabaseConnectionsBorrowLatency", dimensions, "Microseconds", [(average, borrows)]
        )
