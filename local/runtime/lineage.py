"""Lambda's recursive loop detection: how often a chain of requests has invoked each function.

Every invocation has an X-Ray trace header, `Root=…;Parent=…;Sampled=…;Lineage=1:<function>:<count>|<function>:<count>`.
The runtime client puts it into `_X_AMZN_TRACE_ID`, botocore sends it with each call, and SQS keeps it with the message
(`AWSTraceHeader`). So the invocation that the message causes continues the lineage. AWS documents the rule ("if your
function is invoked approximately 16 times in the same chain of requests, Lambda stops the next invocation", Lambda
developer guide, "Recursive loop detection"), but not the format, which is that of events seen in public.
"""

import secrets
import time
from collections.abc import Iterable
from urllib.parse import unquote
from zlib import crc32

MOST_INVOCATIONS = 16  # of one function in one chain
VERSION = "1:"
FIELD = "Lineage"


class RecursionStopped(Exception):
    """The chain of requests has invoked the function too often; Lambda answers with RecursiveInvocationException."""


def continue_chain(header: str, function: str) -> str:
    """Return the trace header of the next invocation of a function, which counts it. Raise RecursionStopped."""
    counts = read_lineage(header)
    key = _make_key(function)
    counts[key] = counts.get(key, -1) + 1
    if counts[key] >= MOST_INVOCATIONS:
        raise RecursionStopped(function)
    lineage = "|".join(f"{name}:{count}" for name, count in counts.items())
    return f"{remove_lineage(header) or _make_root()};{FIELD}={VERSION}{lineage}"


def remove_lineage(header: str) -> str:
    """Return a trace header that begins a chain: a client of the API can't continue one."""
    return ";".join(field for field in header.split(";") if not field.startswith(f"{FIELD}="))


def read_lineage(header: str) -> dict[str, int]:
    """Return how often each function was invoked again in the chain, by its key; nothing if it can't be read.

    botocore quotes the header as in an address, so a `|` arrives as `%7C`.
    """
    fields = dict(field.partition("=")[::2] for field in unquote(header).split(";"))
    entries = [entry.rpartition(":")[::2] for entry in fields.get(FIELD, "").removeprefix(VERSION).split("|")]
    return {name: int(count) for name, count in entries if name and count.isdigit()}


def find_longest_chain(headers: Iterable[str]) -> str:
    """Return the header with the most invocations, empty if there is none.

    A batch has one chain, and AWS does not say which of its messages' chains that is. The longest is the strictest.
    """
    return max(headers, key=count_invocations, default="")


def count_invocations(header: str) -> int:
    """Return the number of invocations in a chain, of all functions together."""
    return sum(count + 1 for count in read_lineage(header).values())


def _make_key(function: str) -> str:
    return f"{crc32(function.encode()):08x}"


def _make_root() -> str:
    return f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)}"
