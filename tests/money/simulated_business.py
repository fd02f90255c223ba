"""A simulated business that earns and pays through the API, and the sums that the rules require.

`SimulatedBusiness` calls the API and keeps its own ledger, written from the domain's rules: of what the service has
computed it reads nothing but the ids.
"""

import itertools
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from agents.app import api as agents_api
from local.postgres import OWNER
from members.app import api as members_api
from tests.api_client import ApiClient, ApiReply
from tests.databases import FreshDatabase
from tests.fakes.clock import ManualClock
from tests.integration.function_client import add_agent, get_next_serial, make_client, sign_in
from tests.integration.jobs.records import RecordFixtures
from tests.sample_people import make_person

PRICES = {"basic": Decimal(15), "standard": Decimal(20), "family": Decimal(35), "business": Decimal(95)}
RATES = {"new": Decimal("0.20"), "renewal": Decimal("0.10")}
CENT = Decimal("0.01")
WITHDRAWAL = GRACE = timedelta(days=14)

_copies = itertools.count(1)


def round_to_cents(price: Decimal, rate: Decimal) -> Decimal:
    """Return a rate's share of a price, half a cent rounded upwards."""
    return (price * rate).quantize(CENT, ROUND_HALF_UP)


@dataclass
class LedgerCommission:
    """A commission as the ledger has it."""

    id: str
    agent: str
    member: str
    amount: Decimal
    earned_on: date
    period_starts_on: date
    state: str = "pending"
    paid_in: str | None = None


@dataclass
class LedgerAgent:
    """An agent as the ledger has them."""

    id: str
    code: str
    rate: Decimal | None
    active: bool = True


@dataclass
class LedgerMember:
    """A member as the ledger has them; `period_starts_on` is the first day of the last year that is paid for."""

    id: str
    agent: LedgerAgent
    price: Decimal
    period_starts_on: date
    signed_in: bool = False
    canceled: bool = False

    @property
    def ends_on(self) -> date:
        """The last day that is paid for."""
        return _add_years(self.period_starts_on, 1) - timedelta(days=1)

    def has_ended(self, today: date) -> bool:
        """Return whether a renewal begins anew: past the end if it was cancelled, else past the days of grace too."""
        return today > self.ends_on + (timedelta(0) if self.canceled else GRACE)


@dataclass
class SimulatedBusiness:
    """Members, agents and staff on a database; the time is the clock's."""

    fresh_database: FreshDatabase
    clock: ManualClock
    agents: list[LedgerAgent] = field(default_factory=list)
    members: list[LedgerMember] = field(default_factory=list)
    earned: list[LedgerCommission] = field(default_factory=list)
    paid_months: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        records = RecordFixtures(self.fresh_database)
        self._members = make_client(members_api, self.fresh_database, clock=self.clock)
        self._agents = make_client(agents_api, self.fresh_database, clock=self.clock)
        self._staff = sign_in(self.fresh_database, str(records.add_account("staff")))
        self.admin = sign_in(self.fresh_database, str(records.add_account("admin")))

    @property
    def today(self) -> date:
        """The day it is; at noon it is the same one in every country served."""
        return self.clock().date()

    def go_to(self, day: date) -> None:
        """Let the time pass until noon of a day."""
        self.clock.advance((datetime(day.year, day.month, day.day, 12, tzinfo=UTC) - self.clock()).total_seconds())

    def add_agent(self, rate: str | None = None) -> LedgerAgent:
        """Add an active agent, with a rate of their own if one is named."""
        agent_id, code = add_agent(self.fresh_database, rate=rate)
        self.agents.append(LedgerAgent(agent_id, code, Decimal(rate) if rate else None))
        return self.agents[-1]

    def register(self, with_agent: LedgerAgent, plan: str) -> LedgerMember | None:
        """Somebody registers with an agent's code; None where the code does not count, for its agent is suspended."""
        body = make_person(referral_code=with_agent.code, plan=plan)
        reply = self._members.call("POST", "/members", body, key=f"money-{get_next_serial()}")
        if not with_agent.active:
            assert reply.problem == "referral-code-unknown"
            return None
        assert reply.status == 201, reply.body
        member = LedgerMember(reply.json["id"], with_agent, PRICES[plan], self.today)
        self.members.append(member)
        self._earn(member, "new")
        return member

    def renew(self, member: LedgerMember) -> None:
        """A year more: after the end, or from today on where the membership has ended; at most two years ahead."""
        starts_on = self.today if member.has_ended(self.today) else member.ends_on + timedelta(days=1)
        reply = self._send_as_staff(self._members, "POST", "/members/{member_id}/renewals", member_id=member.id)
        if _add_years(starts_on, 1) - timedelta(days=1) > _add_years(self.today, 2):
            assert reply.problem == "renewal-too-early"
            return
        assert reply.status == 201, reply.body
        member.period_starts_on, member.canceled = starts_on, False
        self._earn(member, "renewal")

    def cancel(self, member: LedgerMember) -> None:
        """The membership ends with its period; within 14 days of a period's first day nobody has earned by it."""
        reply = self._send_as_staff(self._members, "POST", "/members/{member_id}/cancellation", member_id=member.id)
        if not member.canceled and member.has_ended(self.today):
            assert reply.problem == "membership-ended"
            return
        assert reply.status == 200, reply.body
        if member.canceled:
            return
        member.canceled = True
        for earned in self.earned:
            near = abs(self.today - earned.period_starts_on) <= WITHDRAWAL
            if earned.member == member.id and near and earned.state in ("pending", "approved"):
                earned.state = "void"

    def sign_in(self, member: LedgerMember) -> None:
        """A member is seen for the first time."""
        me = self._members.sign_in_as(sign_in(self.fresh_database, member.id))
        assert me.call("GET", "/members/me").status == 200
        member.signed_in = True

    def suspend_or_reinstate(self, one: LedgerAgent) -> None:
        """Whichever is possible."""
        body = {"decision": "suspend" if one.active else "reinstate", "reason": "Checked."}
        path = "/agents/{agent_id}/decision"
        assert self._send_as_staff(self._agents, "POST", path, body, agent_id=one.id).status == 200
        one.active = not one.active

    def decide(self, earned: LedgerCommission, decision: str) -> str | None:
        """Staff approve or void; the name of the problem where that is refused, as it must be."""
        body, path = {"decision": decision, "reason": "Checked."}, "/commissions/{commission_id}/decision"
        reply = self._send_as_staff(self._agents, "POST", path, body, commission_id=earned.id)
        wanted = self._find_refusal(earned, decision)
        assert (None if reply.status == 200 else reply.problem) == wanted
        if wanted is None:
            earned.state = "approved" if decision == "approve" else "void"
        return wanted

    def run_payout(self, month: str) -> dict[str, Any]:
        """Make a month's run, and read it with its statements."""
        run = self.make_payer().call("POST", "/payouts", {"month": month})
        assert run.status == 201, run.body
        if month not in self.paid_months:
            self.paid_months.append(month)
            for earned in self.earned:
                if earned.state == "approved" and f"{earned.earned_on:%Y-%m}" <= month:
                    earned.state, earned.paid_in = "paid", month
        return self.read(run.json["id"])

    def make_payer(self) -> ApiClient:
        """Return an admin, on a connection of their own."""
        return make_client(agents_api, self.fresh_database, clock=self.clock).sign_in_as(self.admin)

    def read(self, payout_id: str) -> dict[str, Any]:
        """Return a run with its statements."""
        found: dict[str, Any] = self.make_payer().call("GET", "/payouts/{payout_id}", payout_id=payout_id).json
        return found

    def compute_owed(self, month: str) -> dict[str, tuple[Decimal, list[str]]]:
        """Return what the ledger owes in a month's run: the sum by agent, and the commissions."""
        owed: dict[str, tuple[Decimal, list[str]]] = {}
        for earned in sorted((one for one in self.earned if one.paid_in == month), key=lambda one: one.id):
            total, lines = owed.get(earned.agent, (Decimal(0), []))
            owed[earned.agent] = (total + earned.amount, [*lines, earned.id])
        return owed

    def _find_refusal(self, earned: LedgerCommission, decision: str) -> str | None:
        if earned.state == "pending" and decision == "approve":
            if not next(one.active for one in self.agents if one.id == earned.agent):
                return "commission-agent-not-active"
            signed_in = next(one.signed_in for one in self.members if one.id == earned.member)
            return None if signed_in else "commission-member-not-proven"
        return None if earned.state in ("pending", "approved") and decision == "void" else "commission-move-not-allowed"

    def _earn(self, member: LedgerMember, kind: str) -> None:
        query = "SELECT id::text FROM commissions WHERE member_id = %s ORDER BY period_starts_on DESC LIMIT 1"
        [made] = self.fresh_database.query_rows(query, member.id)
        rate = RATES[kind] if member.agent.rate is None else member.agent.rate
        amount, starts_on = round_to_cents(member.price, rate), member.period_starts_on
        self.earned.append(LedgerCommission(made["id"], member.agent.id, member.id, amount, self.today, starts_on))

    def _send_as_staff(self, client: ApiClient, method: str, path: str, body: Any = None, **ids: Any) -> ApiReply:
        return client.sign_in_as(self._staff).call(method, path, body, key=f"money-{get_next_serial()}", **ids)


def copy_of(business: SimulatedBusiness) -> SimulatedBusiness:
    """Return the same business in a database of its own, with a ledger of its own."""
    fresh_database = business.fresh_database
    fresh_database.cut_connections()
    name = f"{fresh_database.name}_copy_{next(_copies)}"
    fresh_database.postgres.execute(f"CREATE DATABASE {name} TEMPLATE {fresh_database.name} OWNER {OWNER}")
    earned, paid_months = deepcopy(business.earned), [*business.paid_months]
    return replace(
        business, fresh_database=FreshDatabase(fresh_database.postgres, name), earned=earned, paid_months=paid_months
    )


def _add_years(day: date, years: int) -> date:
    return day.replace(year=day.year + years)


def read_statements(run: dict[str, Any]) -> dict[str, tuple[Decimal, list[str]]]:
    """Return what a run pays, by agent: the sum on the statement, and the commissions."""
    return {
        one["agent"]["id"]: (Decimal(one["total"]), sorted(line["commission_id"] for line in one["lines"]))
        for one in run["statements"]
    }


def _sum_run(run: dict[str, Any]) -> Decimal:
    return sum((Decimal(one["total"]) for one in run["statements"]), Decimal(0))


def list_differences(business: SimulatedBusiness) -> list[str]:
    """Describe each difference between the ledger, the commissions' states and all statements; empty if all is well."""
    rows = business.fresh_database.query_rows("SELECT id::text, state, amount FROM commissions")
    states = {row["id"]: (row["state"], row["amount"]) for row in rows}
    wrong = [
        f"{one.id}: {states[one.id]}, wanted {(one.state, one.amount)}"
        for one in business.earned
        if states[one.id] != (one.state, one.amount)
    ]
    runs = [business.read(str(row["id"])) for row in business.fresh_database.query_rows("SELECT id FROM payouts")]
    lines = [line for run in runs for one in run["statements"] for line in one["lines"]]
    paid = {key: amount for key, (state, amount) in states.items() if state == "paid"}
    if sorted(line["commission_id"] for line in lines) != sorted(paid):
        wrong.append("the statements' lines are not the commissions that are paid, each once")
    if sum((Decimal(run["total"]) for run in runs), Decimal(0)) != sum(paid.values(), Decimal(0)):
        wrong.append("the runs together pay another sum than the paid commissions are")
    wrong += [
        f"{one['number']}: {one['total']} is not the sum of its lines"
        for run in runs
        for one in run["statements"]
        if Decimal(one["total"]) != sum(Decimal(line["amount"]) for line in one["lines"])
    ]
    wrong += [
        f"{run['month']}: another sum than its statements" for run in runs if Decimal(run["total"]) != _sum_run(run)
    ]
    return wrong if len(states) == len(business.earned) else [*wrong, "there are other commissions than were earned"]
