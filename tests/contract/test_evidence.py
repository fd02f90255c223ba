"""The contract of DocumentStore: one suite over the fake that tests use and the S3 that production uses."""

import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from uuid import uuid4

import httpx
import pytest

from shared.aws import clients
from shared.aws.errors import AwsError, OperatorActionNeeded, ServiceUnavailable
from shared.aws.s3 import MAGIC_BYTES, DocumentStore, S3DocumentStore, StoredObject, format_content_disposition
from tests.contract.emulated import use_aws_at
from tests.fakes.documents import FakeDocumentStore
from tests.services import EmulatorHandle, find_free_port

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 6
KEY = "claims/1/2"


@dataclass(frozen=True)
class DocumentStoreSubject:
    """A store to hold to the contract, and how a browser posts a form to it."""

    store: DocumentStore
    post: Callable[[str, Mapping[str, str], bytes], bool]

    def upload(
        self, content: bytes = PNG, *, announced: int | None = None, fields: Mapping[str, str] | None = None
    ) -> bool:
        """Announce an upload, and post it with some fields changed."""
        size = len(content) if announced is None else announced
        form = self.store.presign_upload(key=KEY, content_type="image/png", size=size)
        return self.post(form.url, {**form.fields, **(fields or {})}, content)


def _post(url: str, fields: Mapping[str, str], content: bytes) -> bool:
    return httpx.post(url, data=dict(fields), files={"file": ("any.name", content)}).is_success


@pytest.fixture(params=["fake", "s3"])
def subject(request: pytest.FixtureRequest) -> Iterator[DocumentStoreSubject]:
    """Yield a fake bucket, then a real one of the test's own."""
    if request.param == "fake":
        fake = FakeDocumentStore()
        yield DocumentStoreSubject(fake, lambda _url, fields, content: fake.post(fields, content))
        return
    emulator: EmulatorHandle = request.getfixturevalue("emulator")
    with use_aws_at(emulator.url):
        bucket = f"evidence-{uuid4().hex}"
        clients.get_s3().create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        yield DocumentStoreSubject(S3DocumentStore(clients.get_s3(), bucket), _post)


def test_a_file_posted_with_its_form_is_stored_as_announced(subject: DocumentStoreSubject) -> None:
    """Size, type and first bytes are there to be verified."""
    assert subject.upload()
    assert subject.store.read_metadata(KEY) == StoredObject(size=len(PNG), content_type="image/png")
    assert subject.store.read_first_bytes(KEY) == PNG[:MAGIC_BYTES]
    assert subject.store.read_first_bytes(KEY, 8) == PNG[:8]


def test_one_byte_more_than_announced_is_refused(subject: DocumentStoreSubject) -> None:
    """The bucket itself refuses it: a person can't fill it with what was not announced."""
    assert not subject.upload(announced=len(PNG) - 1)
    assert subject.store.read_metadata(KEY) is None


def test_an_empty_file_is_refused(subject: DocumentStoreSubject) -> None:
    """There is no evidence in it."""
    assert not subject.upload(b"", announced=10)
    assert subject.store.read_metadata(KEY) is None


@pytest.mark.parametrize("field", [{"Content-Type": "text/html"}, {"key": "claims/another/2"}])
def test_a_form_whose_key_or_type_was_changed_is_refused(subject: DocumentStoreSubject, field: dict[str, str]) -> None:
    """The form stores one key under one type, and nothing else."""
    assert not subject.upload(fields=field)
    assert subject.store.read_metadata(KEY) is None
    assert subject.store.read_metadata("claims/another/2") is None


def test_where_nothing_is_stored_there_is_nothing_to_read(subject: DocumentStoreSubject) -> None:
    """The store answers that nothing is stored, and raises nothing."""
    assert subject.store.read_metadata("claims/none") is None
    assert subject.store.read_first_bytes("claims/none") == b""


def test_a_copy_is_the_same_file_and_no_form_reaches_it(subject: DocumentStoreSubject) -> None:
    """The form stays valid for a while: what it overwrites afterwards is not what was copied."""
    assert subject.upload()
    assert subject.store.copy(KEY, "claims/kept")
    assert subject.store.read_metadata("claims/kept") == StoredObject(size=len(PNG), content_type="image/png")
    assert subject.upload(b"something else")
    assert subject.store.read_first_bytes("claims/kept") == PNG[:MAGIC_BYTES]


def test_nothing_is_copied_where_nothing_is_stored(subject: DocumentStoreSubject) -> None:
    """The store answers that nothing was copied, and raises nothing."""
    assert not subject.store.copy("claims/none", "claims/kept")
    assert subject.store.read_metadata("claims/kept") is None


def test_deleting_is_safe_to_repeat(subject: DocumentStoreSubject) -> None:
    """The sweep and a completion may meet."""
    subject.upload()
    subject.store.delete(KEY)
    subject.store.delete(KEY)
    assert subject.store.read_metadata(KEY) is None


def test_a_download_saves_under_the_files_own_name(subject: DocumentStoreSubject) -> None:
    """The link makes an attachment: an uploaded file must never run as a page of ours."""
    name = 'fatura "për" №1.png'
    link = subject.store.presign_download(key=KEY, file_name=name, content_type="image/png")
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(link).query)
    assert query["response-content-disposition"] == [format_content_disposition(name)]
    assert query["response-content-type"] == ["image/png"]


def test_a_download_link_works_for_five_minutes(emulator: EmulatorHandle) -> None:
    """The download has the same bytes that were stored."""
    with use_aws_at(emulator.url):
        bucket = f"evidence-{uuid4().hex}"
        clients.get_s3().create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        subject = DocumentStoreSubject(S3DocumentStore(clients.get_s3(), bucket), _post)
        subject.upload()
        link = subject.store.presign_download(key=KEY, file_name="a.png", content_type="image/png")
    answer = httpx.get(link)
    assert answer.content == PNG
    assert answer.headers["Content-Disposition"] == format_content_disposition("a.png")
    assert urllib.parse.parse_qs(urllib.parse.urlsplit(link).query)["X-Amz-Expires"] == ["300"]


def test_links_and_forms_name_the_buckets_own_region() -> None:
    """The global endpoint redirects, and a browser does not post a file twice."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("AWS_ENDPOINT_URL", raising=False)
        patch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        clients.get_s3.cache_clear()
        store = S3DocumentStore(clients.get_s3(), "evidence")
        clients.get_s3.cache_clear()
        form = store.presign_upload(key=KEY, content_type="image/png", size=1)
        link = store.presign_download(key=KEY, file_name="a.png", content_type="image/png")
    assert form.url == "https://evidence.s3.eu-central-1.amazonaws.com/"
    assert link.startswith("https://evidence.s3.eu-central-1.amazonaws.com/claims/1/2?")
    assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in link


CALLS: list[Callable[[DocumentStore], object]] = [
    lambda s: s.read_metadata(KEY),
    lambda s: s.read_first_bytes(KEY),
    lambda s: s.copy(KEY, "claims/kept"),
    lambda s: s.delete(KEY),
]


@pytest.mark.parametrize("call", CALLS)
def test_a_bucket_out_of_reach_is_unavailable(call: Callable[[DocumentStore], object]) -> None:
    """The store must not answer "nothing is stored", which would reject a good document."""
    with use_aws_at(f"http://127.0.0.1:{find_free_port()}"), pytest.raises(ServiceUnavailable):
        call(S3DocumentStore(clients.get_s3(), "evidence"))


@pytest.mark.parametrize("call", CALLS)
def test_a_bucket_that_is_gone_is_an_operators_to_make(
    call: Callable[[DocumentStore], object], emulator: EmulatorHandle
) -> None:
    """The store must not answer "nothing is stored", though S3 says 404 to both."""
    with use_aws_at(emulator.url), pytest.raises(OperatorActionNeeded):
        call(S3DocumentStore(clients.get_s3(), f"gone-{uuid4().hex}"))


def test_the_fake_can_be_out_of_reach_too() -> None:
    """Tests of functions need this failure."""
    fake = FakeDocumentStore()
    fake.fails = ServiceUnavailable("EndpointConnectionError")
    with pytest.raises(AwsError):
        fake.read_metadata(KEY)


@pytest.mark.parametrize(
    ("name", "plain", "true"),
    [
        ("a.png", "a.png", "a.png"),
        ("ë ç.pdf", "e c.pdf", "%C3%AB%20%C3%A7.pdf"),
        ('x"; filename="evil.exe', "x filename=evil.exe", "x%22%3B%20filename%3D%22evil.exe"),
        ("a\r\nSet-Cookie: b", "aSet-Cookie: b", "a%0D%0ASet-Cookie%3A%20b"),
        ("№", "No", "%E2%84%96"),
        ("документ", "file", "%D0%B4%D0%BE%D0%BA%D1%83%D0%BC%D0%B5%D0%BD%D1%82"),
    ],
)
def test_whatever_a_file_is_called_the_header_says_only_that(name: str, plain: str, true: str) -> None:
    """RFC 6266: a plain name for old readers, the true one for all others, and no way out of either."""
    assert format_content_disposition(name) == f"attachment; filename=\"{plain}\"; filename*=UTF-8''{true}"
