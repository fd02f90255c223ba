"""The If-Match field: which versions a change may be decided on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.api.call import Call
from shared.api.preconditions import read_if_match
from shared.api.responses import Answer, make_answer
from shared.api.router import Api
from shared.errors import Refusal
from shared.fields import RequestModel, ResponseModel
from shared.settings import Settings
from tests.api_client import STAFF, ApiClient, make_container
from tests.fakes.admission import InMemoryAdmissionStore
from tests.fakes.clock import ManualClock
from tests.fakes.database import ScriptedDatabase, run_nothing


class VersionedOrder(RequestModel):
    item: str


class VersionedReceipt(ResponseModel):
    versions: list[int] | None


api = Api()


@api.put("/orders", summary="Change", input=VersionedOrder, answer=VersionedReceipt, if_match=True)
def change(call: Call[VersionedOrder]) -> Answer:
    """Changes an order that has version 3."""
    if call.versions is not None and 3 not in call.versions:
        raise Refusal("stale-version")
    call.run_once(run_nothing)
    return make_answer(VersionedReceipt(versions=call.versions))


def build() -> tuple[ApiClient, ScriptedDatabase]:
    database = ScriptedDatabase(dict)
    return ApiClient(
        api, make_container(Settings(), database=database, admission_store=InMemoryAdmissionStore(ManualClock()))
    ).sign_in_as(STAFF), database


@pytest.mark.parametrize(
    ("field", "versions"),
    [
        ('"3"', (3,)),
        (' "3"\t', (3,)),
        ('"3", "77"', (3, 77)),
        ('"77","3" , "3"', (3, 77)),
        (',"3", ,', (3,)),
        ('W/"3", "4"', (4,)),
        ('W/"3"', ()),
        ('"x"', ()),
        ('"03"', ()),
        ('"+3"', ()),
        ('"-1"', ()),
        ('"0"', ()),
        ('""', ()),
        ('"3,4"', ()),
        ('"٣"', ()),
        ('"9999999999"', ()),
        ("*", None),
        (" * ", None),
    ],
)
def test_a_field_names_versions(field: str, versions: tuple[int, ...] | None) -> None:
    """Any listed tag may match; a tag that is not ours is none of our versions, and no error of syntax."""
    assert read_if_match(field).versions == versions


@pytest.mark.parametrize(
    "field", ["3", "03", "", " ", ",", "W/3", 'w/"3"', '"3', '3"', "'3'", '"3" "4"', '"3";x', '*, "3"', "**", '"a b"']
)
def test_what_is_no_list_of_tags_is_refused(field: str) -> None:
    """400: an unquoted 3 is no entity tag, and says nothing of what was meant."""
    client, database = build()
    reply = client.call("PUT", "/orders", {"item": "x"}, if_match=field)
    assert (reply.status, reply.problem) == (400, "malformed-request")
    assert database.uses == []


@pytest.mark.parametrize(
    ("field", "status"), [('"3"', 200), ('"3", "77"', 200), ("*", 200), ('"4"', 412), ('"03"', 412), ('W/"3"', 412)]
)
def test_a_change_goes_through_if_any_tag_matches(field: str, status: int) -> None:
    """The version is 3; `*` matches any existing version (RFC 9110, 13.1.1)."""
    client, _ = build()
    assert client.call("PUT", "/orders", {"item": "x"}, if_match=field).status == status


def test_a_weak_tag_is_distinguished() -> None:
    """A proxy made it of our own: the words say that weak tags never match."""
    client, _ = build()
    weak = client.call("PUT", "/orders", {"item": "x"}, if_match='W/"3"')
    stale = client.call("PUT", "/orders", {"item": "x"}, if_match='"4"')
    assert (weak.problem, stale.problem) == ("stale-version", "stale-version")
    assert "weak tag" in weak.json["detail"]
    assert "weak" not in stale.json["detail"]


@given(st.lists(st.sampled_from(['"3"', '"77"', 'W/"3"', '"a,b"']), min_size=1), st.randoms(use_true_random=False))
def test_spelling_and_order_make_no_other_request_of_it(tags: list[str], dice: object) -> None:
    """All spellings of a field give the key the same fingerprint."""
    assert hasattr(dice, "shuffle")
    shuffled = [*tags, *tags[:1]]
    dice.shuffle(shuffled)
    assert read_if_match(" , ".join(shuffled)) == read_if_match(",".join(tags))


def test_another_spelling_of_the_condition_is_a_replay() -> None:
    """Another condition is another request."""
    client, database = build()
    first = client.call("PUT", "/orders", {"item": "x"}, if_match='"3", "77"', key="k")
    again = client.call("PUT", "/orders", {"item": "x"}, if_match='"77","3"', key="k")
    other = client.call("PUT", "/orders", {"item": "x"}, if_match='"3"', key="k")
    assert (first.status, again.headers["Idempotency-Replayed"], other.problem) == (
        200,
        "true",
        "idempotency-key-reused",
    )
    assert len(database.uses) == 1
