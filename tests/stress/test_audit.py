"""The audit of what clients were told against what is there: what agrees is counted, what does not is found."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from stress.reconciliation import LINKED, ExpectedEffects, collect_expected, find_subject, list_expected_commissions
from tests.stress import held
from tests.stress.calls import answered, call
from tests.stress.held import BESA, CLAIM, EVIDENCE, MEMBER, NUMBER, World

JOBS, MAILS, AUDIT = "jobs of a person", "mails to a person", "audit entries of a person"
VOIDED = "commissions taken back, and entries of it"
ACCOUNTS, TWICE = "accounts of an address", "calls without an answer, done more than once"
UNTOLD, LOST = "claims that nobody was told of", "claims that were told but are not there"


@pytest.fixture
def world() -> World:
    """All went well."""
    return World()


def test_where_all_agrees_nothing_is_found_and_all_was_looked_at(world: World) -> None:
    """Two people and a claim: each kind of thing was compared, as often as there is one."""
    audit = world.audit()
    assert audit.differences == []
    assert audit.compared == Counter({
        ACCOUNTS: 2, "rows of a person": 2, "agent of a member": 1, "commissions of a member": 1, VOIDED: 1, AUDIT: 2,
        JOBS: 2, MAILS: 2, LOST: 1, UNTOLD: 1, "history of a claim": 1, "audit entries of a claim": 1,
        "jobs of a claim": 1, "notices of a claim to the desk": 1, "documents of a claim": 1,
    })  # fmt: skip


def _wrong(change: Callable[[World], object], *found: str, case: str) -> object:
    return pytest.param(change, set(found), id=case)


def _second_account(world: World) -> None:
    world.people.append({**held.member_row(), "id": "member-2"})


def _second_claim(world: World) -> None:
    world.claims.append({**held.claim_row(), "id": "claim-2", "number": "CLM-2026-000002", "title": "Another"})


@pytest.mark.parametrize(
    ("change", "found"),
    [
        _wrong(lambda w: w.member["jobs"].pop("member-welcome done"), JOBS, case="a lost job"),
        _wrong(lambda w: w.member["jobs"].update({"member-welcome done": 2}), JOBS, case="a doubled job"),
        _wrong(
            lambda w: w.member.update(
                jobs={"identity done": 1, "member-welcome done": 1, "membership-renewed failed": 1}
            ),
            JOBS,
            case="a job that failed",
        ),
        _wrong(lambda w: w.inbox.update({BESA: 1}), MAILS, case="a doubled mail"),
        _wrong(lambda w: w.inbox.subtract({BESA: 1}), MAILS, case="a lost mail"),
        _wrong(lambda w: w.people.pop(), ACCOUNTS, case="a missing account"),
        _wrong(_second_account, ACCOUNTS, case="a second account with one address"),
        _wrong(lambda w: w.member.update(id="member-2"), ACCOUNTS, case="another account than was told"),
        _wrong(lambda w: w.member["audit"].pop("member.contact_changed"), AUDIT, case="a missing audit entry"),
        _wrong(lambda w: w.member["audit"].pop(LINKED), AUDIT, case="a sign-in that nobody audited"),
        _wrong(lambda w: w.member["audit"].update({"member.anonymised": 1}), AUDIT, case="an audit entry too many"),
        _wrong(
            lambda w: w.member.update(commissions=["new 7.00", "renewal 7.00"]),
            "commissions of a member",
            case="a wrong commission",
        ),
        _wrong(
            lambda w: w.member["commissions"].append("renewal 3.50"), "commissions of a member", case="one paid twice"
        ),
        _wrong(lambda w: w.member.update(commissions=["new 7.00"]), "commissions of a member", case="one not paid"),
        _wrong(lambda w: w.member.update(voided=[1, 1]), VOIDED, case="one taken back without a cancellation"),
        _wrong(
            lambda w: w.claim["audit"].update({"claim.read": 1}), "audit entries of a claim", case="an invented read"
        ),
        _wrong(lambda w: w.member.update(subscriptions=0), "rows of a person", case="a lost subscription row"),
        _wrong(lambda w: w.member.update(members=0), "rows of a person", case="a lost member row"),
        _wrong(lambda w: w.agent.update(agents=0), "rows of a person", case="a lost agent row"),
        _wrong(lambda w: w.agent.update(members=1), "rows of a person", case="an agent who became a member"),
        _wrong(lambda w: w.member.update(agent=None), "agent of a member", case="a lost agent"),
        _wrong(_second_claim, UNTOLD, case="a claim that nobody was told of"),
        _wrong(lambda w: w.claims.clear(), LOST, case="a told claim that is missing"),
        _wrong(lambda w: w.claim.update(broken=1), "history of a claim", case="a gap in a history"),
        _wrong(lambda w: w.claim.update(steps=1), "history of a claim", case="a lost step"),
        _wrong(lambda w: w.claim.update(steps=3), "history of a claim", case="a step too many"),
        _wrong(
            lambda w: w.claim.update(last_state="submitted"), "history of a claim", case="another state than its last"
        ),
        _wrong(lambda w: w.claim.update(documents={EVIDENCE: "pending 39"}), "documents of a claim", case="its state"),
        _wrong(lambda w: w.claim.update(documents={EVIDENCE: "available 40"}), "documents of a claim", case="its size"),
        _wrong(lambda w: w.claim.update(documents={}), "documents of a claim", case="a lost document"),
        _wrong(lambda w: w.claim["audit"].pop("claim.moved"), "audit entries of a claim", case="a claim's audit entry"),
        _wrong(lambda w: w.claim["jobs"].pop("claim-moved done"), "jobs of a claim", case="a claim's lost job"),
        _wrong(lambda w: w.desk.clear(), "notices of a claim to the desk", case="a notice that the desk did not get"),
        _wrong(lambda w: w.desk.update([NUMBER]), "notices of a claim to the desk", case="a notice it got twice"),
    ],
)
def test_what_does_not_agree_is_found(world: World, change: Callable[[World], object], found: set[str]) -> None:
    """One thing is wrong, and it is that one which is told."""
    change(world)
    assert world.found() == found


def test_a_difference_names_its_subject_what_was_told_and_what_is_there(world: World) -> None:
    """By an id, never by a person's data."""
    world.member["jobs"]["member-welcome done"] = 2
    (found,) = world.differences()
    assert (found.what, found.subject) == (JOBS, MEMBER)
    assert found.told == "identity done ×1, member-welcome done ×1, membership-renewed done ×1"
    assert found.found == "identity done ×1, member-welcome done ×2, membership-renewed done ×1"
    world.people.pop()
    assert not [each for each in world.differences() if "@" in f"{each}"]


@pytest.mark.parametrize(("status", "problem"), [(409, "email-taken"), (429, "too-many-requests"), (422, "invalid")])
def test_an_account_though_the_call_was_refused_is_found(world: World, status: int, problem: str) -> None:
    """What was refused has left nothing."""
    world.drop("register", "renew", "edit", "claim", "move", "announce", "complete")
    world.samples.append(answered(held.REGISTER, status, problem=problem))
    world.claims.clear()
    assert world.found() == {ACCOUNTS}
    world.people.pop()
    assert world.found() == set()


def test_a_refused_move_has_left_nothing(world: World) -> None:
    """A 412 is no step of the history, no entry, no mail."""
    stale = replace(held.MOVE, key="other")
    world.samples.append(answered(stale, 412, problem="stale-version"))
    assert world.found() == set()
    world.claim.update(steps=3)
    assert world.found() == {"history of a claim"}


def unanswered_registration(status: int = 0, problem: str = "") -> World:
    """A member of whom nobody knows whether they were registered."""
    world = World(claims=[], inbox=Counter({held.ARTA: 2, BESA: 1}))
    world.drop("renew", "edit", "claim", "move", "announce", "complete")
    world.answer("register", status, problem)
    world.member.update(audit={"member.registered": 1, LINKED: 1}, commissions=["new 7.00"])
    world.member["jobs"].pop("membership-renewed done")
    return world


OPEN = [(0, ""), (500, "internal"), (502, ""), (503, "unavailable"), (504, ""), (409, "request-in-progress")]


@pytest.mark.parametrize(("status", "problem"), OPEN)
def test_a_call_without_an_answer_may_be_done_once_or_not_at_all_but_not_twice(status: int, problem: str) -> None:
    """Whatever stood in for the answer."""
    world = unanswered_registration(status, problem)
    assert world.found() == set()
    _second_account(world)
    assert TWICE in world.found()
    del world.people[1:]
    world.inbox[BESA] = 0
    assert world.found() == set()


@pytest.mark.parametrize(
    ("change", "found"),
    [
        _wrong(lambda w: w.member.update(subscriptions=0), "rows of a person", case="without a membership"),
        _wrong(lambda w: w.member.update(commissions=[]), "commissions of a member", case="without a commission"),
        _wrong(lambda w: w.member["jobs"].pop("identity done"), JOBS, case="without a sign-in"),
        _wrong(lambda w: w.member["audit"].clear(), AUDIT, case="without a trace"),
        _wrong(lambda w: w.inbox.update({BESA: 1}), MAILS, case="with two welcomes"),
    ],
)
def test_a_call_without_an_answer_is_never_half_done(change: Callable[[World], object], found: set[str]) -> None:
    """Where the account is there, all that goes with it is."""
    world = unanswered_registration()
    change(world)
    assert world.found() == found


def test_a_repeat_that_got_the_answer_settles_the_first_attempt(world: World) -> None:
    """The line of the first was lost; both are one call, whichever of them did the work."""
    world.samples.insert(0, answered(held.REGISTER, 0))
    assert world.found() == set()
    world.people.pop()
    assert world.found() == {ACCOUNTS}


def test_a_repeat_with_the_same_key_counts_once(world: World) -> None:
    """Nineteen replays of each call change nothing of what there must be."""
    world.samples += [replace(sample, replayed=True) for sample in world.samples for _ in range(19)]
    assert world.found() == set()


def test_two_calls_with_keys_of_their_own_are_two(world: World) -> None:
    """And so are two without any key."""
    keyless = replace(held.RENEW, key=None)
    again = [answered(replace(held.RENEW, key="other"), 200), answered(keyless, 200), answered(keyless, 200)]
    assert collect_expected([*world.samples, *again], MEMBER).accepted["renew"] == 4


def unanswered_renewal(*, done: bool) -> World:
    """A renewal that nobody got the answer of."""
    world = World()
    world.answer("renew", 0)
    if not done:
        world.member["audit"].pop("membership.renewed")
        world.member["jobs"].pop("membership-renewed done")
        world.member.update(commissions=["new 7.00"])
        world.inbox[BESA] -= 1
    return world


@pytest.mark.parametrize("done", [True, False])
def test_a_renewal_without_an_answer_is_whole_or_not_there(done: bool) -> None:
    """Both are clean; an entry without its commission is not, nor a second of either."""
    assert unanswered_renewal(done=done).found() == set()
    world = unanswered_renewal(done=done)
    world.member["audit"]["membership.renewed"] = 1
    world.member.update(commissions=["new 7.00"])
    assert "commissions of a member" in world.found()
    world = unanswered_renewal(done=done)
    world.member["audit"]["membership.renewed"] = 2
    assert AUDIT in world.found()


@pytest.mark.parametrize(
    ("steps", "entries", "found"), [(2, 1, False), (1, 0, False), (3, 1, True), (1, 1, True), (3, 2, True)]
)
def test_a_move_without_an_answer_is_whole_or_not_there(world: World, steps: int, entries: int, found: bool) -> None:
    """A step of the history, its entry and its mail; or none of them."""
    world.answer("move", 502)
    world.claim.update(steps=steps, audit={"claim.submitted": 1, **({"claim.moved": entries} if entries else {})})
    if not entries:
        world.claim["jobs"].pop("claim-moved done")
        world.inbox[BESA] -= 1
    assert ("history of a claim" in world.found()) == found


def unanswered_claim() -> World:
    """A claim of which nobody got the answer."""
    world = World(inbox=Counter({held.ARTA: 2, BESA: 3}))
    world.drop("move", "announce", "complete")
    world.answer("claim", 0)
    world.claim.update(steps=1, audit={"claim.submitted": 1}, documents={})
    world.claim["jobs"].pop("claim-moved done")
    return world


def test_a_claim_without_an_answer_is_whole_or_not_there() -> None:
    """Filed once or not; a second is one that nobody was told of, and a half one is found as any other."""
    assert unanswered_claim().found() == set()
    world = unanswered_claim()
    world.claims.append({**world.claim, "id": "claim-2"})
    assert UNTOLD in world.found()
    world = unanswered_claim()
    world.claim["jobs"].pop("staff-new-claim done")
    assert world.found() == {"jobs of a claim"}
    world = unanswered_claim()
    world.claims.clear()
    world.inbox[BESA] -= 1
    assert world.found() == set()


def test_a_claim_without_an_answer_does_not_excuse_another() -> None:
    """Which is known by its title."""
    world = unanswered_claim()
    world.claim["title"] = "Another"
    assert UNTOLD in world.found()


@pytest.mark.parametrize(
    ("announced", "completed", "there", "clean"),
    [
        (201, 0, "available 39", True),
        (201, 0, "pending 39", True),
        (201, 0, "available 40", False),
        (201, 422, "pending 39", True),
        (201, 422, "available 39", False),
        (0, None, "pending 39", True),
        (0, None, "pending 40", False),
        (0, None, "available 39", False),
        (0, None, None, True),
        (429, None, "pending 39", False),
    ],
)
def test_evidence_without_an_answer_is_there_or_not(
    world: World, announced: int, completed: int | None, there: str | None, clean: bool
) -> None:
    """In the state that its calls may have brought it to, with its size."""
    world.drop("announce", "complete")
    world.samples.append(answered(held.ANNOUNCE, announced, id=EVIDENCE, size=39))
    world.samples += [answered(held.COMPLETE, completed)] if completed is not None else []
    world.claim.update(documents={EVIDENCE: there} if there else {})
    assert world.found() == (set() if clean else {"documents of a claim"})


def test_what_a_call_is_about() -> None:
    """What it names, or what it has made; a refusal has made nothing."""
    assert find_subject(answered(held.MOVE, 412)) == CLAIM
    assert find_subject(answered(held.REGISTER, id=MEMBER)) == MEMBER
    assert find_subject(answered(held.REGISTER, 409, id=MEMBER)) is None
    assert find_subject(answered(call("announce"), id=EVIDENCE)) is None


@pytest.mark.parametrize(
    ("price", "renewals", "expected"),
    [(None, 1, []), ("15.00", 0, ["new 3.00"]), ("95.00", 2, ["new 19.00", "renewal 9.50", "renewal 9.50"])],
)
def test_an_agent_earns_a_fifth_of_a_new_membership_and_a_tenth_of_a_renewal(
    price: str | None, renewals: int, expected: list[str]
) -> None:
    """Of the price; nothing where there is no agent."""
    assert list_expected_commissions(ExpectedEffects(Counter(register=1, renew=renewals), Counter()), price) == expected


@pytest.mark.parametrize(("voided", "found"), [([1, 1], False), ([0, 0], True), ([1, 0], True), ([2, 2], True)])
def test_a_cancellation_takes_back_what_its_period_earned(world: World, voided: list[int], found: bool) -> None:
    """The commission of the registration, not that of a renewal a year ahead; and an entry says so."""
    world.samples.append(answered(call("cancel", facts={"subject": MEMBER}), 200))
    world.member["audit"]["membership.cancelled"] = 1
    world.member["jobs"]["membership-cancelled done"] = 1
    world.inbox[BESA] += 1
    world.member.update(voided=voided)
    assert world.found() == ({VOIDED} if found else set())


@pytest.mark.parametrize(("entries", "found"), [(2, False), (1, True), (3, True)])
def test_each_read_of_a_claim_by_staff_leaves_an_entry(world: World, entries: int, found: bool) -> None:
    """One for each, and none for a read that was refused."""
    read = call("staff read", method="GET", key=None, facts={"subject": CLAIM, "member": MEMBER})
    world.samples += [answered(read, 200), answered(read, 200), answered(read, 429)]
    world.claim["audit"]["claim.read"] = entries
    assert world.found() == ({"audit entries of a claim"} if found else set())
