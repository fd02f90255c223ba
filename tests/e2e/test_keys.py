"""Idempotency keys as a client outside meets them, through the gateway and the real tables."""

import re
import uuid
from urllib.parse import urldefrag, urljoin

from tests.e2e.cloud import Cloud, problem
from tests.e2e.people import People, keyed
from tests.people import person, trouble


def test_a_phone_that_changes_its_network_gets_its_answer(cloud: Cloud) -> None:
    """Another address, the draft's form of the key: the first answer, byte for byte, and one member."""
    key, body = str(uuid.uuid4()), person()
    first = cloud.client().post("/members", json=body, headers=keyed(key))
    again = cloud.client().post("/members", json=body, headers=keyed(f'"{key}"'))
    assert (first.status_code, again.status_code, again.headers["Idempotency-Replayed"]) == (201, 201, "true")
    assert again.content == first.content
    assert cloud.rows("SELECT count(*) AS n FROM accounts WHERE email = %s", body["email"]) == [{"n": 1}]


def test_the_page_that_a_problem_about_keys_links_to_is_there(cloud: Cloud) -> None:
    """With the section it names."""
    client = cloud.client()
    reply = client.post("/members", json=person())
    assert problem(reply) == "idempotency-key-required"
    found = re.match(r'<([^>]+)>; rel="describedby"', reply.headers["Link"])
    assert found
    url, anchor = urldefrag(urljoin(str(reply.url), found[1]))
    page = client.get(url)
    assert page.status_code == 200
    assert f'id="{anchor}"' in page.text


def test_a_claim_refused_for_want_of_a_membership_is_filed_with_the_same_key_once_there_is_one(
    cloud: Cloud, people: People
) -> None:
    """As the refusal advises; a third time it is the answer again."""
    member, client = people.member()
    ended = "UPDATE subscriptions SET starts_on = starts_on - 800, ends_on = ends_on - 800 WHERE member_id = %s"
    cloud.rows(ended, member["id"])
    headers = keyed()
    refused = client.post("/claims", json=trouble(), headers=headers)
    renewed = client.post(f"/members/{member['id']}/renewals", headers=keyed())
    filed = [client.post("/claims", json=trouble(), headers=headers) for _ in range(2)]
    assert problem(refused) == "membership-required"
    assert renewed.status_code == 201, renewed.text
    assert [reply.status_code for reply in filed] == [201, 201], filed[0].text
    assert filed[0].content == filed[1].content
