"""The harness's small parts: who calls, what is kept, how states become stretches of time."""

import csv
import gzip
import ipaddress
import itertools
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from stress import samples, sql
from stress.call_factory import CallFactory, generate_addresses
from stress.health_monitor import merge_intervals
from stress.ledger import CallLedger, CallSample, PlannedCall, count_answers, count_samples, count_unexpected
from stress.model import Interval
from tests.stress.calls import make_call, make_sample

STATES = st.lists(st.tuples(st.floats(0, 100), st.sampled_from(["closed", "open", "half_open"])), max_size=30)


@given(seen=STATES)
def test_states_seen_one_after_another_become_stretches_without_a_gap(seen: list[tuple[float, str]]) -> None:
    """They reach from the first look to the end, each state as last seen; neighbours differ."""
    seen.sort(key=lambda each: each[0])
    found = merge_intervals(seen, 200.0)
    assert [each.state for each in found] == [state for state, _ in itertools.groupby(state for _, state in seen)]
    assert all(first.ended_s == after.began_s for first, after in itertools.pairwise(found))
    if seen:
        assert (found[0].began_s, found[-1].ended_s) == (seen[0][0], 200.0)


def test_a_change_is_at_the_look_that_saw_it() -> None:
    """The earlier state lasts until then."""
    seen = [(1.0, "closed"), (2.0, "closed"), (3.0, "open"), (4.0, "closed")]
    assert merge_intervals(seen, 5.0) == [Interval("closed", 1, 3), Interval("open", 3, 4), Interval("closed", 4, 5)]


def plan_all_calls(people: CallFactory) -> list[PlannedCall]:
    """Return one call of each kind."""
    return [
        people.make_application(),
        people.make_registration(referral_code="ARTA-0000"),
        people.make_claim("token"),
        people.make_document_announcement("id", "token", 5),
        people.make_write("approve", "/agents/id/decision", {"decision": "approve"}),
        people.make_read("members", "/members"),
    ]


def test_nothing_personal_is_in_the_samples(tmp_path: Path) -> None:
    """No word of what was sent or answered, no token; what remains are ids, keys, times, statuses."""
    calls = plan_all_calls(CallFactory(7))
    kept = [make_sample(made, 201, at=0.5, id=f"id-{n}", **(made.body or {})) for n, made in enumerate(calls)]
    samples.write_samples(kept, tmp_path / "samples.csv.gz")
    text = gzip.decompress((tmp_path / "samples.csv.gz").read_bytes()).decode()
    said = {str(value) for made in calls for value in (made.body or {}).values() if len(str(value)) > 7} | {"token"}
    assert not [value for value in sorted(said) if value in text]
    assert "@" not in text


def test_each_sample_is_one_line_under_its_columns(tmp_path: Path) -> None:
    """Reading the line gives the sample back."""
    made = make_call("claim", wanted=(201, 429), key="k", facts={"subject": "named"})
    kept = [
        CallSample("claims", made, 1.0, 1.001, 1.25, 429, "too-many-requests", {"id": "x"}, attempt=2),
        make_sample(make_call("claim"), 201, id="made", replayed=True),
    ]
    samples.write_samples(kept, tmp_path / "samples.csv.gz")
    with gzip.open(tmp_path / "samples.csv.gz", "rt") as file:
        first, second = list(csv.DictReader(file))
    assert first == {
        "number": "1", "scenario": "claims", "operation": "claim", "method": "POST", "client": made.client,
        "attempt": "2", "meant_s": "1.0", "sent_s": "1.001", "done_s": "1.25", "status": "429",
        "problem": "too-many-requests", "wanted": "201 429", "right": "1", "replayed": "0", "subject": "named",
        "key": "k",
    }  # fmt: skip
    assert (second["number"], second["subject"], second["replayed"], second["right"]) == ("2", "made", "1", "1")
    assert samples.read_latencies(tmp_path / "samples.csv.gz") == {("claims", "claim"): [0.0]}


def test_statements_go_by_the_name_before_them(tmp_path: Path) -> None:
    """Text before the first name belongs to no statement."""
    (tmp_path / "some.sql").write_text("-- About.\n\n-- name: one\n-- Why.\nSELECT 1\n\n-- name: two\nSELECT\n  2\n")
    assert sql.load(tmp_path / "some.sql") == {"one": "-- Why.\nSELECT 1", "two": "SELECT\n  2"}


def test_each_client_has_a_loopback_address_of_its_own() -> None:
    """No run needs an address twice; none is the usual one, a network's or a broadcast's."""
    first = list(itertools.islice(generate_addresses(), 100_000))
    assert len(set(first)) == len(first)
    for address in map(ipaddress.ip_address, first):
        assert address.is_loopback
        assert address not in ipaddress.ip_network("127.0.0.0/16")
        assert 1 <= int(address) % 256 <= 254


def test_no_two_people_share_an_address_a_mail_address_or_a_key() -> None:
    """This holds for people of any kind, and none of the addresses can belong to anybody."""
    people = CallFactory(1)
    calls = [made for _ in range(300) for made in plan_all_calls(people)]
    emails = [made.body["email"] for made in calls if made.body and "email" in made.body]
    keys = [made.key for made in calls if made.method == "POST"]
    for each in (emails, keys, [made.client for made in calls]):
        assert len(set(each)) == len(each)
    assert all(email.endswith("@example.test") and email == email.lower() for email in emails)
    assert None not in keys


def test_a_seed_repeats_what_was_drawn() -> None:
    """Keys and plans; the addresses of mail also count on through a process."""
    first, again, other = ([c.key for c in plan_all_calls(CallFactory(seed))] for seed in (3, 3, 4))
    assert first == again != other


def test_a_planned_call_has_the_client_key_and_statuses_that_were_given() -> None:
    """Client, key and what is wanted."""
    people = CallFactory(1)
    made = people.make_registration(client="127.9.9.9", key="mine", wanted=(429,), referral_code="ARTA-0000")
    assert (made.client, made.key, made.wanted, (made.body or {})["referral_code"]) == (
        "127.9.9.9", "mine", (429,), "ARTA-0000")  # fmt: skip
    assert "referral_code" not in (people.make_registration().body or {})
    assert people.make_read("members", "/members").wanted == (200,)
    assert people.make_read("health", "/health", wanted=(503,)).wanted == (503,)


def test_answers_are_counted_by_status_and_problem() -> None:
    """Unexpected ones are counted by operation as well."""
    mixed = [
        make_sample(make_call(), 201),
        make_sample(make_call(), 0),
        make_sample(make_call("claim"), 409, problem="email-taken"),
    ]
    assert count_answers([*mixed, mixed[0]]) == {"201": 2, "409 email-taken": 1, "no answer": 1}
    assert count_unexpected(mixed) == {"claim: 409 email-taken": 1, "register: no answer": 1}
    assert count_samples(mixed, lambda sample: sample.is_expected) == 1


def test_a_repeat_of_a_key_is_not_accepted_again() -> None:
    """Calls without a key are each their own."""
    once, keyless = make_sample(make_call(), 201), make_sample(make_call(key=None), 201)
    ledger = CallLedger(
        [make_sample(make_call(), 0), once, make_sample(make_call(), 201, replayed=True), keyless, keyless]
    )
    assert list(ledger.list_accepted("register")) == [once, keyless, keyless]
    assert list(ledger.list_accepted("claim")) == []
