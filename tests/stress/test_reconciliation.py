"""The reconciliation of answers with what is there: what agrees is counted, what differs is found."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from stress.reconciliation import LINKED, ExpectedEffects, collect_expected, find_subject, list_expected_commissions
from tests.stress import sample_system
from tests.stress.calls import make_call, make_sample
from tests.stress.sample_system import BESA, CLAIM, EVIDENCE, MEMBER, NUMBER, SampleSystem

JOBS, MAILS, AUDIT = "jobs of a person", "mails to a person", "audit entries of a person"
VOIDED = "commissions taken back, and entries of it"
ACCOUNTS, TWICE = "accounts of an address", "calls without an answer, done more than once"
UNNAMED, LOST = "claims that no answer names", "claims that were accepted but are missing"


@pytest.fixture
def system() -> SampleSystem:
    """Return a system in which all went well."""
    return SampleSystem()


def test_where_all_agrees_nothing_is_found_and_all_was_looked_at(system: SampleSystem) -> None:
    """Two people and a claim: each kind of thing was compared, as often as there is one."""
    found = system.reconcile()
    assert found.differences == []
    assert found.compared == Counter({
        ACCOUNTS: 2, "rows of a person": 2, "agent of a member": 1, "commissions of a member": 1, VOIDED: 1, AUDIT: 2,
        JOBS: 2, MAILS: 2, LOST: 1, UNNAMED: 1, "history of a claim": 1, "audit entries of a claim": 1,
        "jobs of a claim": 1, "notices of a claim to the desk": 1, "documents of a claim": 1,
    })  # fmt: skip


def _make_wrong_case(change: Callable[[SampleSystem], object], *found: str, case: str) -> object:
    return pytest.param(change, set(found), id=case)


def _add_second_account(system: SampleSystem) -> None:
    system.people.append({**sample_system.make_member_row(), "id": "member-2"})


def _accept_without_record(system: SampleSystem) -> None:
    """Have the registration answered by a dead function, whose status was rewritten, and no member there."""
    system.people.pop()
    system.samples = [
        make_sample(each.call, 201, type="bad-gateway") if each.call.operation == "register" else each
        for each in system.samples
        if each.call.facts.get("subject") != MEMBER
    ]


def _add_second_claim(system: SampleSystem) -> None:
    system.claims.append(
        {**sample_system.make_claim_row(), "id": "claim-2", "number": "CLM-2026-000002", "title": "Another"}
    )


@pytest.mark.parametrize(
    ("change", "found"),
    [
        _make_wrong_case(lambda w: w.member["jobs"].pop("member-welcome done"), JOBS, case="a lost job"),
        _make_wrong_case(lambda w: w.member["jobs"].update({"member-welcome done": 2}), JOBS, case="a doubled job"),
        _make_wrong_case(
            lambda w: w.member.update(
                jobs={"identity done": 1, "member-welcome done": 1, "membership-renewed failed": 1}
            ),
            JOBS,
            case="a job that failed",
        ),
        _make_wrong_case(lambda w: w.inbox.update({BESA: 1}), MAILS, case="a doubled mail"),
        _make_wrong_case(lambda w: w.inbox.subtract({BESA: 1}), MAILS, case="a lost mail"),
        _make_wrong_case(lambda w: w.people.pop(), ACCOUNTS, case="a missing account"),
        _make_wrong_case(_accept_without_record, ACCOUNTS, case="a failure that was counted as created"),
        _make_wrong_case(_add_second_account, ACCOUNTS, case="a second account with one address"),
        _make_wrong_case(lambda w: w.member.update(id="member-2"), ACCOUNTS, case="another account than was answered"),
        _make_wrong_case(
            lambda w: w.member["audit"].pop("member.contact_changed"), AUDIT, case="a missing audit entry"
        ),
        _make_wrong_case(lambda w: w.member["audit"].pop(LINKED), AUDIT, case="a sign-in that nobody audited"),
        _make_wrong_case(
            lambda w: w.member["audit"].update({"member.anonymised": 1}), AUDIT, case="an audit entry too many"
        ),
        _make_wrong_case(
            lambda w: w.member.update(commissions=["new 7.00", "renewal 7.00"]),
            "commissions of a member",
            case="a wrong commission",
        ),
        _make_wrong_case(
            lambda w: w.member["commissions"].append("renewal 3.50"), "commissions of a member", case="one paid twice"
        ),
        _make_wrong_case(
            lambda w: w.member.update(commissions=["new 7.00"]), "commissions of a member", case="one not paid"
        ),
        _make_wrong_case(
            lambda w: w.member.update(voided=[1, 1]), VOIDED, case="one taken back without a cancellation"
        ),
        _make_wrong_case(
            lambda w: w.claim["audit"].update({"claim.read": 1}), "audit entries of a claim", case="an invented read"
        ),
        _make_wrong_case(
            lambda w: w.member.update(subscriptions=0), "rows of a person", case="a lost subscription row"
        ),
        _make_wrong_case(lambda w: w.member.update(members=0), "rows of a person", case="a lost member row"),
        _make_wrong_case(lambda w: w.agent.update(agents=0), "rows of a person", case="a lost agent row"),
        _make_wrong_case(lambda w: w.agent.update(members=1), "rows of a person", case="an agent who became a member"),
        _make_wrong_case(lambda w: w.member.update(agent=None), "agent of a member", case="a lost agent"),
        _make_wrong_case(_add_second_claim, UNNAMED, case="a claim that no answer named"),
        _make_wrong_case(lambda w: w.claims.clear(), LOST, case="an answered claim that is missing"),
        _make_wrong_case(lambda w: w.claim.update(broken=1), "history of a claim", case="a gap in a history"),
        _make_wrong_case(lambda w: w.claim.update(steps=1), "history of a claim", case="a lost transition"),
        _make_wrong_case(lambda w: w.claim.update(steps=3), "history of a claim", case="a transition too many"),
        _make_wrong_case(
            lambda w: w.claim.update(last_state="submitted"), "history of a claim", case="another state than its last"
        ),
        _make_wrong_case(
            lambda w: w.claim.update(documents={EVIDENCE: "pending 39"}), "documents of a claim", case="its state"
        ),
        _make_wrong_case(
            lambda w: w.claim.update(documents={EVIDENCE: "available 40"}), "documents of a claim", case="its size"
        ),
        _make_wrong_case(lambda w: w.claim.update(documents={}), "documents of a claim", case="a lost document"),
        _make_wrong_case(
            lambda w: w.claim["audit"].pop("claim.transitioned"),
            "audit entries of a claim",
            case="a claim's audit entry",
        ),
        _make_wrong_case(
            lambda w: w.claim["jobs"].pop("claim-moved done"), "jobs of a claim", case="a claim's lost job"
        ),
        _make_wrong_case(
            lambda w: w.desk.clear(), "notices of a claim to the desk", case="a notice that the desk did not get"
        ),
        _make_wrong_case(
            lambda w: w.desk.update([NUMBER]), "notices of a claim to the desk", case="a notice it got twice"
        ),
    ],
)
def test_what_does_not_agree_is_found(
    system: SampleSystem, change: Callable[[SampleSystem], object], found: set[str]
) -> None:
    """Exactly the one thing that is wrong is reported."""
    change(system)
    assert system.list_kinds() == found


def test_a_difference_names_its_subject_the_answer_and_what_is_there(system: SampleSystem) -> None:
    """It names ids, never a person's data."""
    system.member["jobs"]["member-welcome done"] = 2
    (found,) = system.list_differences()
    assert (found.what, found.subject) == (JOBS, MEMBER)
    assert found.answered == "identity done ×1, member-welcome done ×1, membership-renewed done ×1"
    assert found.found == "identity done ×1, member-welcome done ×2, membership-renewed done ×1"
    system.people.pop()
    assert not [each for each in system.list_differences() if "@" in f"{each}"]


@pytest.mark.parametrize(("status", "problem"), [(409, "email-taken"), (429, "too-many-requests"), (422, "invalid")])
def test_an_account_though_the_call_was_refused_is_found(system: SampleSystem, status: int, problem: str) -> None:
    """A refused call must leave nothing."""
    system.drop_calls("register", "renew", "edit", "claim", "move", "announce", "complete")
    system.samples.append(make_sample(sample_system.REGISTER, status, problem=problem))
    system.claims.clear()
    assert system.list_kinds() == {ACCOUNTS}
    system.people.pop()
    assert system.list_kinds() == set()


def test_a_refused_transition_has_left_nothing(system: SampleSystem) -> None:
    """A 412 is no transition in the history, no entry, no mail."""
    stale = replace(sample_system.MOVE, key="other")
    system.samples.append(make_sample(stale, 412, problem="stale-version"))
    assert system.list_kinds() == set()
    system.claim.update(steps=3)
    assert system.list_kinds() == {"history of a claim"}


def make_unanswered_registration(status: int = 0, problem: str = "") -> SampleSystem:
    """Return a member of whom nobody knows whether they were registered."""
    system = SampleSystem(claims=[], inbox=Counter({sample_system.ARTA: 2, BESA: 1}))
    system.drop_calls("renew", "edit", "claim", "move", "announce", "complete")
    system.change_answer("register", status, problem)
    system.member.update(audit={"member.registered": 1, LINKED: 1}, commissions=["new 7.00"])
    system.member["jobs"].pop("membership-renewed done")
    return system


OPEN = [(0, ""), (500, "internal"), (502, ""), (503, "unavailable"), (504, ""), (409, "request-in-progress")]


@pytest.mark.parametrize(("status", "problem"), OPEN)
def test_a_call_without_an_answer_may_be_done_once_or_not_at_all_but_not_twice(status: int, problem: str) -> None:
    """This holds for whatever came instead of the answer."""
    system = make_unanswered_registration(status, problem)
    assert system.list_kinds() == set()
    _add_second_account(system)
    assert TWICE in system.list_kinds()
    del system.people[1:]
    system.inbox[BESA] = 0
    assert system.list_kinds() == set()


@pytest.mark.parametrize(
    ("change", "found"),
    [
        _make_wrong_case(lambda w: w.member.update(subscriptions=0), "rows of a person", case="without a membership"),
        _make_wrong_case(
            lambda w: w.member.update(commissions=[]), "commissions of a member", case="without a commission"
        ),
        _make_wrong_case(lambda w: w.member["jobs"].pop("identity done"), JOBS, case="without a sign-in"),
        _make_wrong_case(lambda w: w.member["audit"].clear(), AUDIT, case="without a trace"),
        _make_wrong_case(lambda w: w.inbox.update({BESA: 1}), MAILS, case="with two welcomes"),
    ],
)
def test_a_call_without_an_answer_is_never_half_done(change: Callable[[SampleSystem], object], found: set[str]) -> None:
    """If the account exists, all that belongs to it does."""
    system = make_unanswered_registration()
    change(system)
    assert system.list_kinds() == found


def test_a_repeat_that_got_the_answer_settles_the_first_attempt(system: SampleSystem) -> None:
    """The line of the first was lost; both are one call, whichever of them did the work."""
    system.samples.insert(0, make_sample(sample_system.REGISTER, 0))
    assert system.list_kinds() == set()
    system.people.pop()
    assert system.list_kinds() == {ACCOUNTS}


def test_a_repeat_with_the_same_key_counts_once(system: SampleSystem) -> None:
    """Nineteen replays of each call change nothing of what there must be."""
    system.samples += [replace(sample, replayed=True) for sample in system.samples for _ in range(19)]
    assert system.list_kinds() == set()


def test_two_calls_with_keys_of_their_own_are_two(system: SampleSystem) -> None:
    """Two calls without any key are two as well."""
    keyless = replace(sample_system.RENEW, key=None)
    again = [
        make_sample(replace(sample_system.RENEW, key="other"), 200),
        make_sample(keyless, 200),
        make_sample(keyless, 200),
    ]
    assert collect_expected([*system.samples, *again], MEMBER).accepted["renew"] == 4


def make_unanswered_renewal(*, done: bool) -> SampleSystem:
    """Return a renewal that nobody got the answer of."""
    system = SampleSystem()
    system.change_answer("renew", 0)
    if not done:
        system.member["audit"].pop("membership.renewed")
        system.member["jobs"].pop("membership-renewed done")
        system.member.update(commissions=["new 7.00"])
        system.inbox[BESA] -= 1
    return system


@pytest.mark.parametrize("done", [True, False])
def test_a_renewal_without_an_answer_is_whole_or_not_there(done: bool) -> None:
    """Both are clean; an entry without its commission is not, nor a second of either."""
    assert make_unanswered_renewal(done=done).list_kinds() == set()
    system = make_unanswered_renewal(done=done)
    system.member["audit"]["membership.renewed"] = 1
    system.member.update(commissions=["new 7.00"])
    assert "commissions of a member" in system.list_kinds()
    system = make_unanswered_renewal(done=done)
    system.member["audit"]["membership.renewed"] = 2
    assert AUDIT in system.list_kinds()


@pytest.mark.parametrize(
    ("steps", "entries", "found"), [(2, 1, False), (1, 0, False), (3, 1, True), (1, 1, True), (3, 2, True)]
)
def test_a_transition_without_an_answer_is_whole_or_not_there(
    system: SampleSystem, steps: int, entries: int, found: bool
) -> None:
    """A transition in the history, its entry and its mail; or none of them."""
    system.change_answer("move", 502)
    system.claim.update(
        steps=steps, audit={"claim.submitted": 1, **({"claim.transitioned": entries} if entries else {})}
    )
    if not entries:
        system.claim["jobs"].pop("claim-moved done")
        system.inbox[BESA] -= 1
    assert ("history of a claim" in system.list_kinds()) == found


def make_unanswered_claim() -> SampleSystem:
    """Return a claim of which nobody got the answer."""
    system = SampleSystem(inbox=Counter({sample_system.ARTA: 2, BESA: 3}))
    system.drop_calls("move", "announce", "complete")
    system.change_answer("claim", 0)
    system.claim.update(steps=1, audit={"claim.submitted": 1}, documents={})
    system.claim["jobs"].pop("claim-moved done")
    return system


def test_a_claim_without_an_answer_is_whole_or_not_there() -> None:
    """Filed once or not; a second is one that no answer named, and a half one is found as any other."""
    assert make_unanswered_claim().list_kinds() == set()
    system = make_unanswered_claim()
    system.claims.append({**system.claim, "id": "claim-2"})
    assert UNNAMED in system.list_kinds()
    system = make_unanswered_claim()
    system.claim["jobs"].pop("staff-new-claim done")
    assert system.list_kinds() == {"jobs of a claim"}
    system = make_unanswered_claim()
    system.claims.clear()
    system.inbox[BESA] -= 1
    assert system.list_kinds() == set()


def test_a_claim_without_an_answer_does_not_excuse_another() -> None:
    """A claim is known by its title."""
    system = make_unanswered_claim()
    system.claim["title"] = "Another"
    assert UNNAMED in system.list_kinds()


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
    system: SampleSystem, announced: int, completed: int | None, there: str | None, clean: bool
) -> None:
    """It is in a state that its calls may have brought it to, with its size."""
    system.drop_calls("announce", "complete")
    system.samples.append(make_sample(sample_system.ANNOUNCE, announced, id=EVIDENCE, size=39))
    system.samples += [make_sample(sample_system.COMPLETE, completed)] if completed is not None else []
    system.claim.update(documents={EVIDENCE: there} if there else {})
    assert system.list_kinds() == (set() if clean else {"documents of a claim"})


def test_a_call_is_about_what_it_names_or_has_made() -> None:
    """A call is about what it names or has made; a refusal has made nothing."""
    assert find_subject(make_sample(sample_system.MOVE, 412)) == CLAIM
    assert find_subject(make_sample(sample_system.REGISTER, id=MEMBER)) == MEMBER
    assert find_subject(make_sample(sample_system.REGISTER, 409, id=MEMBER)) is None
    assert find_subject(make_sample(make_call("announce"), id=EVIDENCE)) is None


@pytest.mark.parametrize(
    ("price", "renewals", "expected"),
    [(None, 1, []), ("15.00", 0, ["new 3.00"]), ("95.00", 2, ["new 19.00", "renewal 9.50", "renewal 9.50"])],
)
def test_an_agent_earns_a_fifth_of_a_new_membership_and_a_tenth_of_a_renewal(
    price: str | None, renewals: int, expected: list[str]
) -> None:
    """The share is of the price; without an agent there is none."""
    assert list_expected_commissions(ExpectedEffects(Counter(register=1, renew=renewals), Counter()), price) == expected


@pytest.mark.parametrize(("voided", "found"), [([1, 1], False), ([0, 0], True), ([1, 0], True), ([2, 2], True)])
def test_a_cancellation_takes_back_what_its_period_earned(system: SampleSystem, voided: list[int], found: bool) -> None:
    """The commission of the registration, not that of a renewal a year ahead; and an entry says so."""
    system.samples.append(make_sample(make_call("cancel", facts={"subject": MEMBER}), 200))
    system.member["audit"]["membership.cancellation_requested"] = 1
    system.member["jobs"]["membership-cancelled done"] = 1
    system.inbox[BESA] += 1
    system.member.update(voided=voided)
    assert system.list_kinds() == ({VOIDED} if found else set())


def test_audit_entries_of_the_previous_release_count_as_those_of_this_one(system: SampleSystem) -> None:
    """During a deployment both releases answer. Two entries for one call, one by each name, are found."""
    system.samples.append(make_sample(make_call("cancel", facts={"subject": MEMBER}), 200))
    system.member["audit"]["membership.cancelled"] = 1
    system.member["jobs"]["membership-cancelled done"] = 1
    system.member.update(voided=[1, 1])
    system.inbox[BESA] += 1
    system.claim["audit"]["claim.moved"] = system.claim["audit"].pop("claim.transitioned")
    assert system.list_differences() == []
    system.claim["audit"]["claim.transitioned"] = 1
    assert system.list_kinds() == {"audit entries of a claim"}


@pytest.mark.parametrize(("entries", "found"), [(2, False), (1, True), (3, True)])
def test_each_read_of_a_claim_by_staff_leaves_an_entry(system: SampleSystem, entries: int, found: bool) -> None:
    """Each read leaves one, and a refused read none."""
    read = make_call("staff read", method="GET", key=None, facts={"subject": CLAIM, "member": MEMBER})
    system.samples += [make_sample(read, 200), make_sample(read, 200), make_sample(read, 429)]
    system.claim["audit"]["claim.read"] = entries
    assert system.list_kinds() == ({"audit entries of a claim"} if found else set())
