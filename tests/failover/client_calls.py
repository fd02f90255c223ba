"""Calls that clients make while the writer fails, and the effects that each answered call must have."""

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from members.app import api as members_api
from tests.databases import FreshDatabase
from tests.integration.claims.sample_claims import ClaimFixtures
from tests.integration.function_client import add_agent, get_next_serial, make_client, sign_in
from tests.sample_people import make_claim_body, make_person

MEMBERS = 8
RENEWALS = 100  # members who wait to be renewed: each can be once, two years being as far ahead as anybody may
CLAIMS = 8

# A row of one of these is an effect: what it is, whose it is, and how many there are.
EFFECTS = """
SELECT 'key' AS what, key AS whose, count(*)::int AS n FROM idempotency_keys WHERE answer IS NOT NULL GROUP BY 2
UNION ALL SELECT 'person', email, count(*) FROM accounts GROUP BY 2
UNION ALL SELECT 'member', id::text, count(*) FROM members GROUP BY 2
UNION ALL SELECT 'commission', member_id::text, count(*) FROM commissions GROUP BY 2
UNION ALL SELECT 'year', member_id::text, version - 1 FROM subscriptions
UNION ALL SELECT 'claim', title, count(*) FROM claims GROUP BY 2
UNION ALL SELECT 'move', claim_id::text, count(*) FROM claim_history GROUP BY 2
UNION ALL SELECT 'audit', subject_id::text, count(*) FROM audit GROUP BY 2
UNION ALL SELECT 'job', subject_id::text, count(*) FROM outbox GROUP BY 2
"""

Effects = Counter[tuple[str, str]]


def count_effects(fresh_database: FreshDatabase) -> Effects:
    """Return how many effects of each kind a database holds, by whose they are."""
    return Counter({(row["what"], row["whose"]): row["n"] for row in fresh_database.query_rows(EFFECTS)})


@dataclass(frozen=True, slots=True)
class ClientCall:
    """A client's wish under its key, however often it is sent."""

    kind: str
    key: str
    function: str
    resource: str
    body: Any = None
    who: Mapping[str, str] | None = None
    version: int | None = None
    ids: dict[str, str] = field(default_factory=dict)

    def count_effects(self, answer: Mapping[str, Any]) -> Effects:
        """Return all effects that the call leaves, once each."""
        found = Counter({("key", self.key): 1, ("audit", answer["id"]): 1})
        found.update(_EFFECTS[self.kind](self, str(answer["id"])))
        return found


_EFFECTS: Mapping[str, Callable[[ClientCall, str], dict[tuple[str, str], int]]] = {
    "register": lambda call, own: {
        ("person", call.body["email"]): 1, ("member", own): 1, ("commission", own): 1, ("job", own): 2
    },
    "renew": lambda _, own: {("year", own): 1, ("job", own): 1},
    "submit": lambda call, own: {("claim", call.body["title"]): 1, ("move", own): 1, ("job", own): 2},
    "move": lambda _, own: {("move", own): 1, ("job", own): 1},
}  # fmt: skip


@dataclass(slots=True)
class _Claim:
    id: str
    version: int = 1
    state: str = "submitted"


def _register_member(fresh_database: FreshDatabase) -> dict[str, str]:
    """Register a member; return their token."""
    registered = make_client(members_api, fresh_database).call(
        "POST", "/members", make_person(), key=f"cast-{get_next_serial()}"
    )
    return sign_in(fresh_database, registered.json["id"])


class CallSource:
    """Makes calls from a seed. A claim has one transition under way at a time: the next names the version it led to."""

    def __init__(self, fresh_database: FreshDatabase, seed: int) -> None:
        cases = ClaimFixtures.make_in(fresh_database)
        self._random = random.Random(seed)
        self._lock = Lock()
        self._serial = 0
        self._staff = cases.add_staff()
        self._members = [_register_member(fresh_database) for _ in range(MEMBERS)]
        self._renewable = [str(cases.add_member()["sub"]).removeprefix("sub-") for _ in range(RENEWALS)]
        self._code = add_agent(fresh_database)[1]
        self._claims = [_Claim(cases.claim(self._members[n % MEMBERS])) for n in range(CLAIMS)]
        self._moving: dict[str, _Claim] = {}

    def make_call(self) -> ClientCall:
        """Return a new call."""
        with self._lock:
            self._serial += 1
            kinds = [self._register, self._submit]
            kinds += [
                kind for kind, left in ((self._renew, self._renewable), (self._change_state, self._claims)) if left
            ]
            return self._random.choice(kinds)(f"work-{self._serial}")

    def note_answer(self, call: ClientCall, answer: Mapping[str, Any]) -> None:
        """Go on from what a call has led to; its second answer changes nothing."""
        with self._lock:
            claim = self._moving.pop(call.key, None)
            if claim is not None:
                claim.version, claim.state = answer["version"], answer["state"]
                self._claims.append(claim)

    def _register(self, key: str) -> ClientCall:
        body = make_person(email=f"{key}@example.test", referral_code=self._code)
        return ClientCall("register", key, "members", "/members", body)

    def _renew(self, key: str) -> ClientCall:
        ids = {"member_id": self._renewable.pop()}
        return ClientCall("renew", key, "members", "/members/{member_id}/renewals", None, self._staff, ids=ids)

    def _submit(self, key: str) -> ClientCall:
        member = self._random.choice(self._members)
        return ClientCall("submit", key, "claims", "/claims", make_claim_body(title=f"Claim of {key}"), member)

    def _change_state(self, key: str) -> ClientCall:
        claim = self._claims.pop(self._random.randrange(len(self._claims)))
        self._moving[key] = claim
        to = "verification" if claim.state == "submitted" else "submitted"
        body, ids = {"to": to, "reason": "Checked."}, {"claim_id": claim.id}
        resource = "/claims/{claim_id}/transitions"
        return ClientCall("move", key, "claims", resource, body, self._staff, claim.version, ids)
