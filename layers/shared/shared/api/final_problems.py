"""The finality of each problem: whether a refusal remains the answer to its Idempotency-Key.

A final refusal is stored as the answer to its key, like any other answer. Every other refusal is lifted by a change of
state, never by a change of the request: its key is released, so the same request succeeds once the cause is gone. The
work is still done once, because only the transaction that does it writes the key's row in the database.
"""

from collections.abc import Mapping

from shared.errors import Refusal

# Problems that refuse the same request for ever; their detail asks for a new key. The values say why they never change.
FINAL: Mapping[str, str] = {
    "stale-version": "a version that is gone never comes back",
    "document-mismatch": "the upload was removed, and the document is rejected for good",
}

# Problems that refuse a request before its key is taken. They neither store an answer nor change the stored one.
BEFORE_THE_KEY = frozenset(
    {
        *("malformed-request", "idempotency-key-required", "idempotency-key-malformed", "invalid-request"),
        *("payload-too-large", "unsupported-media-type", "if-match-required", "unauthenticated", "method-not-allowed"),
        *("request-in-progress", "idempotency-key-reused", "too-many-requests"),
    }
)

# Problems that only the gateway answers with, in place of a function. The gateway does not know the key's answer.
OF_THE_GATEWAY = frozenset({"bad-gateway", "timeout"})

# What has to happen before the same request with the same key succeeds, for each of the other problems.
LIFTABLE: Mapping[str, str] = {
    "forbidden": "the caller gets the role",
    "membership-required": "the membership is renewed",
    "agent-not-active": "the agent is approved or reinstated",
    "not-found": "the record is created, or becomes the caller's",
    "email-taken": "the address is freed",
    "move-not-allowed": "the claim makes another transition",
    "decision-not-allowed": "staff make another decision about the agent",
    "own-commission": "the sign-in is linked to another account",
    "commission-move-not-allowed": "staff make another decision about the commission",
    "payout-too-early": "the month ends",
    "commission-agent-not-active": "the agent is approved or reinstated",
    "commission-member-not-proven": "the member makes a signed-in call",
    "membership-ended": "the membership is renewed",
    "membership-paused": "the membership is resumed",
    "membership-not-running": "the membership is renewed",
    "pause-days-used": "the membership is renewed",
    "renewal-too-early": "the day comes from which it may be renewed",
    "claim-closed": "the claim is opened again",
    "too-many-documents": "a document is removed",
    "document-not-uploaded": "the file is uploaded",
    "document-not-available": "the document is completed",
    "job-not-failed": "the job fails",
    "referral-code-unknown": "the agent with this code is approved",
    "assignee-unknown": "a staff account with this id is created",
    "internal": "the fault is repaired",
    "unavailable": "the dependency works again",
}


def is_final(error: BaseException) -> bool:
    """Return whether an error is the final answer to its key: the same request would be refused whatever changes."""
    return isinstance(error, Refusal) and error.name in FINAL
