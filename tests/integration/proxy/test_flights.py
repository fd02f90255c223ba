"""A use case that writes is one flight and one transaction, and leaves its session as it was; counted on the wire."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import pytest

from agents.app import api as agents_api
from claims.app import api as claims_api
from jobs_api.app import api as jobs_api
from members.app import api as members_api
from shared.api.router import Api
from shared.sql import Query
from tests.databases import IS_PIPELINED, Blank, soon
from tests.figures import record
from tests.harness import ADMIN, STAFF, Client, Reply
from tests.integration.claims.cases import Cases
from tests.integration.jobs.records import Records
from tests.integration.room import agent, room, serial, sign_in
from tests.people import applicant, person

PDF = b"%PDF-1.7\n" + bytes(80)
APIS: dict[str, Api[Any]] = {
    "agents": agents_api,
    "members": members_api,
    "claims": claims_api,
    "jobs": jobs_api,
}

Prepared = tuple[Client, Callable[[], Reply]]


@dataclass
class World:
    """The rooms, and what has to be there before a use case can begin."""

    blank: Blank

    def room(self, api: Api[Any]) -> Client:
        return room(api, self.blank).as_(STAFF)

    def apply(self) -> Prepared:
        client = self.room(agents_api)
        return client, lambda: client.call("POST", "/agents", applicant(), key=f"key-{serial()}")

    def decide(self) -> Prepared:
        client, (agent_id, _) = self.room(agents_api), agent(self.blank, state="pending")
        body = {"decision": "approve", "reason": "Checked."}
        return client, lambda: client.call("POST", "/agents/{agent_id}/decision", body, agent_id=agent_id)

    def apply_again(self) -> Prepared:
        client, (agent_id, _) = self.room(agents_api), agent(self.blank, state="rejected")
        self.blank.rows("UPDATE agents SET decided_at = now() - interval '31 days' WHERE id = %s", agent_id)
        body = applicant(email=self.blank.rows("SELECT email FROM accounts WHERE id = %s", agent_id)[0]["email"])
        return client, lambda: client.call("POST", "/agents", body, key=f"key-{serial()}")

    def change_terms(self) -> Prepared:
        client, (agent_id, _) = self.room(agents_api).as_(ADMIN), agent(self.blank)
        body = {"commission_rate": "0.25"}
        return client, lambda: client.call("PATCH", "/agents/{agent_id}", body, if_match=1, agent_id=agent_id)

    def decide_commission(self) -> Prepared:
        _, member = self._member()
        self.blank.rows("UPDATE accounts SET proven_at = now() WHERE id = %s", member)
        [made] = self.blank.rows("SELECT id FROM commissions WHERE member_id = %s", member)
        client = self.room(agents_api).as_(sign_in(self.blank, str(Records(self.blank).account("staff"))))
        resource, body = "/commissions/{commission_id}/decision", {"decision": "approve", "reason": "Checked."}
        return client, lambda: client.call("POST", resource, body, commission_id=str(made["id"]))

    def pay(self) -> Prepared:
        records = Records(self.blank)
        records.commission(earned_on="2026-10-02", state="approved")
        client = self.room(agents_api).as_(sign_in(self.blank, str(records.account("admin"))))
        return client, lambda: client.call("POST", "/payouts", {"month": "2026-10"})

    def register(self) -> Prepared:
        client, (_, code) = self.room(members_api).as_(None), agent(self.blank)
        return client, lambda: client.call("POST", "/members", person(referral_code=code), key=f"key-{serial()}")

    def _member(self) -> tuple[Client, str]:
        client, register = self.register()
        return client.as_(STAFF), register().json["id"]

    def renew(self) -> Prepared:
        client, member = self._member()
        resource = "/members/{member_id}/renewals"
        return client, lambda: client.call("POST", resource, key=f"key-{serial()}", member_id=member)

    def cancel(self) -> Prepared:
        client, member = self._member()
        return client, lambda: client.call("POST", "/members/{member_id}/cancellation", member_id=member)

    def pause(self) -> Prepared:
        client, member = self._member()
        return client, lambda: client.call("POST", "/members/{member_id}/pause", member_id=member)

    def resume(self) -> Prepared:
        client, pause = self.pause()
        member = pause().json["id"]
        return client, lambda: client.call("POST", "/members/{member_id}/resume", member_id=member)

    def change_contact(self) -> Prepared:
        client, member = self._member()
        client = client.as_(sign_in(self.blank, member))
        return client, lambda: client.call("PATCH", "/members/me", {"language": "en"}, if_match=1)

    def submit(self) -> Prepared:
        cases = Cases.on(self.blank)
        member = cases.member()
        return cases.client, lambda: cases.submit(member)

    def move(self) -> Prepared:
        cases = Cases.on(self.blank)
        claim_id, staff = cases.claim(cases.member()), cases.staff()
        return cases.client, lambda: cases.move(staff, claim_id, "rejected")

    def assign(self) -> Prepared:
        cases = Cases.on(self.blank)
        claim_id, client = cases.claim(cases.member()), cases.client.as_(cases.staff())
        resource, body = "/claims/{claim_id}/assignee", {"staff_id": "me"}
        return client, lambda: client.call("PUT", resource, body, if_match=1, claim_id=claim_id)

    def announce(self) -> Prepared:
        cases = Cases.on(self.blank)
        member = cases.member()
        claim_id, client = cases.claim(member), cases.client.as_(member)
        body = {"file_name": "ticket.pdf", "content_type": "application/pdf", "size": len(PDF)}
        return client, lambda: client.call("POST", "/claims/{claim_id}/documents", body, claim_id=claim_id)

    def complete(self) -> Prepared:
        client, announce = self.announce()
        announced = announce().json
        assert client.container.document_store.post(announced["upload"]["fields"], PDF)  # type: ignore[attr-defined]
        ids = {"claim_id": announced["claim_id"], "document_id": announced["id"]}
        resource = "/claims/{claim_id}/documents/{document_id}/completion"
        return client, lambda: client.call("POST", resource, **ids)

    def remove_document(self) -> Prepared:
        client, announce = self.announce()
        announced = announce().json
        ids = {"claim_id": announced["claim_id"], "document_id": announced["id"]}
        return client, lambda: client.call("DELETE", "/claims/{claim_id}/documents/{document_id}", **ids)

    def _failed_job(self) -> tuple[Client, str]:
        records = Records(self.blank)
        member = records.member()
        client = self.room(jobs_api).as_(sign_in(self.blank, str(records.account("admin"))))
        return client, str(records.mail("member-welcome", member, to=member, state="failed"))

    def replay(self) -> Prepared:
        client, job = self._failed_job()
        return client, lambda: client.call("POST", "/jobs/{job_id}/replay", job_id=job)

    def dismiss(self) -> Prepared:
        client, job = self._failed_job()
        return client, lambda: client.call("POST", "/jobs/{job_id}/dismiss", {"reason": "delivered"}, job_id=job)


# By operation, with its flights. Completing an upload reads, looks into the bucket outside any transaction, and judges.
USE_CASES: dict[tuple[str, ...], tuple[Callable[[World], Prepared], int]] = {
    ("POST", "/agents"): (World.apply, 1),
    ("POST", "/agents/{agent_id}/decision"): (World.decide, 1),
    ("PATCH", "/agents/{agent_id}"): (World.change_terms, 1),
    ("POST", "/commissions/{commission_id}/decision"): (World.decide_commission, 1),
    ("POST", "/payouts"): (World.pay, 1),
    ("POST", "/members"): (World.register, 1),
    ("POST", "/members/{member_id}/renewals"): (World.renew, 1),
    ("POST", "/members/{member_id}/cancellation"): (World.cancel, 1),
    ("POST", "/members/{member_id}/pause"): (World.pause, 1),
    ("POST", "/members/{member_id}/resume"): (World.resume, 1),
    ("PATCH", "/members/me"): (World.change_contact, 1),
    ("PATCH", "/members/{member_id}"): (World.change_contact, 1),
    ("POST", "/claims"): (World.submit, 1),
    ("POST", "/claims/{claim_id}/transitions"): (World.move, 1),
    ("PUT", "/claims/{claim_id}/assignee"): (World.assign, 1),
    ("POST", "/claims/{claim_id}/documents"): (World.announce, 1),
    ("POST", "/claims/{claim_id}/documents/{document_id}/completion"): (World.complete, 2),
    ("DELETE", "/claims/{claim_id}/documents/{document_id}"): (World.remove_document, 1),
    ("POST", "/jobs/{job_id}/replay"): (World.replay, 1),
    ("POST", "/jobs/{job_id}/dismiss"): (World.dismiss, 1),
}


# The same operations where they find something else.
VARIANTS: dict[tuple[str, ...], tuple[Callable[[World], Prepared], int]] = {
    ("POST", "/agents", "again"): (World.apply_again, 1),
}


@pytest.mark.skipif(not IS_PIPELINED, reason="it counts the round trips of pipelined transactions")
@pytest.mark.parametrize("operation", [*USE_CASES, *VARIANTS], ids=" ".join)
def test_a_use_case_that_writes_is_one_flight(blank: Blank, operation: tuple[str, ...]) -> None:
    """As many transactions as flights, no pin, and no session state."""
    prepare, expected = (VARIANTS | USE_CASES)[operation]
    client, write = prepare(World(blank))
    client.container.database.run(lambda tx: tx.fetch_all(Query("SELECT 1")), soon())  # connected, and just used
    counts = blank.postgres.proxy.counts
    before = deepcopy(counts)
    reply = write()
    assert reply.status in (200, 201, 204), reply.body
    flown, landed = counts.round_trips - before.round_trips, counts.transactions - before.transactions
    pins, left = counts.pins - before.pins, blank.postgres.proxy.read_session_state()
    state = (counts.state - before.state).total() + len(left)
    record("wire", operation=" ".join(operation), flights=flown, transactions=landed, pins=pins.total(), state=state)
    assert (flown, landed) == (expected, expected)
    assert (pins.total(), state) == (0, 0)


def test_no_use_case_that_writes_is_left_out() -> None:
    """Every operation of the four rooms that changes something."""
    writing = {key for api in APIS.values() for key, operation in api.operations.items() if operation.is_write}
    assert set(USE_CASES) == writing
