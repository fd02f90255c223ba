"""Idempotency keys as a client outside meets them, through the gateway and the real tables."""

import re
import uuid
from urllib.parse import urldefrag, urljoin

from tests.e2e.cloud import RunningCloud, read_problem
from tests.e2e.cloud_users import CloudUsers, add_key
from tests.sample_people import make_claim_body, make_person


def test_a_phone_that_changes_its_network_gets_its_answer(cloud: RunningCloud) -> None:
    """The repeat comes from another address, with a quoted key; it gets the first answer byte for byte."""
    key, body = str(uuid.uuid4()), make_person()
    first = cloud.make_client().post("/members", json=body, headers=add_key(key))
    again = cloud.make_client().post("/members", json=body, headers=add_key(f'"{key}"'))
    assert (first.status_code, again.status_code, again.headers["Idempotency-Replayed"]) == (201, 201, "true")
    assert again.content == first.content
    assert cloud.query_rows("SELECT count(*) AS n FROM accounts WHERE email = %s", body["email"]) == [{"n": 1}]


def test_the_page_that_a_problem_about_keys_links_to_is_there(cloud: RunningCloud) -> None:
    """The page has the section that the link names."""
    client = cloud.make_client()
    reply = client.post("/members", json=make_person())
    assert read_problem(reply) == "idempotency-key-required"
    found = re.match(r'<([^>]+)>; rel="describedby"', reply.headers["Link"])
    assert found
    url, anchor = urldefrag(urljoin(str(reply.url), found[1]))
    page = client.get(url)
    assert page.status_code == 200
    assert f'id="{anchor}"' in page.text


def test_a_claim_refused_without_a_membership_is_filed_with_the_same_key_once_there_is_one(
    cloud: RunningCloud, users: CloudUsers
) -> None:
    """The refusal advises this; a third call with the key gets the same answer again."""
    member, client = users.make_member()
    ended = "UPDATE subscriptions SET starts_on = starts_on - 800, ends_on = ends_on - 800 WHERE member_id = %s"
    cloud.query_rows(ended, member["id"])
    headers = add_key()
    refused = client.post("/claims", json=make_claim_body(), headers=headers)
    renewed = client.post(f"/members/{member['id']}/renewals", headers=add_key())
    filed = [client.post("/claims", json=make_claim_body(), headers=headers) for _ in range(2)]
    assert read_problem(refused) == "membership-required"
    assert renewed.status_code == 201, renewed.text
    assert [reply.status_code for reply in filed] == [201, 201], filed[0].text
    assert filed[0].content == filed[1].content
