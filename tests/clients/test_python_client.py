"""The generated Python client with its layer, against a local cloud whose answers are lost on the way."""

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from interdomestik_client import connect, iterate, upload_document
from interdomestik_client.generated.models import ContactChange, NewClaim, NewMember
from tests.clients.effects import EffectCheck
from tests.clients.generated import find_function
from tests.crash_recovery.lossy_proxy import LossyProxy
from tests.e2e.cloud import RunningCloud
from tests.e2e.cloud_users import CloudUsers
from tests.sample_people import make_claim_body, make_person
from tests.services import ROOT

MEMBERS = 250
AT_ONCE = 8


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
    cloud: RunningCloud, proxy: LossyProxy, effects: EffectCheck
) -> None:
    """The caller writes no line about keys, versions, repeats or waiting."""
    url = f"{proxy.url}/api"
    anyone, staff = connect(url), connect(url, token=cloud.get_token(role="staff"))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ids = list(pool.map(lambda _: change_member(anyone, staff), range(MEMBERS)))
    effects.require_each_once("python", ids)


class LosingTransport(httpx.HTTPTransport):
    """The way to the store, which does what it is asked; every other answer is lost, from the first on."""

    def __init__(self) -> None:
        super().__init__()
        self._sent = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = super().handle_request(request)
        self._sent += 1
        if self._sent % 2:
            answer.close()
            raise httpx.ReadError("lost on the way")
        return answer


def count_documents(cloud: RunningCloud, claims: list[str]) -> int:
    """Return how many documents these claims have."""
    query = "SELECT count(*) AS n FROM documents WHERE claim_id = ANY(%s::uuid[])"
    return int(cloud.query_rows(query, claims)[0]["n"])


def test_the_example_in_the_documentation_imports_what_exists() -> None:
    """The names of generated functions follow the description's operation ids."""
    page = (ROOT / "docs/how-to/use-the-clients.md").read_text(encoding="utf-8")
    [example] = re.findall(r"```python\n(.*?)```", page, re.S)
    imports = [line for line in example.splitlines() if line.startswith("from ")]
    assert len(imports) == 3
    exec("\n".join(imports), {})


def test_a_claim_with_a_document_is_filed_and_listed_page_by_page(cloud: RunningCloud, proxy: LossyProxy) -> None:
    """Uploads and cursors too; every fifth answer is lost, and every other of the store: three claims, three files."""
    _, signed_in = CloudUsers(cloud).make_member()
    member = connect(f"{proxy.url}/api", token=str(signed_in.headers["Authorization"]).removeprefix("Bearer "))
    create = find_function("POST", "/claims")
    claims = [create.sync(client=member, body=NewClaim.from_dict(make_claim_body())) for _ in range(3)]
    with httpx.Client(timeout=30, transport=LosingTransport()) as store:
        documents = [
            upload_document(member.get_httpx_client(), each.id, "pass.txt", "text/plain", b"Boarding pass", store=store)
            for each in claims
        ]
    listed = list(iterate(find_function("GET", "/claims").sync, client=member, limit=1))
    assert [document["state"] for document in documents] == ["available"] * 3
    assert count_documents(cloud, [str(claim.id) for claim in claims]) == 3
    assert [claim.id for claim in listed] == [claim.id for claim in reversed(claims)]
