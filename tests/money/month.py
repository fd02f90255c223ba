"""A month of 40 members and four agents, up to the moment before it is paid."""

from datetime import UTC, date, datetime
from itertools import cycle

from tests.databases import FreshDatabase
from tests.fakes.clock import ManualClock
from tests.money.simulated_business import PRICES, LedgerMember, SimulatedBusiness

# Long past, so that it is over by any clock that a test runs by.
MONTH, MONTH_BEFORE = "2024-01", "2023-01"
MEMBERS, OLD_MEMBERS = 40, 16
BEGAN = date(2023, 1, 2)
PAY_DAY = date(2024, 2, 3)


def make_january_day(day: int) -> date:
    """Return a day of the month."""
    return date(2024, 1, day)


def simulate_month(fresh_database: FreshDatabase) -> SimulatedBusiness:
    """Simulate a business until its month is over and approved.

    Sixteen members are of the year before and mostly renew, 24 are new; cancellations fall inside and outside of the 14
    days; one agent is suspended for the rest of the month; one member never signs in.
    """
    business = SimulatedBusiness(fresh_database, ManualClock(datetime(2023, 1, 2, 12, tzinfo=UTC)))
    for rate in (None, "0.25", "0.3333", None):
        business.add_agent(rate)
    old = _simulate_first_year(business)
    new = _register_members(business)
    _renew_members(business, old)
    _cancel_members(business, old, new)
    business.go_to(PAY_DAY)
    for earned in business.earned:
        business.decide(earned, "approve")
    business.decide(next(one for one in business.earned if one.state == "approved"), "void")
    return business


def _simulate_first_year(business: SimulatedBusiness) -> list[LedgerMember]:
    """Members whose first year ends in the month; what they earned is approved and paid long before."""
    old = _register_many(business, BEGAN, OLD_MEMBERS)
    business.go_to(date(2023, 2, 1))
    for earned in business.earned:
        business.decide(earned, "approve")
    business.run_payout(MONTH_BEFORE)
    return old


def _register_members(business: SimulatedBusiness) -> list[LedgerMember]:
    """Return two dozen, half on the first of the month and half on the tenth; the last but one never signs in."""
    half = (MEMBERS - OLD_MEMBERS) // 2
    return _register_many(business, make_january_day(1), half) + _register_many(
        business, make_january_day(10), half, stranger=half - 2
    )


def _register_many(
    business: SimulatedBusiness, day: date, count: int, *, stranger: int | None = None
) -> list[LedgerMember]:
    """Register `count` members on a day; all of them sign in, but the one with the number `stranger`."""
    business.go_to(day)
    agents, plans = cycle(business.agents), cycle(PRICES)
    made = [business.register(next(agents), next(plans)) for _ in range(count)]
    found = [member for member in made if member is not None]
    for number, member in enumerate(found):
        if number != stranger:
            business.sign_in(member)
    return found


def _renew_members(business: SimulatedBusiness, old: list[LedgerMember]) -> None:
    """The year before ended on the first: most renew on the twelfth, and the last agent is suspended just before."""
    business.go_to(make_january_day(12))
    business.suspend_or_reinstate(business.agents[-1])
    for member in old[:-2]:
        business.renew(member)
    assert business.register(business.agents[-1], "basic") is None


def _cancel_members(business: SimulatedBusiness, old: list[LedgerMember], new: list[LedgerMember]) -> None:
    """Cancel on the last day that voids a commission and on the first that doesn't, in a new and in a renewed year."""
    cancels = {15: new[:3], 16: new[3:6] + old[:2], 17: old[2:4], 24: new[12:14], 25: new[14:16]}
    for day, members in cancels.items():
        business.go_to(make_january_day(day))
        for member in members:
            business.cancel(member)
            business.cancel(member)
