"""Evidence: announced, uploaded by a form, looked at, available; on a real database and a bucket that keeps forms."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from claims.app import api
from claims.model import EXTENSIONS, ContentType
from shared.aws.errors import ServiceUnavailable
from shared.aws.s3 import UPLOAD_EXPIRES_S, PresignedUpload
from tests.fakes.clock import ManualClock
from tests.fakes.evidence import FakeEvidence
from tests.fakes.state import InMemoryStateStore
from tests.harness import Client, Reply, claims_of
from tests.integration.claims.cases import WAY_TO, Cases
from tests.integration.claims.wire import flights
from tests.integration.room import TODAY, room, sign_in
from tests.integration.room import agent as agent_of

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 600
COMPLETION = "/claims/{claim_id}/documents/{document_id}/completion"
REMOVAL = "/claims/{claim_id}/documents/{document_id}"
DOWNLOAD = "/claims/{claim_id}/documents/{document_id}/download"


class Folder:
    """One claim's evidence, as its member handles it."""

    def __init__(self, cases: Cases, **claim: str) -> None:
        self.cases = cases
        self.member = cases.member()
        self.claim_id = cases.claim(self.member, **claim)

    def announce(
        self, content: bytes = PNG, content_type: ContentType = "image/png", client: Client | None = None
    ) -> Reply:
        body = {
            "file_name": f"boarding.{EXTENSIONS[content_type][0]}",
            "content_type": content_type,
            "size": len(content),
        }
        who = client or self.cases.client.as_(self.member)
        return who.call("POST", "/claims/{claim_id}/documents", body, claim_id=self.claim_id)

    def uploaded(self, content: bytes = PNG, content_type: ContentType = "image/png") -> dict[str, Any]:
        """A document that waits for its completion."""
        document: dict[str, Any] = self.announce(content, content_type).json
        assert self.cases.evidence.post(document["upload"]["fields"], content)
        return document

    def complete(self, document: Mapping[str, Any], client: Client | None = None) -> Reply:
        who = client or self.cases.client.as_(self.member)
        return who.call("POST", COMPLETION, claim_id=self.claim_id, document_id=document["id"])

    def download(self, document: Mapping[str, Any], who: dict[str, str] | None = None) -> Reply:
        client = self.cases.client.as_(who or self.member)
        return client.call("GET", DOWNLOAD, claim_id=self.claim_id, document_id=document["id"])

    def remove(self, document: Mapping[str, Any], who: dict[str, str] | None = None, key: str | None = None) -> Reply:
        client = self.cases.client.as_(who or self.member)
        return client.call("DELETE", REMOVAL, key=key, claim_id=self.claim_id, document_id=document["id"])

    def age(self, document: Mapping[str, Any], minutes: int) -> None:
        """Let so many minutes have passed since its announcement."""
        self.cases.blank.rows(
            "UPDATE documents SET created_at = now() - make_interval(mins => %s) WHERE id = %s", minutes, document["id"]
        )

    def row(self, document: Mapping[str, Any]) -> dict[str, Any]:
        return self.cases.blank.rows("SELECT * FROM documents WHERE id = %s", document["id"])[0]

    def audited(self, document: Mapping[str, Any]) -> list[str]:
        rows = self.cases.blank.rows("SELECT action FROM audit WHERE subject_id = %s ORDER BY at", document["id"])
        return [row["action"] for row in rows]


@pytest.fixture
def folder(cases: Cases) -> Folder:
    return Folder(cases)


def test_a_file_is_announced_uploaded_completed_and_downloaded(cases: Cases, folder: Folder) -> None:
    """By its member; staff read it too, under its own name, by a link of five minutes."""
    announced = folder.announce()
    assert (announced.status, announced.json["state"]) == (201, "pending")
    assert set(announced.json) == {
        "id", "claim_id", "file_name", "content_type", "size", "state", "created_at", "updated_at", "upload",
    }  # fmt: skip
    assert folder.download(announced.json).problem == "document-not-available"
    assert cases.evidence.post(announced.json["upload"]["fields"], PNG)
    done = folder.complete(announced.json)
    assert (done.status, done.json["state"]) == (200, "available")
    assert "object_key" not in done.json
    for who in (folder.member, cases.staff()):
        link = folder.download(announced.json, who)
        assert (link.status, link.json["expires_at"]) == (200, "2026-11-24T09:05:00Z")
        assert "boarding.png" in link.json["url"]
        listed = cases.read(who, folder.claim_id, "/documents").json["items"]
        assert [item["state"] for item in listed] == ["available"]
    assert folder.audited(announced.json) == ["document.announced", "document.available", "document.read"]
    assert list(cases.evidence.objects) == [folder.row(announced.json)["object_key"]]


def test_what_the_form_stores_after_the_verdict_is_not_what_was_looked_at(cases: Cases, folder: Folder) -> None:
    """A form is valid for minutes: it must not slip another file under a document that is available."""
    document = folder.uploaded()
    assert folder.complete(document).status == 200
    kept = folder.row(document)["object_key"]
    assert cases.evidence.post(document["upload"]["fields"], b"MZ" + b"\0" * 90)
    assert cases.evidence.objects[kept].content == PNG
    assert kept != document["upload"]["fields"]["key"]
    assert folder.complete(document).json["state"] == "available"


def test_announcing_and_the_verdict_are_a_flight_each(cases: Cases, folder: Folder) -> None:
    """Completing reads, goes to the bucket outside any transaction, and writes."""
    with flights(cases.client) as announcing:
        document = folder.announce().json
    cases.evidence.post(document["upload"]["fields"], PNG)
    with flights(cases.client) as completing:
        assert folder.complete(document).status == 200
    assert (announcing, completing) == (["Sync"], ["Sync", "Sync"])


def test_completing_again_answers_the_same(cases: Cases, folder: Folder) -> None:
    """Without another look at the bucket, which may be out of reach."""
    document = folder.uploaded()
    first = folder.complete(document)
    cases.evidence.fails = ServiceUnavailable("EndpointConnectionError")
    again = folder.complete(document)
    assert (again.status, again.body) == (200, first.body)
    assert folder.audited(document) == ["document.announced", "document.available"]


def test_ten_completions_at_once_are_one_verdict(cases: Cases, folder: Folder) -> None:
    """All hear of it; one object is left, the one that the document names."""
    document = folder.uploaded()
    clients = [cases.another().as_(folder.member) for _ in range(10)]
    with ThreadPoolExecutor(10) as pool:
        replies = list(pool.map(lambda client: folder.complete(document, client), clients))
    assert [reply.status for reply in replies] == [200] * 10
    assert folder.audited(document) == ["document.announced", "document.available"]
    assert list(cases.evidence.objects) == [folder.row(document)["object_key"]]


@pytest.mark.parametrize(("at", "content"), [("copy", PNG), ("read_first_bytes", PNG), ("read_first_bytes", b"MZ")])
def test_the_first_verdict_stands(
    cases: Cases, folder: Folder, monkeypatch: pytest.MonkeyPatch, at: str, content: bytes
) -> None:
    """Another call completes while one is at the bucket, even with another file: both answer what was written first."""
    document, go_on = folder.uploaded(), getattr(cases.evidence, at)
    upload, kept = document["upload"]["fields"]["key"], list[str]()
    cases.evidence.put(upload, content, "image/png")

    def interrupted(*arguments: str) -> Any:
        monkeypatch.setattr(cases.evidence, at, go_on)
        cases.evidence.put(upload, PNG, "image/png")
        assert folder.complete(document, cases.another().as_(folder.member)).status == 200
        kept.append(folder.row(document)["object_key"])
        return go_on(*arguments)

    monkeypatch.setattr(cases.evidence, at, interrupted)
    assert (folder.complete(document).status, [folder.row(document)["object_key"]]) == (200, kept)
    assert list(cases.evidence.objects) == kept
    assert folder.audited(document) == ["document.announced", "document.available"]


@pytest.mark.parametrize(
    ("content", "stored_as", "why"),
    [
        (PNG[:-1], "image/png", "Its size"),
        (PNG + b"\0", "image/png", "Its size"),
        (PNG, "image/jpeg", "another type"),
        (PNG, "text/html", "another type"),
        (b"MZ" + PNG[2:], "image/png", "Its first bytes"),
        (b"", "image/png", "Its size"),
    ],
)
def test_what_is_not_as_announced_is_removed(
    cases: Cases, folder: Folder, content: bytes, stored_as: str, why: str
) -> None:
    """Another size, type or beginning, however it got into the bucket: 422 that says which, and the object gone."""
    document = folder.announce().json
    cases.evidence.put(document["upload"]["fields"]["key"], content, stored_as)
    reply = folder.complete(document)
    assert (reply.status, reply.problem) == (422, "document-mismatch")
    assert cases.evidence.objects == {}
    assert (folder.row(document)["state"], folder.row(document)["slot"]) == ("rejected", None)
    assert folder.audited(document) == ["document.announced", "document.rejected"]
    again = folder.complete(document)
    assert again.problem == "document-mismatch"
    assert why in reply.json["detail"]
    assert again.json["detail"] == reply.json["detail"]
    assert folder.download(document).problem == "document-not-available"


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"\xef\xbb\xbf%PDF-1.7\n1 0 obj", "application/pdf"),
        (b"\n" * 900 + b"%PDF-1.4\n", "application/pdf"),
        ("\ufeffFaturë № 1\r\n".encode("utf-16-le"), "text/plain"),
        ("MZ Trading më dërgoi këtë".encode(), "text/plain"),
    ],
)
def test_what_people_have_is_taken(folder: Folder, content: bytes, content_type: ContentType) -> None:
    """A PDF with something before its header, text with its mark, text that begins like a program."""
    assert folder.complete(folder.uploaded(content, content_type)).json["state"] == "available"


def test_without_an_upload_there_is_nothing_to_complete(cases: Cases, folder: Folder) -> None:
    """409, and the document goes on waiting."""
    document = folder.announce().json
    reply = folder.complete(document)
    assert (reply.status, reply.problem) == (409, "document-not-uploaded")
    cases.evidence.post(document["upload"]["fields"], PNG)
    assert folder.complete(document).status == 200


def test_a_bucket_out_of_reach_decides_nothing(cases: Cases, folder: Folder) -> None:
    """503, and the document goes on waiting: nobody saw that it was wrong."""
    document = folder.uploaded()
    cases.evidence.fails = ServiceUnavailable("EndpointConnectionError")
    assert folder.complete(document).problem == "unavailable"
    assert folder.row(document)["state"] == "pending"
    cases.evidence.fails = None
    assert folder.complete(document).status == 200


def test_a_leftover_that_stays_does_not_undo_the_verdict(
    cases: Cases, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bucket fails when the upload is to be removed: the document is available all the same."""
    document = folder.uploaded()

    def fail(_key: str) -> None:
        raise ServiceUnavailable("EndpointConnectionError")

    monkeypatch.setattr(cases.evidence, "delete", fail)
    assert folder.complete(document).json["state"] == "available"


def test_a_document_about_to_be_swept_is_not_completed(cases: Cases, folder: Folder) -> None:
    """From the 24th hour on the sweep may remove its object: an hour before, nobody begins to look at it."""
    document = folder.uploaded()
    cases.blank.rows("UPDATE documents SET created_at = now() - interval '23 hours' WHERE id = %s", document["id"])
    reply = folder.complete(document)
    assert (reply.status, reply.problem) == (409, "document-not-available")
    assert folder.row(document)["state"] == "pending"
    assert list(cases.evidence.objects) == [document["upload"]["fields"]["key"]]


def test_a_claim_holds_ten_documents(cases: Cases, folder: Folder) -> None:
    """The eleventh is 409; one that was turned down, or swept, gives its slot back."""
    documents = [folder.uploaded() for _ in range(9)]
    fake = folder.announce().json
    assert folder.announce().problem == "too-many-documents"
    cases.evidence.put(fake["upload"]["fields"]["key"], b"MZ", "image/png")
    assert folder.complete(fake).status == 422
    assert folder.complete(documents[0]).status == 200
    assert folder.announce().status == 201
    assert folder.announce().status == 409
    assert len(cases.read(folder.member, folder.claim_id, "/documents", limit="100").json["items"]) == 11


def test_an_announcement_holds_its_place_as_long_as_its_form_is_valid(cases: Cases, folder: Folder) -> None:
    """Ten that were never uploaded keep nobody from an eleventh, a quarter of an hour later."""
    announced = [folder.announce().json for _ in range(10)]
    folder.age(announced[0], 14)
    assert folder.announce().problem == "too-many-documents"
    folder.age(announced[0], 15)
    assert folder.announce().status == 201
    assert folder.announce().problem == "too-many-documents"


def test_a_file_completed_after_its_form_ran_out_takes_a_place_again(cases: Cases, folder: Folder) -> None:
    """It was uploaded in time; where all ten places have been taken since, it has to wait for one."""
    early = folder.uploaded()
    folder.age(early, 20)
    others = [folder.uploaded() for _ in range(10)]
    assert folder.row(early)["slot"] is None
    assert folder.complete(early).problem == "too-many-documents"
    assert folder.remove(others[0]).status == 204
    assert folder.complete(early).json["state"] == "available"
    assert folder.row(early)["slot"] is not None
    assert [folder.complete(other).status for other in others[1:]] == [200] * 9


def test_late_completions_at_once_take_different_places(cases: Cases, folder: Folder) -> None:
    """Three files without a place and three places: each gets one of its own."""
    early = [folder.uploaded() for _ in range(3)]
    for document in early:
        folder.age(document, 20)
    for document in [folder.uploaded() for _ in range(7)]:
        assert folder.complete(document).status == 200
    clients = [cases.another().as_(folder.member) for _ in early]
    with ThreadPoolExecutor(3) as pool:
        replies = list(pool.map(folder.complete, early, clients))
    assert [reply.status for reply in replies] == [200] * 3
    assert len({folder.row(document)["slot"] for document in early}) == 3


@pytest.mark.parametrize("completed", [True, False], ids=["available", "pending"])
def test_the_owner_removes_a_document(cases: Cases, folder: Folder, completed: bool) -> None:
    """Its objects are gone, its place is free, nobody is shown it; a second time changes nothing."""
    document = folder.uploaded()
    if completed:
        folder.complete(document)
    removed = folder.remove(document)
    assert (removed.status, removed.body, "Content-Type" in removed.headers) == (204, "", False)
    assert cases.evidence.objects == {}
    assert (folder.row(document)["state"], folder.row(document)["slot"]) == ("removed", None)
    for who in (folder.member, cases.staff()):
        assert folder.download(document, who).problem == "not-found"
        assert cases.read(who, folder.claim_id, "/documents").json["items"] == []
    assert folder.complete(document).problem == "not-found"
    before = folder.audited(document)
    assert [folder.remove(document).status, folder.remove(document, key="again").status] == [204, 204]
    assert folder.audited(document) == before
    assert before[-1] == "document.removed"


def test_a_removal_is_its_owners(cases: Cases, folder: Folder) -> None:
    """To other members it does not exist, and staff take no evidence away in its owner's place."""
    document = folder.uploaded()
    assert folder.remove(document, cases.member()).problem == "not-found"
    assert folder.remove(document, cases.staff()).problem == "forbidden"
    assert folder.row(document)["state"] == "pending"


@pytest.mark.parametrize("state", ["resolved", "rejected", "withdrawn"])
def test_a_closed_claim_keeps_its_evidence_and_takes_no_more(cases: Cases, folder: Folder, state: str) -> None:
    """What waits is not completed and nothing is removed; what was removed before stays removed."""
    kept, waiting, removed = folder.uploaded(), folder.uploaded(), folder.uploaded()
    assert folder.complete(kept).status == 200
    assert folder.remove(removed).status == 204
    for step in WAY_TO[state]:
        cases.blank.rows("UPDATE claims SET state = %s WHERE id = %s", step, folder.claim_id)
    assert folder.complete(waiting).problem == "claim-closed"
    assert folder.row(waiting)["state"] == "pending"
    assert folder.complete(kept).json["state"] == "available"
    assert [folder.remove(document).problem for document in (kept, waiting)] == ["claim-closed"] * 2
    assert folder.remove(removed).status == 204


def test_a_removal_that_could_not_delete_is_told_so_and_done_when_repeated(cases: Cases, folder: Folder) -> None:
    """503: nobody is shown the document any more, and the file itself goes with the next try."""
    document = folder.uploaded()
    folder.complete(document)
    cases.evidence.fails = ServiceUnavailable("SlowDown")
    assert folder.remove(document, key="k").status == 503
    cases.evidence.fails = None
    assert cases.evidence.objects != {}
    assert folder.remove(document, key="k").status == 204
    assert cases.evidence.objects == {}


def test_of_eleven_announced_at_once_ten_are_taken(cases: Cases, folder: Folder) -> None:
    """And have the ten slots, whoever is first."""
    clients = [cases.another().as_(folder.member) for _ in range(11)]
    with ThreadPoolExecutor(11) as pool:
        replies = list(pool.map(lambda client: folder.announce(client=client), clients))
    assert sorted(reply.status for reply in replies) == [201] * 10 + [409]
    rows = cases.blank.rows("SELECT slot FROM documents WHERE claim_id = %s ORDER BY slot", folder.claim_id)
    assert [row["slot"] for row in rows] == list(range(1, 11))


def test_a_repeated_announcement_takes_one_slot(cases: Cases, folder: Folder) -> None:
    """The same document, and a form for the same key, also where the quick record was lost."""
    body = {"file_name": "a.png", "content_type": "image/png", "size": 7}
    made = []
    for _ in range(2):
        client = cases.another().as_(folder.member)
        made.append(client.call("POST", "/claims/{claim_id}/documents", body, key="k", claim_id=folder.claim_id).json)
    assert made[0]["id"] == made[1]["id"]
    assert made[0]["upload"]["fields"]["key"] == made[1]["upload"]["fields"]["key"]
    assert cases.blank.rows("SELECT count(*) AS n FROM documents WHERE claim_id = %s", folder.claim_id) == [{"n": 1}]


class SignedInTime(FakeEvidence):
    """A bucket whose forms run out a quarter of an hour after they were signed, as S3's do."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock

    def presign_upload(self, *, key: str, content_type: str, size: int) -> PresignedUpload:
        form = super().presign_upload(key=key, content_type=content_type, size=size)
        expires = self._clock() + timedelta(seconds=UPLOAD_EXPIRES_S)
        return PresignedUpload(form.url, {**form.fields, "policy": expires.isoformat()})

    def post(self, fields: Mapping[str, str], content: bytes) -> bool:
        return self._clock() < datetime.fromisoformat(fields["policy"]) and super().post(fields, content)


@pytest.mark.parametrize("lost", [False, True], ids=["kept", "its quick record lost"])
def test_an_announcement_repeated_after_its_form_ran_out_gets_one_that_is_valid(cases: Cases, lost: bool) -> None:
    """For the same document, which is nothing but the first answer again; the rest of it is the same byte for byte."""
    folder, clock = Folder(cases), ManualClock(TODAY)
    bucket, state = SignedInTime(clock), InMemoryStateStore(clock)
    body = {"file_name": "a.png", "content_type": "image/png", "size": len(PNG)}

    def announce() -> Reply:
        client = room(api, cases.blank, clock=clock, document_store=bucket, admission_store=state).as_(folder.member)
        return client.call("POST", "/claims/{claim_id}/documents", body, key="k", claim_id=folder.claim_id)

    first = announce()
    row, audited = folder.row(first.json), folder.audited(first.json)
    clock.advance(UPLOAD_EXPIRES_S)
    assert not bucket.post(first.json["upload"]["fields"], PNG)
    if lost:
        state = InMemoryStateStore(clock)
    again = announce()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.body.partition('"upload"')[0] == first.body.partition('"upload"')[0]
    assert bucket.post(again.json["upload"]["fields"], PNG)
    assert (folder.row(first.json), folder.audited(first.json)) == (row, audited)


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("submitted", 201),
        ("verification", 201),
        ("evaluation", 201),
        ("negotiation", 201),
        ("court", 201),
        ("resolved", 409),
        ("rejected", 409),
        ("withdrawn", 409),
    ],
)
def test_evidence_is_taken_while_somebody_works_on_the_claim(cases: Cases, state: str, status: int) -> None:
    """A closed claim is opened again first; what was uploaded before stays to be read."""
    reply = Folder(cases, state=state).announce()
    assert reply.status == status
    if status == 409:
        assert reply.problem == "claim-closed"


def test_evidence_is_its_members_and_staffs(cases: Cases, folder: Folder) -> None:
    """Uploading is the member's alone; another member finds nothing; an agent gets nothing."""
    document = folder.uploaded()
    assert folder.complete(document).status == 200
    other, staff, nobody = cases.member(), cases.staff(), claims_of("x", "member")
    agent = sign_in(cases.blank, agent_of(cases.blank)[0])
    for who, announcing, reading in ((other, 404, 404), (staff, 403, 200), (agent, 404, 404), (nobody, 403, 403)):
        assert folder.announce(client=cases.client.as_(who)).status == announcing
        assert folder.complete(document, cases.client.as_(who)).status == announcing
        assert folder.download(document, who).status == reading
    assert folder.complete({"id": str(uuid4())}).status == 404
    assert folder.download({"id": str(uuid4())}).status == 404


def test_a_document_is_found_only_in_its_own_claim(cases: Cases, folder: Folder) -> None:
    """Not by way of another claim of the same member."""
    document = folder.uploaded()
    elsewhere = {"claim_id": cases.claim(folder.member), "document_id": document["id"]}
    client = cases.client.as_(folder.member)
    assert client.call("POST", COMPLETION, **elsewhere).status == 404
    assert client.call("GET", DOWNLOAD, **elsewhere).status == 404


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("file_name", ""),
        ("file_name", "../../etc/passwd"),
        ("file_name", "C:\\letter.pdf"),
        ("file_name", "a\r\nb.png"),
        ("file_name", "invoice\u202egnp.exe"),
        ("file_name", "boarding-pass.hta"),
        ("file_name", "invoice.png.exe"),
        ("file_name", "invoice.pdf"),
        ("file_name", "png"),
        ("file_name", "x" * 201),
        ("content_type", "text/html"),
        ("content_type", "image/svg+xml"),
        ("content_type", "image/png; charset=x"),
        ("size", 0),
        ("size", 10 * 1024 * 1024 + 1),
        ("size", "5"),
        ("size", 1.5),
        ("size", True),
    ],
)
def test_an_announcement_keeps_to_its_form(cases: Cases, folder: Folder, field: str, value: Any) -> None:
    """Five types, 10 MB, and a name that is no path."""
    body = {"file_name": "a.png", "content_type": "image/png", "size": 5, field: value}
    client = cases.client.as_(folder.member)
    reply = client.call("POST", "/claims/{claim_id}/documents", body, claim_id=folder.claim_id)
    assert (reply.status, reply.pointers) == (422, [f"/{field}"])


@pytest.mark.parametrize("size", [1, 10 * 1024 * 1024])
def test_the_bounds_themselves_are_taken(cases: Cases, folder: Folder, size: int) -> None:
    """And names in any script."""
    body = {"file_name": "фактура për № 1.PNG", "content_type": "image/png", "size": size}
    client = cases.client.as_(folder.member)
    reply = client.call("POST", "/claims/{claim_id}/documents", body, claim_id=folder.claim_id)
    assert (reply.status, reply.json["file_name"]) == (201, body["file_name"])
