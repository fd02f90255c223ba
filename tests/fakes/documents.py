"""A bucket of evidence in memory."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from shared.aws.errors import AwsError
from shared.aws.s3 import MAGIC_BYTES, PresignedUpload, StoredObject, format_content_disposition

URL = "https://evidence.example.test/"


@dataclass(frozen=True)
class StoredFile:
    """An object's bytes, and the type it was stored under."""

    content: bytes
    content_type: str


class FakeDocumentStore:
    """A DocumentStore; `fails`, while set, is raised by every call that would leave the process."""

    def __init__(self) -> None:
        self.objects: dict[str, StoredFile] = {}
        self.fails: AwsError | None = None
        self._forms: dict[str, tuple[str, int]] = {}

    def presign_upload(self, *, key: str, content_type: str, size: int) -> PresignedUpload:
        self._forms[key] = (content_type, size)
        return PresignedUpload(URL, {"key": key, "Content-Type": content_type})

    def post(self, fields: Mapping[str, str], content: bytes) -> bool:
        """Keep the file of a filled-in form, or refuse it, as the bucket does."""
        key = fields["key"]
        content_type, size = self._forms.get(key, ("", 0))
        if fields["Content-Type"] != content_type or not 1 <= len(content) <= size:
            return False
        self.put(key, content, content_type)
        return True

    def put(self, key: str, content: bytes, content_type: str) -> None:
        """Store an object, as an upload would."""
        self.objects[key] = StoredFile(content, content_type)

    def read_metadata(self, key: str) -> StoredObject | None:
        self._check_reachable()
        kept = self.objects.get(key)
        return StoredObject(len(kept.content), kept.content_type) if kept else None

    def read_first_bytes(self, key: str, count: int = MAGIC_BYTES) -> bytes:
        self._check_reachable()
        kept = self.objects.get(key)
        return kept.content[:count] if kept else b""

    def copy(self, key: str, to: str) -> bool:
        self._check_reachable()
        kept = self.objects.get(key)
        if kept is not None:
            self.objects[to] = kept
        return kept is not None

    def delete(self, key: str) -> None:
        self._check_reachable()
        self.objects.pop(key, None)

    def presign_download(self, *, key: str, file_name: str, content_type: str) -> str:
        query = {
            "response-content-disposition": format_content_disposition(file_name),
            "response-content-type": content_type,
        }
        return f"{URL}{key}?{urlencode(query)}"

    def _check_reachable(self) -> None:
        if self.fails is not None:
            raise self.fails
