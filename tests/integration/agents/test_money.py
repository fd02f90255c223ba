"""The money of a month, and of any history: to the cent, each commission paid once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.databases import FreshDatabase, PostgresHandle
from tests.fakes.clock import ManualClock
from tests.measurements import record
from tests.money.month import MEMBERS, MONTH, simulate_month
from tests.money.simulated_business import (
    PRICES,
    SimulatedBusiness,
    copy_of,
    list_differences,
    read_statements,
    round_to_cents,
)


@pytest.fixture(scope="module")
def business(postgres: PostgresHandle) -> SimulatedBusiness:
    """Return the month, over and approved."""
    return simulate_month(postgres.make_fresh_database())


def test_the_month_holds_every_kind_of_event_and_refusal(business: SimulatedBusiness) -> None:
    """Without all of them the sums would prove little."""
    of_the_month = [one for one in business.earned if f"{one.earned_on:%Y-%m}" == MONTH]
    assert (len(business.members), len(business.agents)) == (MEMBERS, 4)
    states = [one.state for one in of_the_month]
    assert {state: states.count(state) for state in ("pending", "approved", "void")} == {
        "pending": 10, "approved": 20, "void": 8,
    }  # fmt: skip
    suspended = {one.id for one in business.agents if not one.active}
    assert {one.agent for one in of_the_month if one.state == "approved"}.isdisjoint(suspended)
    assert any(one.agent in suspended and one.earned_on == date(2024, 1, 12) for one in of_the_month)
    assert list_differences(business) == []


def test_the_money_of_a_month(business: SimulatedBusiness) -> None:
    """Four runs at once are one; each agent's statement is what the rules say, to the cent; nothing is paid twice."""
    payers = [business.make_payer() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda payer: payer.call("POST", "/payouts", {"month": MONTH}), payers))
    assert {reply.status for reply in replies} == {201}
    assert len({reply.body for reply in replies}) == 1
    run = business.run_payout(MONTH)
    assert run["id"] == replies[0].json["id"]
    assert read_statements(run) == business.compute_owed(MONTH)
    assert list_differences(business) == []
    record("money_of_a_month", members=len(business.members), paid=run["commission_count"], total=run["total"])


def test_what_waited_is_paid_by_a_later_months_run(business: SimulatedBusiness) -> None:
    """The agent is reinstated and the member signs in: approved now, paid with February."""
    business.run_payout(MONTH)
    business.suspend_or_reinstate(business.agents[-1])
    for member in business.members:
        business.sign_in(member)
    business.go_to(date(2024, 3, 1))
    waited = [one for one in business.earned if one.state == "pending"]
    assert [business.decide(one, "approve") for one in waited] == [None] * 10
    run = business.run_payout("2024-02")
    assert read_statements(run) == business.compute_owed("2024-02")
    assert run["commission_count"] == len(waited)
    assert list_differences(business) == []


BROKEN = {
    "a statement of another sum": "UPDATE payout_statements SET total = total + 0.01 WHERE number ="
    " (SELECT min(number) FROM payout_statements)",
    "a cent too much": "UPDATE commissions SET amount = amount + 0.01 WHERE id = (SELECT min(id::text)::uuid"
    " FROM commissions WHERE state = 'paid')",
    "paid without a statement": "UPDATE commissions SET state = 'paid', payout_id = gen_random_uuid()"
    " WHERE id = (SELECT min(id::text)::uuid FROM commissions WHERE state = 'void')",
    "forgotten": "UPDATE commissions SET state = 'approved', payout_id = NULL"
    " WHERE id = (SELECT min(id::text)::uuid FROM commissions WHERE state = 'paid')",
}


@pytest.mark.parametrize("statement", BROKEN.values(), ids=BROKEN)
def test_money_that_is_wrong_would_be_seen(business: SimulatedBusiness, statement: str) -> None:
    """Each is written past the database's own rules, into a copy of the month, and found."""
    broken = copy_of(business)
    with psycopg.connect(
        broken.fresh_database.postgres.build_conninfo(user="postgres", dbname=broken.fresh_database.name)
    ) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(statement.encode())
    assert list_differences(broken) != []


@pytest.mark.parametrize(("amount", "rate", "rounded"), [("35", "0.3333", "11.67"), ("15", "0.0003", "0.00"),
                                                         ("95", "0.0001", "0.01"), ("20", "1", "20.00")])  # fmt: skip
def test_half_a_cent_is_rounded_as_people_do(
    fresh_database: FreshDatabase, amount: str, rate: str, rounded: str
) -> None:
    """The database and the ledger that it is compared with round alike."""
    [row] = fresh_database.query_rows("SELECT round(%s::numeric * %s::numeric, 2)::text AS amount", amount, rate)
    assert row["amount"] == str(round_to_cents(Decimal(amount), Decimal(rate))) == rounded


START = datetime(2021, 1, 4, 12, tzinfo=UTC)
EVENTS = ("register", "renew", "cancel", "sign_in", "suspend_or_reinstate", "approve", "void", "pay", "days")
Event = tuple[str, int]


def apply_event(business: SimulatedBusiness, event: Event) -> None:
    """Let one event happen to whoever its number means."""
    name, number = event
    if name == "days":
        business.go_to(business.today + timedelta(days=number % 25))
    elif name == "register":
        business.register(business.agents[number % 3], list(PRICES)[number % 4])
    elif name == "suspend_or_reinstate":
        business.suspend_or_reinstate(business.agents[number % 3])
    elif name == "pay":
        business.run_payout(f"{business.today.replace(day=1) - timedelta(days=1 + number % 40):%Y-%m}")
    elif name in ("approve", "void") and business.earned:
        business.decide(business.earned[number % len(business.earned)], name)
    elif name in ("renew", "cancel", "sign_in") and business.members:
        act: Any = getattr(business, name)
        act(business.members[number % len(business.members)])


@settings(max_examples=25)
@given(st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(0, 1000)), min_size=10, max_size=40))
def test_in_any_history_statements_are_the_paid_commissions_each_once(
    postgres: PostgresHandle, events: list[Event]
) -> None:
    """This holds for any order of events and refusals."""
    business = SimulatedBusiness(postgres.make_fresh_database(), ManualClock(START))
    for rate in (None, "0.3333", "0"):
        business.add_agent(rate)
    for event in [("register", 0), ("register", 1), ("sign_in", 0), *events]:
        apply_event(business, event)
    business.go_to(business.today + timedelta(days=31))
    last = f"{business.today.replace(day=1) - timedelta(days=1):%Y-%m}"
    assert last in business.paid_months or read_statements(business.run_payout(last)) == business.compute_owed(last)
    assert list_differences(business) == []
