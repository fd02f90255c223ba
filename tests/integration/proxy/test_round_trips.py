"""A use case that writes is one round trip and one transaction, and leaves its session unchanged."""

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
from tests.api_client import ADMIN, STAFF, ApiClient, ApiReply
from tests.databases import IS_PIPELINED, FreshDatabase, make_deadline
from tests.integration.claims.sample_claims import ClaimFixtures
from tests.integration.function_client import add_agent, get_next_serial, make_client, sign_in
from tests.integration.jobs.records import RecordFixtures
from tests.measurements import record
from tests.sample_people import make_applicant, make_person

PDF = b"%PDF-1.7\n" + bytes(80)
APIS: dict[str, Api[Any]] = {
    "agents": agents_api,
    "members": members_api,
    "claims": claims_api,
    "jobs": jobs_api,
}

Prepared = tuple[ApiClient, Callable[[], ApiReply]]


@dataclass
class UseCaseRunner:
    """The functions, and what has to be there before a use case can begin."""

    fresh_database: FreshDatabase

    def make_client(self, api: Api[Any]) -> ApiClient:
        return make_client(api, self.fresh_database).sign_in_as(STAFF)

    def apply(self) -> Prepared:
        client = self.make_client(agents_api)
        return client, lambda: client.call("POST", "/agents", make_applicant(), key=f"key-{get_next_serial()}")

    def decide(self) -> Prepared:
        client, (agent_id, _) = self.make_client(agents_api), add_agent(self.fresh_database, state="pending")
        body = {"decision": "approve", "reason": "Checked."}
        return client, lambda: client.call("POST", "/agents/{agent_id}/decision", body, agent_id=agent_id)

    def apply_again(self) -> Prepared:
        client, (agent_id, _) = self.make_client(agents_api), add_agent(self.fresh_database, state="rejected")
        self.fresh_database.query_rows(
            "UPDATE agents SET decided_at = now() - interval '31 days' WHERE id = %s", agent_id
        )
        body = make_applicant(
            email=self.fresh_database.query_rows("SELECT email FROM accounts WHERE id = %s", agent_id)[0]["email"]
        )
        return client, lambda: client.call("POST", "/agents", body, key=f"key-{get_next_serial()}")

    def change_terms(self) -> Prepared:
        client, (agent_id, _) = self.make_client(agents_api).sign_in_as(ADMIN), add_agent(self.fresh_database)
        body = {"commission_rate": "0.25"}
        return client, lambda: client.call("PATCH", "/agents/{agent_id}", body, if_match=1, agent_id=agent_id)

    def decide_commission(self) -> Prepared:
        _, member = self._add_member()
        self.fresh_database.query_rows("UPDATE accounts SET proven_at = now() WHERE id = %s", member)
        [made] = self.fresh_database.query_rows("SELECT id FROM commissions WHERE member_id = %s", member)
        client = self.make_client(agents_api).sign_in_as(
            sign_in(self.fresh_database, str(RecordFixtures(self.fresh_database).add_account("staff")))
        )
        resource, body = "/commissions/{commission_id}/decision", {"decision": "approve", "reason": "Checked."}
        return client, lambda: client.call("POST", resource, body, commission_id=str(made["id"]))

    def pay(self) -> Prepared:
        records = RecordFixtures(self.fresh_database)
        records.add_commission(earned_on="2026-10-02", state="approved")
        client = self.make_client(agents_api).sign_in_as(
            sign_in(self.fresh_database, str(records.add_account("admin")))
        )
        return client, lambda: client.call("POST", "/payouts", {"month": "2026-10"})

    def register(self) -> Prepared:
        client, (_, code) = self.make_client(members_api).sign_in_as(None), add_agent(self.fresh_database)
        return client, lambda: client.call(
            "POST", "/members", make_person(referral_code=code), key=f"key-{get_next_serial()}"
        )

    def _add_member(self) -> tuple[ApiClient, str]:
        client, register = self.register()
        return client.sign_in_as(STAFF), register().json["id"]

    def renew(self) -> Prepared:
        client, member = self._add_member()
        resource = "/members/{member_id}/renewals"
        return client, lambda: client.call("POST", resource, key=f"key-{get_next_serial()}", member_id=member)

    def cancel(self) -> Prepared:
        client, member = self._add_member()
        return client, lambda: client.call("POST", "/members/{member_id}/cancellation", member_id=member)

    def pause(self) -> Prepared:
        client, member = self._add_member()
        return client, lambda: client.call("POST", "/members/{member_id}/pause", member_id=member)

    def resume(self) -> Prepared:
        client, pause = self.pause()
        member = pause().json["id"]
        return client, lambda: client.call("POST", "/members/{member_id}/resume", member_id=member)

    def change_contact(self) -> Prepared:
        client, member = self._add_member()
        client = client.sign_in_as(sign_in(self.fresh_database, member))
        return client, lambda: client.call("PATCH", "/members/me", {"language": "en"}, if_match=1)

    def submit(self) -> Prepared:
        cases = ClaimFixtures.make_in(self.fresh_database)
        member = cases.add_member()
        return cases.client, lambda: cases.submit(member)

    def change_claim_state(self) -> Prepared:
        cases = ClaimFixtures.make_in(self.fresh_database)
        claim_id, staff = cases.claim(cases.add_member()), cases.add_staff()
        return cases.client, lambda: cases.change_state(staff, claim_id, "rejected")

    def assign(self, assignee: str | None = "me") -> Prepared:
        cases = ClaimFixtures.make_in(self.fresh_database)
        claim_id, client = cases.claim(cases.add_member()), cases.client.sign_in_as(cases.add_staff())
        resource, body = "/claims/{claim_id}/assignee", {"staff_id": assignee}
        return client, lambda: client.call("PUT", resource, body, if_match=1, claim_id=claim_id)

    def unassign(self) -> Prepared:
        return self.assign(None)

    def announce(self) -> Prepared:
        cases = ClaimFixtures.make_in(self.fresh_database)
        member = cases.add_member()
        claim_id, client = cases.claim(member), cases.client.sign_in_as(member)
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

    def _add_failed_job(self) -> tuple[ApiClient, str]:
        records = RecordFixtures(self.fresh_database)
        member = records.add_member()
        client = self.make_client(jobs_api).sign_in_as(sign_in(self.fresh_database, str(records.add_account("admin"))))
        return client, str(records.add_mail("member-welcome", member, to=member, state="failed"))

    def replay(self) -> Prepared:
        client, job = self._add_failed_job()
        return client, lambda: client.call("POST", "/jobs/{job_id}/replay", job_id=job)

    def dismiss(self) -> Prepared:
        client, job = self._add_failed_job()
        return client, lambda: client.call("POST", "/jobs/{job_id}/dismiss", {"reason": "delivered"}, job_id=job)


# By operation, with its round trips. Completing an upload reads, asks the bucket outside any transaction, and writes.
USE_CASES: dict[tuple[str, ...], tuple[Callable[[UseCaseRunner], Prepared], int]] = {
    ("POST", "/agents"): (UseCaseRunner.apply, 1),
    ("POST", "/agents/{agent_id}/decision"): (UseCaseRunner.decide, 1),
    ("PATCH", "/agents/{agent_id}"): (UseCaseRunner.change_terms, 1),
    ("POST", "/commissions/{commission_id}/decision"): (UseCaseRunner.decide_commission, 1),
    ("POST", "/payouts"): (UseCaseRunner.pay, 1),
    ("POST", "/members"): (UseCaseRunner.register, 1),
    ("POST", "/members/{member_id}/renewals"): (UseCaseRunner.renew, 1),
    ("POST", "/members/{member_id}/cancellation"): (UseCaseRunner.cancel, 1),
    ("POST", "/members/{member_id}/pause"): (UseCaseRunner.pause, 1),
    ("POST", "/members/{member_id}/resume"): (UseCaseRunner.resume, 1),
    ("PATCH", "/members/me"): (UseCaseRunner.change_contact, 1),
    ("PATCH", "/members/{member_id}"): (UseCaseRunner.change_contact, 1),
    ("POST", "/claims"): (UseCaseRunner.submit, 1),
    ("POST", "/claims/{claim_id}/transitions"): (UseCaseRunner.change_claim_state, 1),
    ("PUT", "/claims/{claim_id}/assignee"): (UseCaseRunner.assign, 1),
    ("POST", "/claims/{claim_id}/documents"): (UseCaseRunner.announce, 1),
    ("POST", "/claims/{claim_id}/documents/{document_id}/completion"): (UseCaseRunner.complete, 2),
    ("DELETE", "/claims/{claim_id}/documents/{document_id}"): (UseCaseRunner.remove_document, 1),
    ("POST", "/jobs/{job_id}/replay"): (UseCaseRunner.replay, 1),
    ("POST", "/jobs/{job_id}/dismiss"): (UseCaseRunner.dismiss, 1),
}


# The same operations where they find something else.
VARIANTS: dict[tuple[str, ...], tuple[Callable[[UseCaseRunner], Prepared], int]] = {
    ("POST", "/agents", "again"): (UseCaseRunner.apply_again, 1),
    ("PUT", "/claims/{claim_id}/assignee", "to nobody"): (UseCaseRunner.unassign, 1),
}


@pytest.mark.skipif(not IS_PIPELINED, reason="it counts the round trips of pipelined transactions")
@pytest.mark.parametrize("operation", [*USE_CASES, *VARIANTS], ids=" ".join)
def test_a_use_case_that_writes_is_one_round_trip(fresh_database: FreshDatabase, operation: tuple[str, ...]) -> None:
    """There are as many transactions as round trips, no pin, and no session state."""
    prepare, expected = (VARIANTS | USE_CASES)[operation]
    client, write = prepare(UseCaseRunner(fresh_database))
    client.container.database.run(
        lambda tx: tx.fetch_all(Query("SELECT 1")), make_deadline()
    )  # connected, and just used
    counts = fresh_database.postgres.proxy.counts
    before = deepcopy(counts)
    reply = write()
    assert reply.status in (200, 201, 204), reply.body
    round_trips, commits = counts.round_trips - before.round_trips, counts.transactions - before.transactions
    pins, left = counts.pins - before.pins, fresh_database.postgres.proxy.read_session_state()
    state = (counts.changed_settings - before.changed_settings).total() + len(left)
    record(
        "wire",
        operation=" ".join(operation),
        round_trips=round_trips,
        transactions=commits,
        pins=pins.total(),
        state=state,
    )
    assert (round_trips, commits) == (expected, expected)
    assert (pins.total(), state) == (0, 0)


def test_no_use_case_that_writes_is_left_out() -> None:
    """Every operation of the four functions that changes something."""
    writing = {key for api in APIS.values() for key, operation in api.operations.items() if operation.is_write}
    assert set(USE_CASES) == writing
