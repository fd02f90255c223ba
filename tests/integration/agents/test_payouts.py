"""Payout runs, on a real database: a month is paid once, and every statement is the sum of its lines."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from agents.app import api
from tests.api_client import ApiClient, ApiReply
from tests.databases import FreshDatabase
from tests.fakes.clock import ManualClock
from tests.integration.function_client import make_client, sign_in
from tests.integration.jobs.records import RecordFixtures

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
LAST_MONTH, THIS_MONTH, NEXT_MONTH = "2026-10", "2026-11", "2026-12"
NOBODY = "01a20ba6-afb6-76d1-9556-a703ff01d17a"


@pytest.fixture
def fresh_database(fresh_database: FreshDatabase) -> FreshDatabase:
    """Return a database of each test's own: a run takes all there is."""
    return fresh_database.postgres.make_fresh_database()


@pytest.fixture
def records(fresh_database: FreshDatabase) -> RecordFixtures:
    return RecordFixtures(fresh_database)


@pytest.fixture
def client(fresh_database: FreshDatabase, records: RecordFixtures) -> ApiClient:
    """Return an admin with an account."""
    return make_client(api, fresh_database).sign_in_as(sign_in(fresh_database, str(records.add_account("admin"))))


def run_payout(client: ApiClient, month: str = LAST_MONTH, key: str | None = None) -> ApiReply:
    return client.call("POST", "/payouts", {"month": month}, key=key)


def read(client: ApiClient, run: dict[str, Any]) -> dict[str, Any]:
    """Return a run with its statements."""
    reply = client.call("GET", "/payouts/{payout_id}", payout_id=run["id"])
    assert reply.status == 200, reply.body
    found: dict[str, Any] = reply.json
    return found


def read_state(fresh_database: FreshDatabase, commission: Any) -> str:
    return str(fresh_database.query_rows("SELECT state FROM commissions WHERE id = %s", commission)[0]["state"])


def test_a_run_pays_what_is_approved_and_was_earned_by_its_end(
    fresh_database: FreshDatabase, records: RecordFixtures, client: ApiClient
) -> None:
    """It pays commissions of this month and earlier ones; pending, void and later ones stay."""
    agent = records.add_agent(state="active")
    paid = [
        records.add_commission(agent, earned_on=day, state="approved")
        for day in ("2026-10-31", "2026-10-01", "2025-12-24")
    ]
    left = {
        records.add_commission(agent, earned_on="2026-11-01", state="approved"): "approved",
        records.add_commission(agent, earned_on="2026-10-15"): "pending",
        records.add_commission(agent, earned_on="2026-10-15", state="void"): "void",
    }
    run = run_payout(client)
    assert (run.status, run.json["month"], run.json["commission_count"], run.json["total"]) == (
        201, LAST_MONTH, 3, "21.00",
    )  # fmt: skip
    assert run.headers["Location"] == f"/api/payouts/{run.json['id']}"
    [statement] = read(client, run.json)["statements"]
    assert {line["commission_id"] for line in statement["lines"]} == {str(one) for one in paid}
    assert {read_state(fresh_database, one) for one in paid} == {"paid"}
    assert {one: read_state(fresh_database, one) for one in left} == left


def test_a_run_gives_each_agent_one_statement_with_lines_and_their_sum(
    records: RecordFixtures, client: ApiClient
) -> None:
    """A numbered statement has only the agent's own commissions, and their sum to the cent."""
    agents = [records.add_agent(state="active") for _ in range(3)]
    amounts = {agents[0]: ["0.01", "0.02"], agents[1]: ["19.00"], agents[2]: ["3.33", "3.33", "3.34"]}
    for agent, its in amounts.items():
        for amount in its:
            records.add_commission(agent, amount=amount, earned_on="2026-10-02", state="approved")
    run = read(client, run_payout(client).json)
    found = {
        one["agent"]["id"]: (one["total"], sorted(line["amount"] for line in one["lines"])) for one in run["statements"]
    }
    assert found == {str(agent): (str(sum(map(Decimal, its))), sorted(its)) for agent, its in amounts.items()}
    assert (run["total"], run["statement_count"], run["commission_count"]) == ("29.03", 3, 6)
    numbers = [one["number"] for one in run["statements"]]
    assert numbers == ["PAY-2026-000001", "PAY-2026-000002", "PAY-2026-000003"]
    assert {one["issued_on"] for one in run["statements"]} == {"2026-11-24"}


def test_a_months_second_run_is_its_first(
    fresh_database: FreshDatabase, records: RecordFixtures, client: ApiClient
) -> None:
    """Another key, or none, gets the first run; commissions approved since go into a later month's run."""
    agent = records.add_agent(state="active")
    records.add_commission(agent, earned_on="2026-10-02", state="approved")
    first = run_payout(client, key="first")
    late = records.add_commission(agent, earned_on="2026-10-03", state="approved")
    assert [run_payout(client, key=key).body for key in ("first", "second")] == [first.body] * 2
    assert (run_payout(client).status, run_payout(client).body) == (201, first.body)
    assert (
        read_state(fresh_database, late),
        fresh_database.count("payouts"),
        fresh_database.count("payout_statements"),
    ) == ("approved", 1, 1)
    next_month = make_client(api, fresh_database, clock=ManualClock(datetime(2026, 12, 1, 9, tzinfo=UTC))).sign_in_as(
        client.claims
    )
    [statement] = read(client, run_payout(next_month, THIS_MONTH).json)["statements"]
    assert [line["commission_id"] for line in statement["lines"]] == [str(late)]


def test_a_month_without_anything_to_pay_has_a_run_all_the_same(records: RecordFixtures, client: ApiClient) -> None:
    """The run shows that the month is done."""
    run = run_payout(client)
    assert (run.status, run.json["total"], run.json["statement_count"]) == (201, "0.00", 0)
    assert read(client, run.json)["statements"] == []
    records.add_commission(earned_on="2026-10-02", state="approved")
    assert run_payout(client).body == run.body


@pytest.mark.parametrize(
    ("now", "month", "status"),
    [
        (NOW, THIS_MONTH, 409),
        (NOW, NEXT_MONTH, 409),
        (NOW, "2099-12", 409),
        (NOW, LAST_MONTH, 201),
        (datetime(2026, 11, 30, 22, 59, 59, tzinfo=UTC), THIS_MONTH, 409),
        (datetime(2026, 11, 30, 23, 0, 0, tzinfo=UTC), THIS_MONTH, 201),  # midnight in Prishtina
    ],
)
def test_a_month_is_paid_once_it_is_over(
    fresh_database: FreshDatabase, client: ApiClient, now: datetime, month: str, status: int
) -> None:
    """The day is that of the stack's country."""
    reply = run_payout(make_client(api, fresh_database, clock=ManualClock(now)).sign_in_as(client.claims), month)
    assert reply.status == status
    assert status == 201 or (reply.problem == "payout-too-early" and fresh_database.count("payouts") == 0)


@pytest.mark.parametrize("month", ["2026-13", "2026-00", "2026-1", "2026-10-01", "26-10", "1999-12", 202610, None, ""])
def test_a_month_that_is_none_is_refused(client: ApiClient, month: Any) -> None:
    """The answer names the field."""
    reply = client.call("POST", "/payouts", {"month": month})
    assert (reply.status, reply.pointers) == (422, ["/month"])


def test_two_runs_at_once_are_one(fresh_database: FreshDatabase, records: RecordFixtures, client: ApiClient) -> None:
    """The second one answers with the first one's run; nothing is paid twice."""
    agents = [records.add_agent(state="active") for _ in range(4)]
    for n in range(40):
        records.add_commission(agents[n % 4], earned_on="2026-10-02", state="approved")
    clients = [make_client(api, fresh_database).sign_in_as(client.claims) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        replies = list(pool.map(run_payout, clients))
    assert {reply.status for reply in replies} == {201}
    assert len({reply.body for reply in replies}) == 1
    assert (fresh_database.count("payouts"), fresh_database.count("payout_statements")) == (1, 4)
    assert read(client, replies[0].json)["commission_count"] == 40
    assert fresh_database.query_rows("SELECT count(*) AS n FROM audit WHERE action = 'commission.paid'") == [{"n": 40}]


def test_runs_of_two_months_at_once_pay_each_commission_once(
    fresh_database: FreshDatabase, records: RecordFixtures, client: ApiClient
) -> None:
    """Both runs could pay what was earned by the end of the earlier month."""
    agent = records.add_agent(state="active")
    for n in range(30):
        records.add_commission(agent, earned_on=f"2026-0{8 + n % 2}-02", state="approved")
    clients = [make_client(api, fresh_database).sign_in_as(client.claims) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        runs = [reply.json for reply in pool.map(run_payout, clients, ("2026-08", "2026-09"))]
    lines = [line["commission_id"] for run in runs for one in read(client, run)["statements"] for line in one["lines"]]
    assert len(lines) == len(set(lines)) == 30
    assert sum(Decimal(run["total"]) for run in runs) == Decimal("210.00")


def test_a_void_and_a_run_at_once_end_in_one_of_both(
    fresh_database: FreshDatabase, records: RecordFixtures, client: ApiClient
) -> None:
    """The commission is void and on no statement, or paid and can't be voided."""
    for n in range(8):
        made, month = records.add_commission(earned_on="2020-01-01", state="approved"), f"2020-{n + 1:02d}"
        clients = [make_client(api, fresh_database).sign_in_as(client.claims) for _ in range(2)]
        body, path = {"decision": "void", "reason": "Wrong."}, "/commissions/{commission_id}/decision"
        with ThreadPoolExecutor(2) as pool:
            run = pool.submit(run_payout, clients[0], month)
            void = pool.submit(clients[1].call, "POST", path, body, commission_id=str(made))
        lines = read(client, run.result().json)["commission_count"]
        assert (void.result().status, lines, read_state(fresh_database, made)) in ((200, 0, "void"), (409, 1, "paid"))


def test_what_is_paid_is_final(records: RecordFixtures, client: ApiClient) -> None:
    """Nobody voids it; staff see the statement that it stands on."""
    made = records.add_commission(earned_on="2026-10-02", state="approved")
    [statement] = read(client, run_payout(client).json)["statements"]
    body = {"decision": "void", "reason": "Too late."}
    refused = client.call("POST", "/commissions/{commission_id}/decision", body, commission_id=str(made))
    assert refused.problem == "commission-move-not-allowed"
    [listed] = client.call("GET", "/commissions", query={"state": "paid"}).json["items"]
    assert listed["statement_number"] == statement["number"]


def test_a_suspended_agent_is_paid_what_was_approved_before(records: RecordFixtures, client: ApiClient) -> None:
    """An approval is a promise; a suspension stops the next ones."""
    agent = records.add_agent(state="suspended")
    records.add_commission(agent, earned_on="2026-10-02", state="approved")
    assert run_payout(client).json["total"] == "7.00"


def test_an_agent_reads_their_own_statements(
    fresh_database: FreshDatabase, records: RecordFixtures, client: ApiClient
) -> None:
    """The latest first, a page at a time, with their lines; never another's. Also while suspended."""
    mine, other = records.add_agent(state="active"), records.add_agent(state="active")
    for agent in (mine, other):
        for month in ("2026-08", "2026-09", "2026-10"):
            records.add_commission(agent, earned_on=f"{month}-02", state="approved")
    for month in ("2026-08", "2026-09", "2026-10"):
        run_payout(client, month)
    me, path = client.sign_in_as(sign_in(fresh_database, str(mine))), "/agents/me/statements"
    first = me.call("GET", path, query={"limit": "2"}).json
    rest = me.call("GET", path, query={"limit": "2", "cursor": first["next_cursor"]}).json
    seen = first["items"] + rest["items"]
    assert [one["month"] for one in seen] == ["2026-10", "2026-09", "2026-08"]
    assert {one["agent"]["id"] for one in seen} == {str(mine)}
    assert [(len(one["lines"]), one["total"]) for one in seen] == [(1, "7.00")] * 3
    assert (
        client.sign_in_as(sign_in(fresh_database, str(other)))
        .call("GET", path, query={"cursor": first["next_cursor"]})
        .status
        == 422
    )
    fresh_database.query_rows("UPDATE agents SET state = 'suspended' WHERE id = %s", mine)
    assert len(me.call("GET", path).json["items"]) == 3


@pytest.mark.parametrize("state", ["pending", "rejected"])
def test_who_was_never_approved_has_no_statements(
    fresh_database: FreshDatabase, records: RecordFixtures, client: ApiClient, state: str
) -> None:
    """The answer is a 403 with the reason."""
    me = client.sign_in_as(sign_in(fresh_database, str(records.add_agent(state=state))))
    assert me.call("GET", "/agents/me/statements").problem == "agent-not-active"


def test_payouts_are_for_admins(fresh_database: FreshDatabase, records: RecordFixtures, client: ApiClient) -> None:
    """Staff, agents and members get a 403; an unknown id is 404."""
    run = run_payout(client).json
    for account in (records.add_account("staff"), records.add_agent(state="active"), records.add_member()):
        other = client.sign_in_as(sign_in(fresh_database, str(account)))
        assert run_payout(other).status in (403, 404)
        assert other.call("GET", "/payouts").status in (403, 404)
        assert other.call("GET", "/payouts/{payout_id}", payout_id=run["id"]).status in (403, 404)
    assert client.call("GET", "/payouts/{payout_id}", payout_id=NOBODY).problem == "not-found"


def test_runs_are_listed_newest_first(client: ApiClient) -> None:
    """A page at a time."""
    for month in ("2026-08", "2026-10", "2026-09"):
        run_payout(client, month)
    first = client.call("GET", "/payouts", query={"limit": "2"}).json
    rest = client.call("GET", "/payouts", query={"limit": "2", "cursor": first["next_cursor"]}).json
    assert [run["month"] for run in first["items"] + rest["items"]] == ["2026-09", "2026-10", "2026-08"]
    assert rest["next_cursor"] is None


def test_staff_list_the_commissions_of_a_month(
    fresh_database: FreshDatabase, records: RecordFixtures, client: ApiClient
) -> None:
    """A commission is of the month in which it was earned, first and last day included."""
    days = ("2026-09-30", "2026-10-01", "2026-10-31", "2026-11-01")
    made = [str(records.add_commission(earned_on=day)) for day in days]
    listed = client.call("GET", "/commissions", query={"month": "2026-10"}).json["items"]
    assert [one["id"] for one in listed] == [made[2], made[1]]
    assert [one["earned_on"] for one in listed] == ["2026-10-31", "2026-10-01"]
    for wrong in ("2026-13", "october", "2026-10-01"):
        assert client.call("GET", "/commissions", query={"month": wrong}).pointers == ["month"]


def test_a_run_is_audited_by_ids(fresh_database: FreshDatabase, records: RecordFixtures, client: ApiClient) -> None:
    """The run and each commission that it paid, once, however often it is asked for."""
    made = records.add_commission(earned_on="2026-10-02", state="approved")
    run = run_payout(client).json
    assert run_payout(client).json == run
    entries = fresh_database.query_rows("SELECT action, subject_id::text, actor, facts FROM audit ORDER BY action")
    assert client.claims is not None
    actor = {"actor": client.claims["sub"]}
    assert entries == [
        {**actor, "action": "commission.paid", "subject_id": str(made), "facts": {"payout_id": run["id"]}},
        {**actor, "action": "payout.made", "subject_id": run["id"], "facts": {"month": LAST_MONTH}},
    ]


IMPOSSIBLE = {
    "UPDATE commissions SET state = 'paid' WHERE state = 'approved'": "commissions_paid_on_a_statement",
    "UPDATE commissions SET payout_id = (SELECT id FROM payouts) WHERE state = 'approved'":
        "commissions_paid_on_a_statement",
    "UPDATE commissions SET state = 'paid', payout_id = gen_random_uuid() WHERE state = 'approved'":
        "commissions_statement_fkey",
    "UPDATE commissions c SET state = 'paid', payout_id = s.payout_id FROM payout_statements s"
    " WHERE c.state = 'approved' AND c.agent_id = s.agent_id": "not the sum of its lines",
    "INSERT INTO payout_statements (payout_id, agent_id, issued_on, total, currency)"
    " SELECT p.id, g.id, now(), 7, 'EUR' FROM payouts p, agents g WHERE g.state = 'pending'":
        "not the sum of its lines",
    "INSERT INTO payout_statements (payout_id, agent_id, issued_on, total, currency)"
    " SELECT payout_id, agent_id, now(), 7, 'EUR' FROM payout_statements": "payout_statements_pkey",
    "INSERT INTO payouts (id, month, made_by) SELECT gen_random_uuid(), month, made_by FROM payouts":
        "payouts_month_key",
    "INSERT INTO payouts (id, month, made_by) SELECT gen_random_uuid(), '2026-09-02', made_by FROM payouts":
        "payouts_month_check",
    "UPDATE commissions SET amount = amount + 1 WHERE state = 'paid'": "does not change",
    "UPDATE commissions SET amount = amount + 1 WHERE state = 'approved'": "does not change",
    "UPDATE commissions SET payout_id = NULL, state = 'approved' WHERE state = 'paid'": "does not change|not-allowed",
    "UPDATE payout_statements SET total = total + 1": "append-only",
    "DELETE FROM payout_statements": "append-only",
    "UPDATE payouts SET month = '2026-09-01'": "append-only",
}  # fmt: skip


@pytest.mark.parametrize(("statement", "reason"), IMPOSSIBLE.items())
def test_what_must_be_impossible_is_impossible_in_the_database(
    records: RecordFixtures, fresh_database: FreshDatabase, client: ApiClient, statement: str, reason: str
) -> None:
    """Constraints refuse it even if the code has an error."""
    agent = records.add_agent(state="active")
    records.add_agent()
    records.add_commission(agent, earned_on="2026-10-02", state="approved")
    run_payout(client)
    records.add_commission(agent, earned_on="2026-10-02", state="approved")
    with pytest.raises(psycopg.DatabaseError, match=reason):
        fresh_database.query_rows(statement)
