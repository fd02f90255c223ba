"""The history of a run, for `python -m judge.history`: every call and answer, and the facts to judge them by.

Ids, versions and pseudonyms only: no names, addresses, tokens or bodies. docs/reference/history.md describes the lines.
"""

import base64
import gzip
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from stress.ledger import CallSample

FILE = "history.jsonl.gz"
FORMAT = 1
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
VERSION = re.compile(r'^"(\d+)"$')
# What an accepted call leaves: an audit entry, a new version of its record, and jobs.
EFFECTS: Sequence[Mapping[str, Any]] = (
    {"operation": "apply", "action": "agent.applied", "versioned": True, "jobs": ["agent-received"]},
    {"operation": "register", "action": "member.registered", "versioned": True, "jobs": ["identity", "member-welcome"]},
    {"operation": "approve", "action": "agent.approved", "versioned": True, "jobs": ["identity", "agent-approved"]},
    {"operation": "terms", "action": "agent.terms_changed", "versioned": True},
    {"operation": "approve commission", "action": "commission.approved"},
    {"operation": "pay out", "action": "payout.made", "always": False},  # a month has one run, whoever asks again
    {"operation": "renew", "action": "membership.renewed", "versioned": True, "jobs": ["membership-renewed"]},
    {"operation": "cancel", "action": "membership.cancellation_requested", "always": False, "versioned": True,
     "jobs": ["membership-cancelled"]},
    {"operation": "edit", "action": "member.contact_changed", "always": False, "versioned": True},
    {"operation": "claim", "action": "claim.submitted", "versioned": True,
     "jobs": ["claim-received", "staff-new-claim"]},
    {"operation": "move", "action": "claim.transitioned", "versioned": True,
     "jobs": ["claim-moved|documents-requested"]},
    {"operation": "announce", "action": "document.announced"},
    {"operation": "complete", "action": "document.available", "always": False,
     "refused_actions": ["document.rejected"]},
    {"operation": "remove", "action": "document.removed", "always": False},
    {"operation": "staff read", "action": "claim.read"},
    {"operation": "own claims", "lists": "claim", "whose": "own"},
)  # fmt: skip
# The limits for each client as they are promised (docs/reference/api.md), by account or, without one, by address.
LIMITS: Sequence[Mapping[str, Any]] = (
    {"name": "agent-application", "burst": 5, "period_s": 60, "by": "address", "routes": ["POST /agents"]},
    {"name": "member-registration", "burst": 5, "period_s": 60, "by": "address", "routes": ["POST /members"]},
    {"name": "agent-registration", "burst": 20, "period_s": 60, "by": "account", "routes": ["POST /members"]},
    {"name": "claim-submission", "burst": 5, "period_s": 600, "by": "account", "routes": ["POST /claims"]},
    {"name": "claim-work", "burst": 60, "period_s": 60, "by": "account",
     "routes": ["POST /claims/{id}/transitions", "PUT /claims/{id}/assignee", "POST /agents/{id}/decision"]},
    {"name": "membership-change", "burst": 10, "period_s": 60, "by": "account",
     "routes": ["PATCH /members/me", "PATCH /members/{id}", "POST /members/{id}/renewals",
                "POST /members/{id}/cancellation"]},
    {"name": "document-upload", "burst": 10, "period_s": 60, "by": "account",
     "routes": ["POST /claims/{id}/documents"]},
    {"name": "read", "burst": 60, "period_s": 60, "by": "account",
     "routes": ["GET /claims", "GET /claims/{id}", "GET /claims/{id}/history", "GET /members/me", "GET /members/{id}"]},
    {"name": "health-deep", "burst": 10, "period_s": 60, "by": "address", "routes": ["GET /health/deep"]},
)  # fmt: skip


def write_history(samples: Iterable[CallSample], facts: Mapping[str, Sequence[Mapping[str, Any]]], path: Path) -> None:
    """Write the calls and the facts, by type of line, as gzipped JSON lines; the last line counts the others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    counts: Counter[str] = Counter()
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write(_format_line("history", {"format": FORMAT}))
        for kind, fields in _list_lines(samples, facts):
            counts[kind] += 1
            file.write(_format_line(kind, fields))
        file.write(_format_line("end", {"lines": dict(sorted(counts.items()))}))


def _list_lines(
    samples: Iterable[CallSample], facts: Mapping[str, Sequence[Mapping[str, Any]]]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for kind, lines in {"limit": LIMITS, "effect": EFFECTS, **facts}.items():
        yield from ((kind, line) for line in lines)
    for number, sample in enumerate(samples):
        yield "call", describe_call(number, sample)


def _format_line(kind: str, fields: Mapping[str, Any]) -> str:
    return json.dumps({"type": kind, **fields}, separators=(",", ":")) + "\n"


def describe_call(number: int, sample: CallSample) -> dict[str, Any]:
    """Return the line of a call."""
    call, record = sample.call, sample.record or {}
    parts = urlsplit(call.path)
    ids = ID.findall(parts.path)
    expected = VERSION.match(call.headers.get("If-Match", ""))
    line = {
        "id": number,
        "scenario": sample.scenario,
        "operation": call.operation,
        "route": f"{call.method} {ID.sub('{id}', parts.path)}",
        "client": hash_name(call.client),
        "account": hash_name(read_subject(call.token)) if call.token else None,
        "key": call.key,
        "target": ids[0] if ids else call.facts.get("subject"),
        "if_match": int(expected[1]) if expected else None,
        "begin": round(sample.sent_s, 6),
        "end": round(sample.done_s, 6),
        "status": sample.status,
        "problem": sample.problem,
        "request": sample.request_id,
        "replayed": sample.replayed,
    }
    return line | (_describe_answer(record, parts.path, parts.query) if sample.is_accepted else {})


def _describe_answer(record: Mapping[str, Any], path: str, query: str) -> dict[str, Any]:
    if isinstance(record.get("items"), list):
        asked = dict(parse_qsl(query))
        kept = urlencode(sorted((name, value) for name, value in asked.items() if name not in ("cursor", "limit")))
        items = [(each["id"], each.get("version")) for each in record["items"] if "id" in each]
        return {"items": items, "listing": f"{path}?{kept}", "cursor": asked.get("cursor"),
                "next_cursor": record.get("next_cursor")}  # fmt: skip
    version = record.get("version")
    return {"record": record.get("id"), "version": version if isinstance(version, int) else None}


def hash_name(name: str) -> str:
    """Return a pseudonym, the same for the same name."""
    return hashlib.sha256(name.encode()).hexdigest()[:16]


def read_subject(token: str) -> str:
    """Return the account that a token is for; the token itself if it can't be read."""
    try:
        middle = token.split(".")[1]
        return str(json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))["sub"])
    except (IndexError, ValueError, KeyError):
        return token
