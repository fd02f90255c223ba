"""The generated Python client with its layer, against a local cloud whose answers are lost on the way."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from interdomestik_client import connect, iterate, upload_document
from interdomestik_client.generated.models import ContactChange, NewClaim, NewMember
from shared.settings import DEFAULT_LIMITS
from tests.clients.generated import find_function
from tests.crash_recovery.lossy_proxy import LossyProxy, run_lossy_proxy
from tests.e2e.cloud import QUICK_MAIL, RunningCloud, run_cloud
from tests.e2e.cloud_users import CloudUsers
from tests.measurements import record
from tests.sample_people import make_claim_body, make_person

# One caller makes all calls here: the limits have tests of their own.
UNLIMITED = json.dumps(dict.fromkeys(DEFAULT_LIMITS, (1_000_000, 1)))
LOST_EVERY = 5
MEMBERS = 250
AT_ONCE = 8
# What each member's four calls leave in the audit.
EFFECTS = ("member.registered", "member.contact_changed", "membership.paused", "membership.resumed")


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """Yield a local cloud."""
    arguments = (*QUICK_MAIL, "--parameter", f"Limits={UNLIMITED}")
    with run_cloud(tmp_path_factory.mktemp("cloud"), *arguments) as started:
        yield started


@pytest.fixture(scope="module")
def proxy(cloud: RunningCloud) -> Iterator[LossyProxy]:
    """Yield the way to it, on which every fifth answer is lost."""
    with run_lossy_proxy(cloud.origin, every=LOST_EVERY) as started:
        yield started


def change_member(anyone: Any, staff: Any) -> str:
    """Make four calls about a new member, as a caller writes them; return the member's id."""
    member = find_function("POST", "/members").sync(client=anyone, body=NewMember.from_dict(make_person()))
    one = {"client": staff, "member_id": member.id}
    find_function("GET", "/members/{member_id}").sync(**one)
    change = ContactChange.from_dict({"phone": "+38344555222"})
    changed = find_function("PATCH", "/members/{member_id}").sync(**one, body=change)
    paused = find_function("POST", "/members/{member_id}/pause").sync(**one)
    resumed = find_function("POST", "/members/{member_id}/resume").sync(**one)
    assert [changed.phone, paused.membership.state, resumed.membership.state] == ["+38344555222", "paused", "active"]
    return str(member.id)


def test_a_thousand_calls_have_a_thousand_effects_though_every_fifth_answer_is_lost(
    cloud: RunningCloud, proxy: LossyProxy
) -> None:
    """The caller writes no line about keys, versions, repeats or waiting."""
    url = f"{proxy.url}/api"
    anyone, staff = connect(url), connect(url, token=cloud.get_token(role="staff"))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ids = list(pool.map(lambda _: change_member(anyone, staff), range(MEMBERS)))
    rows = cloud.query_rows(
        "SELECT action, count(*) AS n, count(DISTINCT subject_id) AS members FROM audit"
        " WHERE subject_id = ANY(%s::uuid[]) AND action = ANY(%s) GROUP BY action",
        ids,
        list(EFFECTS),
    )
    writes = [lost for lost in proxy.lost if not lost.startswith("GET ")]
    record("client_python", calls=MEMBERS * len(EFFECTS), effects=sum(row["n"] for row in rows), lost=len(proxy.lost))
    assert {row["action"]: (row["n"], row["members"]) for row in rows} == dict.fromkeys(EFFECTS, (MEMBERS, MEMBERS))
    assert len(writes) >= MEMBERS * len(EFFECTS) / LOST_EVERY


def test_a_claim_with_a_document_is_filed_and_listed_page_by_page(cloud: RunningCloud, proxy: LossyProxy) -> None:
    """Uploads and cursors too, with every fifth answer lost: three claims, three documents."""
    _, signed_in = CloudUsers(cloud).make_member()
    member = connect(f"{proxy.url}/api", token=str(signed_in.headers["Authorization"]).removeprefix("Bearer "))
    create = find_function("POST", "/claims")
    claims = [create.sync(client=member, body=NewClaim.from_dict(make_claim_body())) for _ in range(3)]
    with httpx.Client(timeout=30) as store:
        documents = [
            upload_document(member.get_httpx_client(), each.id, "pass.txt", "text/plain", b"Boarding pass", store=store)
            for each in claims
        ]
    listed = list(iterate(find_function("GET", "/claims").sync, client=member, limit=1))
    assert [document["state"] for document in documents] == ["available"] * 3
    assert [claim.id for claim in listed] == [claim.id for claim in reversed(claims)]
