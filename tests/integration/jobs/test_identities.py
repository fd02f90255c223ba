"""Operators' commands about people: who works here, who does no more, and whose address it is."""

from collections.abc import Callable
from typing import Any

import pytest

from agents.app import api as agents_api
from members.app import api as members_api
from operations.app import read_command
from operations.errors import CommandError
from operations.free_address import FreeAddress, free_address
from operations.staff import CreateStaff, OperatorContext, RemoveStaff, create_staff, remove_staff
from shared.aws.errors import ServiceUnavailable
from shared.clock import read_utc_now
from shared.database.pipeline import Database
from tests.api_client import STAFF, ApiReply, make_claims
from tests.databases import SEEDED, FreshDatabase, make_deadline
from tests.fakes.identities import FakeIdentityProvider
from tests.fakes.mailer import FakeMailer
from tests.fakes.queues import FakeJobQueues
from tests.integration.function_client import get_next_serial, make_client
from tests.integration.jobs.records import RecordFixtures
from tests.sample_people import make_applicant, make_person
from worker.job_runner import JobRunner, MailSettings

NEW = {"command": "create-staff", "email": "Ana@Example.test", "full_name": "Ana", "role": "staff", "language": "mk"}
ANA = "ana@example.test"
BESA = "besa@example.test"


@pytest.fixture(autouse=True)
def nobody(fresh_database: FreshDatabase) -> None:
    """Nobody works here yet."""
    fresh_database.query_rows("DELETE FROM accounts")


@pytest.fixture
def identities() -> FakeIdentityProvider:
    """Return the pool."""
    return FakeIdentityProvider()


def create(database: Database, identities: FakeIdentityProvider, **changes: Any) -> dict[str, Any]:
    """Run the command."""
    command = read_command(NEW | changes)
    assert isinstance(command, CreateStaff)
    return create_staff(command, OperatorContext(database, identities, make_deadline(), "invocation-1"))


def test_a_member_of_staff_has_an_account_and_can_sign_in(
    database: Database, identities: FakeIdentityProvider, fresh_database: FreshDatabase
) -> None:
    """The address in lower case, as everywhere."""
    made = create(database, identities)
    [account] = fresh_database.query_rows(
        "SELECT id::text AS account_id, identity_sub AS sub, role, email, language FROM accounts"
    )
    assert account == {**made, "role": "staff", "email": "ana@example.test", "language": "mk"}
    assert identities.people["ana@example.test"].groups == {"staff"}


def test_repeating_the_command_changes_nothing(
    database: Database, identities: FakeIdentityProvider, fresh_database: FreshDatabase
) -> None:
    """This holds after a failure halfway as well."""
    identities.fails = [ServiceUnavailable("TooManyRequestsException")]
    with pytest.raises(ServiceUnavailable):
        create(database, identities)
    first = create(database, identities)
    assert create(database, identities) == first
    assert fresh_database.count("accounts") == 1


@pytest.mark.parametrize("role", ["member", "agent", "admin"])
def test_an_address_of_another_role_is_refused(
    database: Database, identities: FakeIdentityProvider, records: RecordFixtures, role: str
) -> None:
    """Nobody gets into the staff, or becomes an admin, by an account they have already."""
    records.add_account(role, email="ana@example.test")
    with pytest.raises(CommandError, match="another role"):
        create(database, identities)
    assert not identities.people


@pytest.mark.parametrize("role", ["member", "agent", "staff"])
def test_an_address_that_leads_to_another_accounts_sign_in_is_refused_and_nothing_is_granted(
    database: Database,
    identities: FakeIdentityProvider,
    records: RecordFixtures,
    fresh_database: FreshDatabase,
    role: str,
) -> None:
    """A member who changed the address of their sign-in does not become an admin."""
    account = records.add_account(role, email="besa@example.test")
    sub = identities.find_or_create("ana@example.test")
    fresh_database.query_rows("UPDATE accounts SET identity_sub = %s WHERE id = %s", sub, account)
    with pytest.raises(CommandError, match="belongs to another account"):
        create(database, identities, role="admin")
    assert identities.people["ana@example.test"].groups == set()
    assert fresh_database.count("accounts") == 1


def test_an_account_keeps_the_sign_in_that_it_has(
    database: Database, identities: FakeIdentityProvider, records: RecordFixtures, fresh_database: FreshDatabase
) -> None:
    """A second one that has come by the address since is not let in beside it."""
    account = records.add_account("staff", email="ana@example.test")
    fresh_database.query_rows("UPDATE accounts SET identity_sub = 'first' WHERE id = %s", account)
    with pytest.raises(CommandError, match="has another sign-in"):
        create(database, identities)
    assert identities.people["ana@example.test"].groups == set()
    assert fresh_database.query_rows("SELECT identity_sub FROM accounts") == [{"identity_sub": "first"}]


class DyingIdentityProvider(FakeIdentityProvider):
    """A pool whose calls are counted, and of which one fails."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.dies_at = -1

    def __getattribute__(self, name: str) -> Any:
        if name in ("find", "find_or_create", "enable", "add_to_group", "end_access", "delete"):
            self.calls += 1
            if self.calls == self.dies_at:
                raise ServiceUnavailable("TooManyRequestsException")
        return super().__getattribute__(name)


def make_context(database: Database, identities: FakeIdentityProvider) -> OperatorContext:
    """Return what the commands work with."""
    return OperatorContext(database, identities, make_deadline(), "invocation-1")


def remove(database: Database, identities: FakeIdentityProvider, email: str = ANA) -> dict[str, Any]:
    """Run remove-staff."""
    command = read_command({"command": "remove-staff", "email": email})
    assert isinstance(command, RemoveStaff)
    return remove_staff(command, make_context(database, identities))


def free(database: Database, identities: FakeIdentityProvider, email: str = BESA) -> dict[str, Any]:
    """Run free-address."""
    command = read_command({"command": "free-address", "email": email})
    assert isinstance(command, FreeAddress)
    return free_address(command, make_context(database, identities))


def list_audited(fresh_database: FreshDatabase, action: str) -> list[tuple[str, str]]:
    """Return who did it to which account."""
    rows = fresh_database.query_rows("SELECT actor, subject_id::text AS id FROM audit WHERE action = %s", action)
    return [(row["actor"], row["id"]) for row in rows]


def test_a_token_of_who_was_removed_reads_nothing_and_their_sign_in_is_over(
    database: Database, identities: FakeIdentityProvider, fresh_database: FreshDatabase
) -> None:
    """Role, group and sessions; what was done, by ids."""
    made = create(database, identities, role="admin")
    token = make_claims(made["sub"], "admin")
    client = make_client(members_api, fresh_database).sign_in_as(token)
    assert client.call("GET", "/members").status == 200
    answer = remove(database, identities)
    assert client.call("GET", "/members").problem == "forbidden"
    ana = identities.people[ANA]
    assert (ana.groups, ana.enabled, ana.signed_out) == (set(), False, 1)
    assert answer == {"account_id": made["account_id"], "sub": made["sub"], "open_claims": 0}
    assert remove(database, identities) == answer
    assert (
        list_audited(fresh_database, "staff.removed")
        == list_audited(fresh_database, "staff.created")
        == [("operator", made["account_id"])]
    )


def test_claims_that_are_still_assigned_to_them_are_counted_for_the_operator(
    database: Database, identities: FakeIdentityProvider, records: RecordFixtures
) -> None:
    """They stay where they are until somebody takes them; closed ones need nobody."""
    made = create(database, identities)
    member = records.add_member()
    for _ in range(2):
        records.add_claim(member, assignee_id=made["account_id"])
    rejected = records.add_claim(member, assignee_id=made["account_id"])
    records.fresh_database.query_rows("UPDATE claims SET state = 'rejected' WHERE id = %s", rejected)
    assert remove(database, identities)["open_claims"] == 2


@pytest.mark.parametrize("role", ["member", "agent", None])
def test_only_who_works_here_is_removed(
    database: Database, identities: FakeIdentityProvider, records: RecordFixtures, role: str | None
) -> None:
    """A member or an agent keeps what they have."""
    if role:
        records.add_account(role, email=ANA)
    sub = identities.find_or_create(ANA)
    identities.add_to_group(sub, "member")
    with pytest.raises(CommandError, match="nobody with this address works here"):
        remove(database, identities)
    assert (identities.people[ANA].groups, identities.people[ANA].enabled) == ({"member"}, True)


def test_a_sign_in_that_was_never_linked_ends_too(
    database: Database, identities: FakeIdentityProvider, fresh_database: FreshDatabase
) -> None:
    """Made and put into the group by a version that linked it last; but not one that is another account's."""
    made = create(database, identities)
    fresh_database.query_rows("UPDATE accounts SET identity_sub = NULL")
    assert remove(database, identities)["sub"] == made["sub"]
    assert identities.people[ANA].groups == set()


def test_an_unlinked_address_that_leads_to_somebody_elses_sign_in_costs_them_nothing(
    database: Database, identities: FakeIdentityProvider, records: RecordFixtures, fresh_database: FreshDatabase
) -> None:
    """A member had changed their sign-in to the address."""
    made = create(database, identities)
    fresh_database.query_rows("UPDATE accounts SET identity_sub = NULL")
    fresh_database.query_rows(
        "UPDATE accounts SET identity_sub = %s WHERE id = %s", made["sub"], records.add_member(email=BESA)
    )
    assert remove(database, identities)["sub"] is None
    assert identities.people[ANA].enabled


def test_somebody_who_comes_back_gets_another_role_and_signs_in_again(
    database: Database, identities: FakeIdentityProvider, fresh_database: FreshDatabase
) -> None:
    """The same account, since history refers to it; it is how a role is changed, too."""
    made = create(database, identities)
    remove(database, identities)
    again = create(database, identities, role="admin")
    assert again == made
    assert (identities.people[ANA].groups, identities.people[ANA].enabled) == ({"admin"}, True)
    assert fresh_database.query_rows("SELECT role FROM accounts") == [{"role": "admin"}]
    assert len(list_audited(fresh_database, "staff.created")) == 2


def run_with_death(command: Callable[[], Any], identities: DyingIdentityProvider, calls: int) -> None:
    """Run a command that dies at the call of that number, and then whole."""
    identities.calls, identities.dies_at = 0, calls
    with pytest.raises(ServiceUnavailable):
        command()
    identities.dies_at = -1
    command()


def test_removing_goes_on_where_it_died(database: Database, fresh_database: FreshDatabase) -> None:
    """Access has ended before; the second run ends the sessions."""
    identities = DyingIdentityProvider()
    made = create(database, identities)
    identities.calls, identities.dies_at = 0, 1
    with pytest.raises(ServiceUnavailable):
        remove(database, identities)
    assert (
        make_client(members_api, fresh_database)
        .sign_in_as(make_claims(made["sub"], "staff"))
        .call("GET", "/members")
        .status
        == 403
    )
    identities.dies_at = -1
    remove(database, identities)
    assert (identities.people[ANA].groups, identities.people[ANA].enabled) == (set(), False)
    assert len(list_audited(fresh_database, "staff.removed")) == 1


@pytest.mark.parametrize("call", [1, 2, 3])
def test_creating_goes_on_where_it_died(database: Database, fresh_database: FreshDatabase, call: int) -> None:
    """Found or made, enabled, put into the group: each again."""
    identities = DyingIdentityProvider()
    run_with_death(lambda: create(database, identities), identities, call)
    assert identities.people[ANA].groups == {"staff"}
    assert (fresh_database.count("accounts"), len(list_audited(fresh_database, "staff.created"))) == (1, 1)


def register_member(fresh_database: FreshDatabase) -> dict[str, Any]:
    """Add a member whom somebody registered with an address of another's, by an agent's code."""
    client = make_client(members_api, fresh_database).sign_in_as(None)
    member: dict[str, Any] = client.call(
        "POST", "/members", make_person(email=BESA), key=f"key-{get_next_serial()}"
    ).json
    return member


def test_an_address_that_nobody_has_proven_is_freed(
    database: Database, identities: FakeIdentityProvider, records: RecordFixtures, fresh_database: FreshDatabase
) -> None:
    """Its account is closed, its membership over, its mails are not sent, and its owner may register or work here."""
    member, sub = register_member(fresh_database), identities.find_or_create(BESA)
    fresh_database.query_rows("UPDATE accounts SET identity_sub = %s", sub)
    answer = free(database, identities)
    assert answer == {"account_id": member["id"], "identity_deleted": True}
    assert BESA not in identities.people
    [account] = fresh_database.query_rows("SELECT email, identity_sub, role FROM accounts")
    assert account == {"email": f"freed.{member['id']}@address.invalid", "identity_sub": None, "role": "member"}
    assert fresh_database.query_rows("SELECT state FROM subscriptions") == [{"state": "canceled"}]
    assert {(row["state"], row["last_error"]) for row in fresh_database.query_rows("SELECT * FROM outbox")} == {
        ("done", "address-freed")
    }
    assert list_audited(fresh_database, "account.address_freed") == [("operator", member["id"])]
    assert BESA not in str(fresh_database.query_rows("SELECT * FROM audit"))
    assert (
        make_client(members_api, fresh_database)
        .sign_in_as(make_claims(sub, "member"))
        .call("GET", "/members/me")
        .status
        == 403
    )
    assert create(database, identities, email=BESA)["account_id"] != member["id"]
    assert (
        free_again(database, identities) == "the address belongs to somebody who works here: remove-staff comes first"
    )


def free_again(database: Database, identities: FakeIdentityProvider) -> str:
    """Why an address is not freed."""
    with pytest.raises(CommandError) as refused:
        free(database, identities)
    return str(refused.value)


def test_an_address_is_freed_once(
    database: Database, identities: FakeIdentityProvider, fresh_database: FreshDatabase
) -> None:
    """A repetition finds nobody, and changes nothing."""
    register_member(fresh_database)
    free(database, identities)
    before = fresh_database.query_rows("SELECT * FROM accounts"), fresh_database.query_rows("SELECT * FROM audit")
    assert free(database, identities) == {"account_id": None, "identity_deleted": False}
    assert (
        fresh_database.query_rows("SELECT * FROM accounts"),
        fresh_database.query_rows("SELECT * FROM audit"),
    ) == before


def test_a_proven_address_stays_its_owners(
    database: Database, identities: FakeIdentityProvider, fresh_database: FreshDatabase
) -> None:
    """One signed-in call of the owner is enough, and nothing is changed."""
    register_member(fresh_database)
    sub = identities.find_or_create(BESA)
    fresh_database.query_rows("UPDATE accounts SET identity_sub = %s", sub)
    assert (
        make_client(members_api, fresh_database)
        .sign_in_as(make_claims(sub, "member"))
        .call("GET", "/members/me")
        .status
        == 200
    )
    before = fresh_database.query_rows("SELECT * FROM accounts"), fresh_database.query_rows("SELECT * FROM outbox")
    assert free_again(database, identities) == "the address is proven: its owner has signed in"
    assert (
        fresh_database.query_rows("SELECT * FROM accounts"),
        fresh_database.query_rows("SELECT * FROM outbox"),
    ) == before
    assert BESA in identities.people


def test_freeing_does_not_end_the_sign_in_of_somebody_else_who_has_the_address_by_now(
    database: Database, identities: FakeIdentityProvider, records: RecordFixtures, fresh_database: FreshDatabase
) -> None:
    """A member whose sign-in was changed to the address keeps it."""
    register_member(fresh_database)
    sub = identities.find_or_create(BESA)
    fresh_database.query_rows(
        "UPDATE accounts SET identity_sub = %s WHERE id = %s", sub, records.add_member(email="other@example.test")
    )
    assert free(database, identities)["identity_deleted"] is False
    assert identities.people[BESA].enabled


@pytest.mark.parametrize(("state", "after"), [("pending", "rejected"), ("active", "suspended")])
def test_the_agent_of_a_freed_address_earns_nothing_more(
    database: Database, identities: FakeIdentityProvider, fresh_database: FreshDatabase, state: str, after: str
) -> None:
    """Nobody could ever sign in as them."""
    make_client(agents_api, fresh_database).call(
        "POST", "/agents", make_applicant(email=BESA), key=f"key-{get_next_serial()}"
    )
    if state == "active":
        fresh_database.query_rows("UPDATE agents SET state = 'active'")
    free(database, identities)
    assert fresh_database.query_rows("SELECT state FROM agents") == [{"state": after}]


def register_referred_member(fresh_database: FreshDatabase) -> None:
    """Register Besa with an active agent's code, so that the agent earns a commission."""
    agents = make_client(agents_api, fresh_database)
    code = agents.call("POST", "/agents", make_applicant(), key=f"key-{get_next_serial()}").json["referral_code"]
    fresh_database.query_rows("UPDATE agents SET state = 'active'")
    members = make_client(members_api, fresh_database)
    members.call("POST", "/members", make_person(email=BESA, referral_code=code), key=f"key-{get_next_serial()}")


def test_what_was_earned_by_a_member_nobody_has_seen_is_void(
    database: Database, identities: FakeIdentityProvider, fresh_database: FreshDatabase
) -> None:
    """It could never be approved."""
    register_referred_member(fresh_database)
    assert fresh_database.query_rows("SELECT state FROM commissions") == [{"state": "pending"}]
    free(database, identities)
    [commission] = fresh_database.query_rows("SELECT id, state FROM commissions")
    assert commission["state"] == "void"
    assert list_audited(fresh_database, "commission.voided") == [("operator", str(commission["id"]))]


def test_who_approved_a_commission_did_not_void_it(
    database: Database, identities: FakeIdentityProvider, fresh_database: FreshDatabase
) -> None:
    """The approver of a commission is not shown with the reason "address freed", which is nobody's decision."""
    register_referred_member(fresh_database)
    approved = "UPDATE commissions SET state = 'approved', decision_reason = 'earned', decided_by = agent_id"
    fresh_database.query_rows(approved)

    free(database, identities)

    query = "SELECT state, decision_reason, decided_by FROM commissions"
    expected = {"state": "void", "decision_reason": "address freed", "decided_by": None}
    assert fresh_database.query_rows(query) == [expected]


def change_member(fresh_database: FreshDatabase, member_id: str, what: str) -> ApiReply:
    """Staff renew, cancel, pause or resume, or write a number down."""
    staff = make_client(members_api, fresh_database).sign_in_as(STAFF)
    if what == "phone":
        return staff.call("PATCH", "/members/{member_id}", {"phone": "+38344999888"}, if_match="*", member_id=member_id)
    return staff.call("POST", f"/members/{{member_id}}/{what}", key=f"key-{get_next_serial()}", member_id=member_id)


@pytest.mark.parametrize("what", ["renewals", "cancellation", "pause", "resume", "phone"])
def test_nothing_of_a_member_whose_address_was_freed_is_changed(
    database: Database, identities: FakeIdentityProvider, fresh_database: FreshDatabase, what: str
) -> None:
    """Nobody could use it or be notified. Freeing itself is a version of the record."""
    fresh_database.query_rows(SEEDED)
    member_id = register_member(fresh_database)["id"]
    free(database, identities)
    read = (
        make_client(members_api, fresh_database)
        .sign_in_as(STAFF)
        .call("GET", "/members/{member_id}", member_id=member_id)
    )
    assert (read.json["membership"]["state"], read.headers["ETag"]) == ("canceled", '"2"')
    reply = change_member(fresh_database, member_id, what)
    assert (reply.status, reply.problem) == (404, "not-found")
    assert (
        make_client(members_api, fresh_database)
        .sign_in_as(STAFF)
        .call("GET", "/members/{member_id}", member_id=member_id)
        .body
        == read.body
    )


def test_the_agent_of_a_freed_address_is_not_let_in_again(
    database: Database, identities: FakeIdentityProvider, fresh_database: FreshDatabase
) -> None:
    """Otherwise their code would work again, and earn for nobody."""
    fresh_database.query_rows(SEEDED)
    agents = make_client(agents_api, fresh_database)
    agent_id = agents.call("POST", "/agents", make_applicant(email=BESA), key=f"key-{get_next_serial()}").json["id"]
    fresh_database.query_rows("UPDATE agents SET state = 'active'")
    free(database, identities)
    body, path = {"decision": "reinstate", "reason": "Checked."}, "/agents/{agent_id}/decision"
    reply = agents.sign_in_as(STAFF).call("POST", path, body, agent_id=agent_id)
    assert (reply.status, reply.problem) == (409, "decision-not-allowed")


@pytest.mark.parametrize("call", [1, 2])
def test_freeing_goes_on_where_it_died(database: Database, fresh_database: FreshDatabase, call: int) -> None:
    """It dies before it finds or deletes the identity: the account is closed by then, and found again."""
    identities = DyingIdentityProvider()
    member = register_member(fresh_database)
    identities.find_or_create(BESA)
    run_with_death(lambda: free(database, identities), identities, call)
    assert BESA not in identities.people
    assert fresh_database.query_rows("SELECT email FROM accounts") == [
        {"email": f"freed.{member['id']}@address.invalid"}
    ]
    assert len(list_audited(fresh_database, "account.address_freed")) == 1


def test_a_mail_to_a_freed_address_is_not_sent(
    database: Database, identities: FakeIdentityProvider, records: RecordFixtures, fresh_database: FreshDatabase
) -> None:
    """A job that is written later fails with its reason: there is nobody to notify."""
    member = register_member(fresh_database)
    free(database, identities)
    job = records.add_mail("membership-renewed", member["id"], to=member["id"], state="queued")
    found = fresh_database.query_rows("SELECT email FROM accounts")
    assert found[0]["email"].endswith("@address.invalid")
    mailer, office = FakeMailer(), MailSettings("desk@example.test", "en", "https://app.example.test")
    assert (
        JobRunner(database, mailer, identities, FakeJobQueues(), office, read_utc_now).run_job(job, make_deadline(60))
        == "failed"
    )
    assert (mailer.sent, records.read_job(job)["last_error"]) == ([], "recipient-unknown")
