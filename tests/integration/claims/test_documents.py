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
from tests.api_client import ApiClient, ApiReply, make_claims
from tests.fakes.admission import InMemoryAdmissionStore
from tests.fakes.clock import ManualClock
from tests.fakes.documents import FakeDocumentStore
from tests.integration.claims.protocol_trace import trace_round_trips
from tests.integration.claims.sample_claims import WAY_TO, ClaimFixtures
from tests.integration.function_client import TODAY, make_client, sign_in
from tests.integration.function_client import add_agent as agent_of

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 600
COMPLETION = "/claims/{claim_id}/documents/{document_id}/completion"
REMOVAL = "/claims/{claim_id}/documents/{document_id}"
DOWNLOAD = "/claims/{claim_id}/documents/{document_id}/download"


class DocumentFixture:
    """The documents of one claim, as its member handles them."""

    def __init__(self, claim_fixtures: ClaimFixtures, **claim: str) -> None:
        self.cases = claim_fixtures
        self.member = claim_fixtures.add_member()
        self.claim_id = claim_fixtures.claim(self.member, **claim)

    def announce(
        self, content: bytes = PNG, content_type: ContentType = "image/png", client: ApiClient | None = None
    ) -> ApiReply:
        body = {
            "file_name": f"boarding.{EXTENSIONS[content_type][0]}",
            "content_type": content_type,
            "size": len(content),
        }
        who = client or self.cases.client.sign_in_as(self.member)
        return who.call("POST", "/claims/{claim_id}/documents", body, claim_id=self.claim_id)

    def upload_document(self, content: bytes = PNG, content_type: ContentType = "image/png") -> dict[str, Any]:
        """Upload a document, which then waits for its completion."""
        document: dict[str, Any] = self.announce(content, content_type).json
        assert self.cases.evidence.post(document["upload"]["fields"], content)
        return document

    def complete(self, document: Mapping[str, Any], client: ApiClient | None = None) -> ApiReply:
        who = client or self.cases.client.sign_in_as(self.member)
        return who.call("POST", COMPLETION, claim_id=self.claim_id, document_id=document["id"])

    def download(self, document: Mapping[str, Any], who: dict[str, str] | None = None) -> ApiReply:
        client = self.cases.client.sign_in_as(who or self.member)
        return client.call("GET", DOWNLOAD, claim_id=self.claim_id, document_id=document["id"])

    def remove(
        self, document: Mapping[str, Any], who: dict[str, str] | None = None, key: str | None = None
    ) -> ApiReply:
        client = self.cases.client.sign_in_as(who or self.member)
        return client.call("DELETE", REMOVAL, key=key, claim_id=self.claim_id, document_id=document["id"])

    def age(self, document: Mapping[str, Any], minutes: int) -> None:
        """Set its announcement back by minutes."""
        self.cases.fresh_database.query_rows(
            "UPDATE documents SET created_at = now() - make_interval(mins => %s) WHERE id = %s", minutes, document["id"]
        )

    def read_row(self, document: Mapping[str, Any]) -> dict[str, Any]:
        return self.cases.fresh_database.query_rows("SELECT * FROM documents WHERE id = %s", document["id"])[0]

    def list_audited(self, document: Mapping[str, Any]) -> list[str]:
        rows = self.cases.fresh_database.query_rows(
            "SELECT action FROM audit WHERE subject_id = %s ORDER BY at", document["id"]
        )
        return [row["action"] for row in rows]


@pytest.fixture
def fixture(claim_fixtures: ClaimFixtures) -> DocumentFixture:
    return DocumentFixture(claim_fixtures)


def test_a_file_is_announced_uploaded_completed_and_downloaded(
    claim_fixtures: ClaimFixtures, fixture: DocumentFixture
) -> None:
    """The member does so; staff may read the file too, by a link that is valid for five minutes."""
    announced = fixture.announce()
    assert (announced.status, announced.json["state"]) == (201, "pending")
    assert set(announced.json) == {
        "id", "claim_id", "file_name", "content_type", "size", "state", "created_at", "updated_at", "upload",
    }  # fmt: skip
    assert fixture.download(announced.json).problem == "document-not-available"
    assert claim_fixtures.evidence.post(announced.json["upload"]["fields"], PNG)
    done = fixture.complete(announced.json)
    assert (done.status, done.json["state"]) == (200, "available")
    assert "object_key" not in done.json
    for who in (fixture.member, claim_fixtures.add_staff()):
        link = fixture.download(announced.json, who)
        assert (link.status, link.json["expires_at"]) == (200, "2026-11-24T09:05:00Z")
        assert "boarding.png" in link.json["url"]
        listed = claim_fixtures.read(who, fixture.claim_id, "/documents").json["items"]
        assert [item["state"] for item in listed] == ["available"]
    assert fixture.list_audited(announced.json) == ["document.announced", "document.available", "document.read"]
    assert list(claim_fixtures.evidence.objects) == [fixture.read_row(announced.json)["object_key"]]


def test_what_the_form_stores_after_the_verdict_is_not_what_was_looked_at(
    claim_fixtures: ClaimFixtures, fixture: DocumentFixture
) -> None:
    """A form is valid for minutes: it must not slip another file under a document that is available."""
    document = fixture.upload_document()
    assert fixture.complete(document).status == 200
    kept = fixture.read_row(document)["object_key"]
    assert claim_fixtures.evidence.post(document["upload"]["fields"], b"MZ" + b"\0" * 90)
    assert claim_fixtures.evidence.objects[kept].content == PNG
    assert kept != document["upload"]["fields"]["key"]
    assert fixture.complete(document).json["state"] == "available"


def test_announcing_and_the_verdict_are_a_round_trip_each(
    claim_fixtures: ClaimFixtures, fixture: DocumentFixture
) -> None:
    """Completing reads, goes to the bucket outside any transaction, and writes."""
    with trace_round_trips(claim_fixtures.client) as announcing:
        document = fixture.announce().json
    claim_fixtures.evidence.post(document["upload"]["fields"], PNG)
    with trace_round_trips(claim_fixtures.client) as completing:
        assert fixture.complete(document).status == 200
    assert (announcing, completing) == (["Sync"], ["Sync", "Sync"])


def test_completing_again_answers_the_same(claim_fixtures: ClaimFixtures, fixture: DocumentFixture) -> None:
    """It does not ask the bucket again, which may be out of reach."""
    document = fixture.upload_document()
    first = fixture.complete(document)
    claim_fixtures.evidence.fails = ServiceUnavailable("EndpointConnectionError")
    again = fixture.complete(document)
    assert (again.status, again.body) == (200, first.body)
    assert fixture.list_audited(document) == ["document.announced", "document.available"]


def test_ten_completions_at_once_are_one_verdict(claim_fixtures: ClaimFixtures, fixture: DocumentFixture) -> None:
    """All get the same answer, and only the object that the document names is left."""
    document = fixture.upload_document()
    clients = [claim_fixtures.make_another_client().sign_in_as(fixture.member) for _ in range(10)]
    with ThreadPoolExecutor(10) as pool:
        replies = list(pool.map(lambda client: fixture.complete(document, client), clients))
    assert [reply.status for reply in replies] == [200] * 10
    assert fixture.list_audited(document) == ["document.announced", "document.available"]
    assert list(claim_fixtures.evidence.objects) == [fixture.read_row(document)["object_key"]]


@pytest.mark.parametrize(("at", "content"), [("copy", PNG), ("read_first_bytes", PNG), ("read_first_bytes", b"MZ")])
def test_the_first_verdict_stands(
    claim_fixtures: ClaimFixtures, fixture: DocumentFixture, monkeypatch: pytest.MonkeyPatch, at: str, content: bytes
) -> None:
    """Another call completes while one is at the bucket, even with another file: both answer what was written first."""
    document, go_on = fixture.upload_document(), getattr(claim_fixtures.evidence, at)
    upload, kept = document["upload"]["fields"]["key"], list[str]()
    claim_fixtures.evidence.put(upload, content, "image/png")

    def fail_interrupted(*arguments: str) -> Any:
        monkeypatch.setattr(claim_fixtures.evidence, at, go_on)
        claim_fixtures.evidence.put(upload, PNG, "image/png")
        assert fixture.complete(document, claim_fixtures.make_another_client().sign_in_as(fixture.member)).status == 200
        kept.append(fixture.read_row(document)["object_key"])
        return go_on(*arguments)

    monkeypatch.setattr(claim_fixtures.evidence, at, fail_interrupted)
    assert (fixture.complete(document).status, [fixture.read_row(document)["object_key"]]) == (200, kept)
    assert list(claim_fixtures.evidence.objects) == kept
    assert fixture.list_audited(document) == ["document.announced", "document.available"]


def test_a_completion_that_meets_a_removal_leaves_nothing(
    claim_fixtures: ClaimFixtures, fixture: DocumentFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The document is removed while its file is checked: the refused call leaves no object, and not even its key."""
    document, copy = fixture.upload_document(), claim_fixtures.evidence.copy

    def remove_meanwhile(*arguments: str) -> Any:
        monkeypatch.setattr(claim_fixtures.evidence, "copy", copy)
        found = copy(*arguments)
        other = claim_fixtures.make_another_client().sign_in_as(fixture.member)
        removed = other.call("DELETE", REMOVAL, claim_id=fixture.claim_id, document_id=document["id"])
        assert removed.status == 204
        return found

    monkeypatch.setattr(claim_fixtures.evidence, "copy", remove_meanwhile)
    count_keys = "SELECT count(*) AS n FROM idempotency_keys"
    before = claim_fixtures.fresh_database.query_rows(count_keys)[0]["n"]
    assert fixture.complete(document).problem == "not-found"
    assert claim_fixtures.fresh_database.query_rows(count_keys)[0]["n"] == before + 1, "the removal's alone"
    assert claim_fixtures.evidence.objects == {}
    assert fixture.list_audited(document) == ["document.announced", "document.removed"]


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
    claim_fixtures: ClaimFixtures, fixture: DocumentFixture, content: bytes, stored_as: str, why: str
) -> None:
    """Another size, type or beginning, however it got into the bucket: 422 that says which, and the object gone."""
    document = fixture.announce().json
    claim_fixtures.evidence.put(document["upload"]["fields"]["key"], content, stored_as)
    reply = fixture.complete(document)
    assert (reply.status, reply.problem) == (422, "document-mismatch")
    assert claim_fixtures.evidence.objects == {}
    assert (fixture.read_row(document)["state"], fixture.read_row(document)["slot"]) == ("rejected", None)
    assert fixture.list_audited(document) == ["document.announced", "document.rejected"]
    again = fixture.complete(document)
    assert again.problem == "document-mismatch"
    assert why in reply.json["detail"]
    assert again.json["detail"] == reply.json["detail"]
    assert fixture.download(document).problem == "document-not-available"


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"\xef\xbb\xbf%PDF-1.7\n1 0 obj", "application/pdf"),
        (b"\n" * 900 + b"%PDF-1.4\n", "application/pdf"),
        ("\ufeffFaturë № 1\r\n".encode("utf-16-le"), "text/plain"),
        ("MZ Trading më dërgoi këtë".encode(), "text/plain"),
    ],
)
def test_unusual_valid_files_are_accepted(fixture: DocumentFixture, content: bytes, content_type: ContentType) -> None:
    """Accepted are a PDF with bytes before its header, text with a byte order mark, text that begins like a program."""
    assert fixture.complete(fixture.upload_document(content, content_type)).json["state"] == "available"


def test_without_an_upload_there_is_nothing_to_complete(
    claim_fixtures: ClaimFixtures, fixture: DocumentFixture
) -> None:
    """409, and the document goes on waiting."""
    document = fixture.announce().json
    reply = fixture.complete(document)
    assert (reply.status, reply.problem) == (409, "document-not-uploaded")
    claim_fixtures.evidence.post(document["upload"]["fields"], PNG)
    assert fixture.complete(document).status == 200


def test_a_bucket_out_of_reach_decides_nothing(claim_fixtures: ClaimFixtures, fixture: DocumentFixture) -> None:
    """503, and the document goes on waiting: nobody saw that it was wrong."""
    document = fixture.upload_document()
    claim_fixtures.evidence.fails = ServiceUnavailable("EndpointConnectionError")
    assert fixture.complete(document).problem == "unavailable"
    assert fixture.read_row(document)["state"] == "pending"
    claim_fixtures.evidence.fails = None
    assert fixture.complete(document).status == 200


def test_a_leftover_that_stays_does_not_undo_the_verdict(
    claim_fixtures: ClaimFixtures, fixture: DocumentFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bucket fails when the upload is to be removed: the document is available all the same."""
    document = fixture.upload_document()

    def fail(_key: str) -> None:
        raise ServiceUnavailable("EndpointConnectionError")

    monkeypatch.setattr(claim_fixtures.evidence, "delete", fail)
    assert fixture.complete(document).json["state"] == "available"


def test_a_document_about_to_be_swept_is_not_completed(claim_fixtures: ClaimFixtures, fixture: DocumentFixture) -> None:
    """The sweep may remove its object after 24 hours, so no check begins in the hour before."""
    document = fixture.upload_document()
    claim_fixtures.fresh_database.query_rows(
        "UPDATE documents SET created_at = now() - interval '23 hours' WHERE id = %s", document["id"]
    )
    reply = fixture.complete(document)
    assert (reply.status, reply.problem) == (409, "document-not-available")
    assert fixture.read_row(document)["state"] == "pending"
    assert list(claim_fixtures.evidence.objects) == [document["upload"]["fields"]["key"]]


def test_a_claim_holds_ten_documents(claim_fixtures: ClaimFixtures, fixture: DocumentFixture) -> None:
    """The eleventh is 409; one that was turned down, or swept, gives its slot back."""
    documents = [fixture.upload_document() for _ in range(9)]
    fake = fixture.announce().json
    assert fixture.announce().problem == "too-many-documents"
    claim_fixtures.evidence.put(fake["upload"]["fields"]["key"], b"MZ", "image/png")
    assert fixture.complete(fake).status == 422
    assert fixture.complete(documents[0]).status == 200
    assert fixture.announce().status == 201
    assert fixture.announce().status == 409
    assert len(claim_fixtures.read(fixture.member, fixture.claim_id, "/documents", limit="100").json["items"]) == 11


def test_an_announcement_holds_its_place_as_long_as_its_form_is_valid(
    claim_fixtures: ClaimFixtures, fixture: DocumentFixture
) -> None:
    """Ten that were never uploaded keep nobody from an eleventh, a quarter of an hour later."""
    announced = [fixture.announce().json for _ in range(10)]
    fixture.age(announced[0], 14)
    assert fixture.announce().problem == "too-many-documents"
    fixture.age(announced[0], 15)
    assert fixture.announce().status == 201
    assert fixture.announce().problem == "too-many-documents"


def test_a_file_completed_after_its_form_ran_out_takes_a_place_again(
    claim_fixtures: ClaimFixtures, fixture: DocumentFixture
) -> None:
    """It was uploaded in time; where all ten places have been taken since, it has to wait for one."""
    early = fixture.upload_document()
    fixture.age(early, 20)
    others = [fixture.upload_document() for _ in range(10)]
    assert fixture.read_row(early)["slot"] is None
    assert fixture.complete(early).problem == "too-many-documents"
    assert fixture.remove(others[0]).status == 204
    assert fixture.complete(early).json["state"] == "available"
    assert fixture.read_row(early)["slot"] is not None
    assert [fixture.complete(other).status for other in others[1:]] == [200] * 9


def test_late_completions_at_once_take_different_places(
    claim_fixtures: ClaimFixtures, fixture: DocumentFixture
) -> None:
    """Three files without a place and three places: each gets one of its own."""
    early = [fixture.upload_document() for _ in range(3)]
    for document in early:
        fixture.age(document, 20)
    for document in [fixture.upload_document() for _ in range(7)]:
        assert fixture.complete(document).status == 200
    clients = [claim_fixtures.make_another_client().sign_in_as(fixture.member) for _ in early]
    with ThreadPoolExecutor(3) as pool:
        replies = list(pool.map(fixture.complete, early, clients))
    assert [reply.status for reply in replies] == [200] * 3
    assert len({fixture.read_row(document)["slot"] for document in early}) == 3


@pytest.mark.parametrize("completed", [True, False], ids=["available", "pending"])
def test_the_owner_removes_a_document(claim_fixtures: ClaimFixtures, fixture: DocumentFixture, completed: bool) -> None:
    """Its objects are gone, its place is free, nobody is shown it; a second time changes nothing."""
    document = fixture.upload_document()
    if completed:
        fixture.complete(document)
    removed = fixture.remove(document)
    assert (removed.status, removed.body, "Content-Type" in removed.headers) == (204, "", False)
    assert claim_fixtures.evidence.objects == {}
    assert (fixture.read_row(document)["state"], fixture.read_row(document)["slot"]) == ("removed", None)
    for who in (fixture.member, claim_fixtures.add_staff()):
        assert fixture.download(document, who).problem == "not-found"
        assert claim_fixtures.read(who, fixture.claim_id, "/documents").json["items"] == []
    assert fixture.complete(document).problem == "not-found"
    before = fixture.list_audited(document)
    assert [fixture.remove(document).status, fixture.remove(document, key="again").status] == [204, 204]
    assert fixture.list_audited(document) == before
    assert before[-1] == "document.removed"


def test_a_removal_is_its_owners(claim_fixtures: ClaimFixtures, fixture: DocumentFixture) -> None:
    """Other members get 404, and staff can't remove evidence in the owner's place."""
    document = fixture.upload_document()
    assert fixture.remove(document, claim_fixtures.add_member()).problem == "not-found"
    assert fixture.remove(document, claim_fixtures.add_staff()).problem == "forbidden"
    assert fixture.read_row(document)["state"] == "pending"


@pytest.mark.parametrize("state", ["resolved", "rejected", "withdrawn"])
def test_a_closed_claim_keeps_its_evidence_and_takes_no_more(
    claim_fixtures: ClaimFixtures, fixture: DocumentFixture, state: str
) -> None:
    """Pending documents are not completed, none is removed, and removed ones stay removed."""
    kept, waiting, removed = fixture.upload_document(), fixture.upload_document(), fixture.upload_document()
    assert fixture.complete(kept).status == 200
    assert fixture.remove(removed).status == 204
    for passed in WAY_TO[state]:
        claim_fixtures.fresh_database.query_rows("UPDATE claims SET state = %s WHERE id = %s", passed, fixture.claim_id)
    assert fixture.complete(waiting).problem == "claim-closed"
    assert fixture.read_row(waiting)["state"] == "pending"
    assert fixture.complete(kept).json["state"] == "available"
    assert [fixture.remove(document).problem for document in (kept, waiting)] == ["claim-closed"] * 2
    assert fixture.remove(removed).status == 204


def test_a_removal_that_could_not_delete_says_so_and_is_done_when_repeated(
    claim_fixtures: ClaimFixtures, fixture: DocumentFixture
) -> None:
    """503: nobody is shown the document any more, and the file itself goes with the next try."""
    document = fixture.upload_document()
    fixture.complete(document)
    claim_fixtures.evidence.fails = ServiceUnavailable("SlowDown")
    assert fixture.remove(document, key="k").status == 503
    claim_fixtures.evidence.fails = None
    assert claim_fixtures.evidence.objects != {}
    assert fixture.remove(document, key="k").status == 204
    assert claim_fixtures.evidence.objects == {}


def test_of_eleven_announced_at_once_ten_are_taken(claim_fixtures: ClaimFixtures, fixture: DocumentFixture) -> None:
    """The ten get the ten slots."""
    clients = [claim_fixtures.make_another_client().sign_in_as(fixture.member) for _ in range(11)]
    with ThreadPoolExecutor(11) as pool:
        replies = list(pool.map(lambda client: fixture.announce(client=client), clients))
    assert sorted(reply.status for reply in replies) == [201] * 10 + [409]
    rows = claim_fixtures.fresh_database.query_rows(
        "SELECT slot FROM documents WHERE claim_id = %s ORDER BY slot", fixture.claim_id
    )
    assert [row["slot"] for row in rows] == list(range(1, 11))


def test_a_repeated_announcement_takes_one_slot(claim_fixtures: ClaimFixtures, fixture: DocumentFixture) -> None:
    """The same document, and a form for the same key, also where the quick record was lost."""
    body = {"file_name": "a.png", "content_type": "image/png", "size": 7}
    made = []
    for _ in range(2):
        client = claim_fixtures.make_another_client().sign_in_as(fixture.member)
        made.append(client.call("POST", "/claims/{claim_id}/documents", body, key="k", claim_id=fixture.claim_id).json)
    assert made[0]["id"] == made[1]["id"]
    assert made[0]["upload"]["fields"]["key"] == made[1]["upload"]["fields"]["key"]
    assert claim_fixtures.fresh_database.query_rows(
        "SELECT count(*) AS n FROM documents WHERE claim_id = %s", fixture.claim_id
    ) == [{"n": 1}]


class ExpiringForms(FakeDocumentStore):
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
def test_an_announcement_repeated_after_its_form_ran_out_gets_one_that_is_valid(
    claim_fixtures: ClaimFixtures, lost: bool
) -> None:
    """The answer is the first one byte for byte, but for the new form."""
    folder, clock = DocumentFixture(claim_fixtures), ManualClock(TODAY)
    bucket, state = ExpiringForms(clock), InMemoryAdmissionStore(clock)
    body = {"file_name": "a.png", "content_type": "image/png", "size": len(PNG)}

    def announce() -> ApiReply:
        client = make_client(
            api, claim_fixtures.fresh_database, clock=clock, document_store=bucket, admission_store=state
        ).sign_in_as(folder.member)
        return client.call("POST", "/claims/{claim_id}/documents", body, key="k", claim_id=folder.claim_id)

    first = announce()
    row, audited = folder.read_row(first.json), folder.list_audited(first.json)
    clock.advance(UPLOAD_EXPIRES_S)
    assert not bucket.post(first.json["upload"]["fields"], PNG)
    if lost:
        state = InMemoryAdmissionStore(clock)
    again = announce()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.body.partition('"upload"')[0] == first.body.partition('"upload"')[0]
    assert bucket.post(again.json["upload"]["fields"], PNG)
    assert (folder.read_row(first.json), folder.list_audited(first.json)) == (row, audited)


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
def test_evidence_is_taken_while_somebody_works_on_the_claim(
    claim_fixtures: ClaimFixtures, state: str, status: int
) -> None:
    """A closed claim is opened again first; what was uploaded before stays to be read."""
    reply = DocumentFixture(claim_fixtures, state=state).announce()
    assert reply.status == status
    if status == 409:
        assert reply.problem == "claim-closed"


def test_evidence_is_its_members_and_staffs(claim_fixtures: ClaimFixtures, fixture: DocumentFixture) -> None:
    """Uploading is the member's alone; another member finds nothing; an agent gets nothing."""
    document = fixture.upload_document()
    assert fixture.complete(document).status == 200
    other, staff, nobody = claim_fixtures.add_member(), claim_fixtures.add_staff(), make_claims("x", "member")
    agent = sign_in(claim_fixtures.fresh_database, agent_of(claim_fixtures.fresh_database)[0])
    for who, announcing, reading in ((other, 404, 404), (staff, 403, 200), (agent, 404, 404), (nobody, 403, 403)):
        assert fixture.announce(client=claim_fixtures.client.sign_in_as(who)).status == announcing
        assert fixture.complete(document, claim_fixtures.client.sign_in_as(who)).status == announcing
        assert fixture.download(document, who).status == reading
    assert fixture.complete({"id": str(uuid4())}).status == 404
    assert fixture.download({"id": str(uuid4())}).status == 404


def test_a_document_is_found_only_in_its_own_claim(claim_fixtures: ClaimFixtures, fixture: DocumentFixture) -> None:
    """It is not found under another claim of the same member."""
    document = fixture.upload_document()
    elsewhere = {"claim_id": claim_fixtures.claim(fixture.member), "document_id": document["id"]}
    client = claim_fixtures.client.sign_in_as(fixture.member)
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
def test_an_announcement_keeps_to_its_form(
    claim_fixtures: ClaimFixtures, fixture: DocumentFixture, field: str, value: Any
) -> None:
    """Allowed are five types, up to 10 MB, and a name that is no path."""
    body = {"file_name": "a.png", "content_type": "image/png", "size": 5, field: value}
    client = claim_fixtures.client.sign_in_as(fixture.member)
    reply = client.call("POST", "/claims/{claim_id}/documents", body, claim_id=fixture.claim_id)
    assert (reply.status, reply.pointers) == (422, [f"/{field}"])


@pytest.mark.parametrize("size", [1, 10 * 1024 * 1024])
def test_the_bounds_themselves_are_taken(claim_fixtures: ClaimFixtures, fixture: DocumentFixture, size: int) -> None:
    """The largest and smallest values are accepted, and names in any script."""
    body = {"file_name": "фактура për № 1.PNG", "content_type": "image/png", "size": size}
    client = claim_fixtures.client.sign_in_as(fixture.member)
    reply = client.call("POST", "/claims/{claim_id}/documents", body, claim_id=fixture.claim_id)
    assert (reply.status, reply.json["file_name"]) == (201, body["file_name"])
