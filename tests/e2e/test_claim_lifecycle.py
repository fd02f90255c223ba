"""The way of a case, from an agent's application to its outcome, as people go it."""

import hashlib
from typing import Any

import httpx

from tests.e2e.cloud import RunningCloud, read_problem, wait_until
from tests.e2e.cloud_users import CloudUsers, add_key
from tests.sample_people import make_applicant, make_claim_body, make_person

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 64
PDF = b"%PDF-1.7\n" + b"0" * 500 + b"\n%%EOF\n"
TEXT = "Ndihmë - помош - 帮助\n".encode()


def upload(member: httpx.Client, claim_id: str, name: str, content_type: str, content: bytes) -> dict[str, Any]:
    """Announce, upload as a browser would, complete."""
    announced = member.post(
        f"/claims/{claim_id}/documents", json={"file_name": name, "content_type": content_type, "size": len(content)}
    )
    assert announced.status_code == 201, announced.text
    assert announced.json()["state"] == "pending"
    form = announced.json()["upload"]
    stored = httpx.post(form["url"], data=form["fields"], files={"file": (name, content, content_type)})
    assert stored.status_code in (200, 201, 204), stored.text
    done = member.post(f"/claims/{claim_id}/documents/{announced.json()['id']}/completion", headers=add_key())
    assert done.status_code == 200, done.text
    document: dict[str, Any] = done.json()
    return document


def change_state(staff: httpx.Client, claim: dict[str, Any], to: str, reason: str, **more: str) -> dict[str, Any]:
    """Ask for a transition, decided on the version at hand."""
    reply = staff.post(
        f"/claims/{claim['id']}/transitions",
        json={"to": to, "reason": reason, **more},
        headers=add_key(**{"If-Match": f'"{claim["version"]}"'}),
    )
    assert reply.status_code == 200, reply.text
    changed: dict[str, Any] = reply.json()
    return changed


def test_from_an_agents_application_to_a_resolved_claim(cloud: RunningCloud, users: CloudUsers) -> None:
    """Run the whole way: application, approval, member, claim, three files, three transitions, history and mails."""
    agent, agent_client = users.make_agent(full_name="Arta Krasniqi", language="en")
    registration = make_person(full_name="Марија Николовска", language="mk", referral_code=agent["referral_code"])
    registered = cloud.make_client().post("/members", json=registration, headers=add_key())
    assert registered.status_code == 201, registered.text
    member = registered.json()
    assert member["agent"] == {"id": agent["id"], "full_name": "Arta Krasniqi"}
    welcome = wait_until(lambda: cloud.list_mails(member["email"]), "the welcome mail")[0]
    assert member["number"] in welcome["text"]
    assert "Марија Николовска" in welcome["text"]
    assert welcome["subject"].startswith("Добре дојдовте")

    client = users.sign_in(member)
    submitted = client.post("/claims", json=make_claim_body(title="Откажан лет"), headers=add_key())
    assert submitted.status_code == 201, submitted.text
    claim = submitted.json()
    files = [
        ("boarding.png", "image/png", PNG),
        ("letter.pdf", "application/pdf", PDF),
        ("notes.txt", "text/plain", TEXT),
    ]
    documents = [upload(client, claim["id"], *file) for file in files]
    assert [d["state"] for d in documents] == ["available"] * 3

    staff = users.make_another_staff()
    assigned = staff.put(
        f"/claims/{claim['id']}/assignee", json={"staff_id": "me"}, headers={"If-Match": f'"{claim["version"]}"'}
    )
    assert assigned.status_code == 200, assigned.text
    claim = assigned.json()
    for to, reason in [("verification", "Checking."), ("evaluation", "Complete."), ("resolved", "They paid.")]:
        claim = change_state(staff, claim, to, reason)
    assert claim["state"] == "resolved"

    history = client.get(f"/claims/{claim['id']}/history").json()["items"]
    transitions = [(entry["from"], entry["to"]) for entry in history]
    way = [
        (None, "submitted"),
        ("submitted", "verification"),
        ("verification", "evaluation"),
        ("evaluation", "resolved"),
    ]
    assert sorted(transitions, key=str) == sorted(way, key=str)

    # welcome, received, and one for each transition
    mails = wait_until(
        lambda: m if len(m := cloud.list_mails(member["email"])) >= 5 else None, "five mails to the member"
    )
    assert len(mails) == 5
    assert sum("Откажан лет" in mail["text"] for mail in mails) >= 1

    for document, (_, content_type, content) in zip(documents, files, strict=True):
        link = client.get(f"/claims/{claim['id']}/documents/{document['id']}/download").json()["url"]
        fetched = httpx.get(link)
        assert fetched.status_code == 200, (link.partition("?")[0], fetched.text)
        assert hashlib.sha256(fetched.content).digest() == hashlib.sha256(content).digest()
        assert fetched.headers["content-type"].startswith(content_type)

    clients = agent_client.get("/agents/me/clients").json()["items"]
    assert [c["id"] for c in clients] == [member["id"]]
    assert set(clients[0]) == {"id", "number", "full_name", "membership_state", "membership_ends_on"}
    assert agent_client.get(f"/claims/{claim['id']}").status_code == 404
    assert [c["amount"] for c in agent_client.get("/agents/me/commissions").json()["items"]] == ["7.00"]


def test_a_file_that_is_not_what_it_says_is_removed(cloud: RunningCloud, users: CloudUsers) -> None:
    """A program that is announced and sent as a picture gets a 422, and its object is deleted."""
    _, client = users.make_member()
    claim = client.post("/claims", json=make_claim_body(), headers=add_key()).json()
    fake = b"MZ" + b"\x00" * 100
    announced = client.post(
        f"/claims/{claim['id']}/documents", json={"file_name": "a.png", "content_type": "image/png", "size": len(fake)}
    ).json()
    form = announced["upload"]
    httpx.post(form["url"], data=form["fields"], files={"file": ("a.png", fake, "image/png")}).raise_for_status()
    done = client.post(f"/claims/{claim['id']}/documents/{announced['id']}/completion")
    assert (done.status_code, read_problem(done)) == (422, "document-mismatch")
    key = cloud.query_rows("SELECT object_key, state FROM documents WHERE id = %s", announced["id"])[0]
    assert key["state"] == "rejected"
    gone = client.get(f"/claims/{claim['id']}/documents/{announced['id']}/download")
    assert (gone.status_code, read_problem(gone)) == (409, "document-not-available")


def test_the_form_takes_neither_more_nor_another_type_than_announced(users: CloudUsers) -> None:
    """The presigned POST itself refuses them: nothing is stored, and completing says so."""
    _, client = users.make_member()
    claim = client.post("/claims", json=make_claim_body(), headers=add_key()).json()
    announced = client.post(
        f"/claims/{claim['id']}/documents", json={"file_name": "a.png", "content_type": "image/png", "size": 72}
    ).json()
    form = announced["upload"]
    larger = httpx.post(form["url"], data=form["fields"], files={"file": ("a.png", PNG + b"!", "image/png")})
    other = {**form["fields"], "Content-Type": "text/html"}
    another_type = httpx.post(form["url"], data=other, files={"file": ("a.png", PNG, "text/html")})
    assert (larger.status_code // 100, another_type.status_code // 100) == (4, 4)
    done = client.post(f"/claims/{claim['id']}/documents/{announced['id']}/completion")
    assert (done.status_code, read_problem(done)) == (409, "document-not-uploaded")


def test_every_mail_of_an_agents_way_arrives_in_their_language(cloud: RunningCloud) -> None:
    """The agent gets the mail about the application, then the rejection with its reason."""
    people = CloudUsers(cloud)
    applied = cloud.make_client().post(
        "/agents", json=make_applicant(language="sr", full_name="Љубица Ђорђевић"), headers=add_key()
    )
    agent = applied.json()
    assert agent["referral_code"].startswith("LJUBICA-")
    decision = {"decision": "reject", "reason": "Nedostaje <b>potvrda</b> & saglasnost."}
    assert people.make_another_staff().post(f"/agents/{agent['id']}/decision", json=decision).status_code == 200
    mails = wait_until(lambda: m if len(m := cloud.list_mails(agent["email"])) == 2 else None, "two mails to the agent")
    rejected = next(mail for mail in mails if "potvrda" in mail["text"])
    assert "<b>potvrda</b> & saglasnost" in rejected["text"]
    assert "&lt;b&gt;potvrda&lt;/b&gt; &amp; saglasnost" in rejected["html"]


def test_an_agents_token_registers_members_and_a_members_does_not(users: CloudUsers) -> None:
    """The function verifies that token itself, for the gateway lets everybody through there."""
    agent, agent_client = users.make_agent()
    made = agent_client.post("/members", json=make_person(), headers=add_key())
    assert (made.status_code, made.json()["agent"]["id"]) == (201, agent["id"])
    _, member_client = users.make_member()
    assert member_client.post("/members", json=make_person(), headers=add_key()).status_code == 403
    forged = agent_client.headers["Authorization"][:-8] + "AAAAAAAA"
    assert agent_client.post("/members", json=make_person(), headers=add_key(Authorization=forged)).status_code == 401


def test_head_is_answered_as_get_on_protected_paths_too(cloud: RunningCloud, users: CloudUsers) -> None:
    """The gateway verifies a GET's token, and lets a HEAD through by the route for other methods."""
    staff = users.make_another_staff()
    own = {"date", "content-length", "content-encoding", "x-request-id", "ratelimit", "x-amzn-requestid"}
    own.add("x-amzn-trace-id")
    for path in ("/members", "/agents", "/claims"):
        get, head = staff.get(path), staff.head(path)
        assert (get.status_code, head.status_code, head.content) == (200, 200, b"")
        headers, expected = ({k: v for k, v in reply.headers.items() if k not in own} for reply in (head, get))
        assert headers == expected
        assert cloud.make_client().head(path).status_code == 401
        assert cloud.make_client(token="x").head(path).status_code == 401
