"""Evidence while the bucket's circuit is open: what needs the bucket is answered with Retry-After, the rest works."""

from dataclasses import dataclass

import pytest

from claims.app import api
from shared.aws.circuit_protected import CircuitProtectedDocumentStore
from shared.aws.errors import ServiceUnavailable
from shared.circuit.store import force_circuit
from shared.settings import Settings
from tests.api_client import ApiClient
from tests.breakers import ManualTime, make_service_breaker
from tests.databases import FreshDatabase
from tests.fakes.circuits import InMemoryCircuitStore
from tests.fakes.documents import FakeDocumentStore
from tests.integration.claims.sample_claims import ClaimFixtures
from tests.integration.claims.test_documents import PNG, DocumentFixture
from tests.integration.function_client import make_client

STORAGE = Settings().find_circuit_policy("storage")


@dataclass(frozen=True)
class ProtectedFolder:
    """A member's folder, whose bucket stands behind a circuit."""

    folder: DocumentFixture
    bucket: FakeDocumentStore
    client: ApiClient
    store: InMemoryCircuitStore
    time: ManualTime


@pytest.fixture
def protected_document(fresh_database: FreshDatabase) -> ProtectedFolder:
    bucket, store, time = FakeDocumentStore(), InMemoryCircuitStore(), ManualTime()
    client = make_client(
        api,
        fresh_database,
        document_store=CircuitProtectedDocumentStore(bucket, make_service_breaker(store, time, STORAGE)),
    )
    folder = DocumentFixture(ClaimFixtures(fresh_database, bucket, client))
    return ProtectedFolder(folder, bucket, client, store, time)


def test_completing_before_an_open_circuit_is_503_until_the_probes_time(protected_document: ProtectedFolder) -> None:
    """The bucket is not called; announcing works, since forms are signed here; then everything does."""
    document = protected_document.folder.upload_document()
    protected_document.bucket.fails = ServiceUnavailable("EndpointConnectionError")
    failed = [protected_document.folder.complete(document) for _ in range(STORAGE.failures)]
    assert {(reply.status, reply.headers["Retry-After"]) for reply in failed} == {(503, "1")}
    protected_document.bucket.fails = AssertionError("called")  # type: ignore[assignment]
    refused = protected_document.folder.complete(document)
    assert (refused.status, refused.problem, refused.headers["Retry-After"]) == (503, "unavailable", "30")
    protected_document.time.advance(10)
    assert protected_document.folder.complete(document).headers["Retry-After"] == "20"
    assert protected_document.folder.announce().status == 201
    assert protected_document.folder.read_row(document)["state"] == "pending"
    protected_document.bucket.fails = None
    protected_document.time.advance(20)
    assert protected_document.folder.complete(document).json["state"] == "available"
    assert protected_document.store.read("storage").state == "closed"


def test_a_link_to_a_document_needs_no_bucket(protected_document: ProtectedFolder) -> None:
    """The function signs it, whatever state the circuit has."""
    document, other = protected_document.folder.upload_document(), protected_document.folder.upload_document()
    assert protected_document.folder.complete(document).status == 200
    protected_document.bucket.fails = ServiceUnavailable("EndpointConnectionError")
    for _ in range(STORAGE.failures):
        protected_document.folder.complete(other)
    assert protected_document.store.read("storage").state == "open"
    assert protected_document.folder.download(document).status == 200


def test_a_file_that_is_not_there_is_an_answer(protected_document: ProtectedFolder) -> None:
    """It opens no circuit however often it is asked for, since the bucket works."""
    document = protected_document.folder.announce().json
    assert {protected_document.folder.complete(document).problem for _ in range(3 * STORAGE.failures)} == {
        "document-not-uploaded"
    }
    assert protected_document.store.read("storage").state == "closed"
    assert protected_document.bucket.post(document["upload"]["fields"], PNG)
    assert protected_document.folder.complete(document).status == 200


def test_a_verdict_stands_though_the_circuit_opens_before_the_upload_is_removed(
    protected_document: ProtectedFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The upload that is left expires by itself."""
    document = protected_document.folder.upload_document()
    look = protected_document.bucket.read_first_bytes

    def look_last(key: str, count: int) -> bytes:
        head = look(key, count)
        force_circuit(protected_document.store, STORAGE, "open", protected_document.time())
        protected_document.time.advance(STORAGE.refresh_s)
        return head

    monkeypatch.setattr(protected_document.bucket, "read_first_bytes", look_last)
    assert protected_document.folder.complete(document).json["state"] == "available"
    assert len(protected_document.bucket.objects) == 2, "the upload is still there"
