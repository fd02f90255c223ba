"""The finality of each problem: whether a refusal remains the answer to its Idempotency-Key.

A final refusal is stored as the answer to its key, like any other answer. Every other refusal is lifted by a change of
state, never by a change of the request: its key is released, so the same request succeeds once the cause is gone. The
work is still done once, because only the transaction that does it writes the key's row in the database.
"""

from collections.abc import Mapping

from shared.errors import Refusal

# The same request is always refused; the problem's detail asks for a new key. The values say why nothing can lift it.
FINAL: Mapping[str, str] = {
    "stale-version": "a version that is gone never comes back",
    "document-mismatch": "the upload was removed, and the document is rejected for good",
}

# Refused before a key is taken, whatever is stored under the key.
BEFORE_THE_KEY = frozenset(
    {
        *("malformed-request", "idempotency-key-required", "idempotency-key-malformed", "invalid-request"),
        *("payload-too-large", "unsupported-media-type", "if-match-required", "unauthenticated", "method-not-allowed"),
        *("request-in-progress", "idempotency-key-reused", "too-many-requests"),
    }
)

# The change that lifts each of the other refusals.
LIFTABLE: Mapping[str, str] = {
    "forbidden": "a role that is given",
    "membership-required": "a renewal",
    "agent-not-active": "an approval, or a reinstatement",
    "not-found": "a record that comes to be, or comes to be the caller's",
    "email-taken": "an address that is given free",
    "move-not-allowed": "another transition of the claim",
    "decision-not-allowed": "another decision about the agent",
    "own-commission": "a sign-in that is linked to another account",
    "commission-move-not-allowed": "another decision about the commission",
    "payout-too-early": "the month's end",
    "commission-agent-not-active": "the agent's approval or reinstatement",
    "commission-member-not-proven": "the member's first sign-in",
    "membership-ended": "a renewal",
    "membership-paused": "a resumption",
    "membership-not-running": "a renewal",
    "pause-days-used": "a renewal",
    "renewal-too-early": "a later day",
    "claim-closed": "a claim that is taken up again",
    "too-many-documents": "a document that is removed",
    "document-not-uploaded": "the upload",
    "document-not-available": "the document's completion",
    "job-not-failed": "the job's failure",
    "referral-code-unknown": "the approval of the agent whose code it is",
    "assignee-unknown": "a staff account that comes to be",
    "internal": "a repair",
    "unavailable": "what is out of reach coming back",
}


def is_final(error: BaseException) -> bool:
    """Return whether an error is the final answer to its key: the same request would be refused whatever changes."""
    return isinstance(error, Refusal) and error.name in FINAL
