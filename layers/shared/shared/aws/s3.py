"""The evidence store on S3: files go from the person to the bucket and back without passing through us."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

from shared.aws.errors import BOTO_ERRORS, classify_error, read_error_code

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Long enough for 10 MB over a slow phone that starts at once; the form names one key, and only that.
UPLOAD_EXPIRES_S = 900
DOWNLOAD_EXPIRES_S = 300
# Every type we take shows itself within this many bytes: a PDF's header may stand so far from the beginning.
MAGIC_BYTES = 1024

# A HEAD request is answered without a body, so its code is the status: the object is missing, or all of the bucket is.
_MISSING = "404"
_NO_OBJECT = "NoSuchKey"
# An empty object has no first byte, and S3 says so.
_NO_SUCH_BYTE = "InvalidRange"


@dataclass(frozen=True, slots=True)
class PresignedUpload:
    """A form to post a file with: the address, and the fields that go before the file."""

    url: str
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as the bucket has it: its size in bytes and the content type it was stored under."""

    size: int
    content_type: str


class DocumentStore(Protocol):
    """The bucket of evidence. Every method may raise an AwsError."""

    def presign_upload(self, *, key: str, content_type: str, size: int) -> PresignedUpload:
        """Return a form that stores exactly this key, as this type, at most `size` bytes; for 15 minutes."""
        ...

    def read_metadata(self, key: str) -> StoredObject | None:
        """Return what is stored under the key, None where nothing is."""
        ...

    def read_first_bytes(self, key: str, count: int = MAGIC_BYTES) -> bytes:
        """Return the first `count` bytes, fewer where there are fewer, none where nothing is stored."""
        ...

    def copy(self, key: str, to: str) -> bool:
        """Keep what is stored under the key under another one too; False where nothing is stored."""
        ...

    def delete(self, key: str) -> None:
        """Remove the object; nothing happens where there is none."""
        ...

    def presign_download(self, *, key: str, file_name: str, content_type: str) -> str:
        """Return a link to the object, as an attachment of that name; for 5 minutes."""
        ...


class S3DocumentStore:
    """An DocumentStore in one S3 bucket."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def presign_upload(self, *, key: str, content_type: str, size: int) -> PresignedUpload:
        """See DocumentStore.presign_upload. Signed here, without a call."""
        try:
            form = self._client.generate_presigned_post(
                self._bucket,
                key,
                Fields={"Content-Type": content_type},
                Conditions=[{"Content-Type": content_type}, ["content-length-range", 1, size]],
                ExpiresIn=UPLOAD_EXPIRES_S,
            )
        except BOTO_ERRORS as error:
            raise classify_error(error) from None
        return PresignedUpload(url=form["url"], fields=form["fields"])

    def read_metadata(self, key: str) -> StoredObject | None:
        """See DocumentStore.read_metadata."""
        try:
            answer = self._client.head_object(Bucket=self._bucket, Key=key)
        except BOTO_ERRORS as error:
            if read_error_code(error) == _MISSING:
                self._require_bucket()
                return None
            raise classify_error(error) from None
        return StoredObject(size=answer["ContentLength"], content_type=answer["ContentType"])

    def _require_bucket(self) -> None:
        """Raise OperatorActionNeeded where the bucket itself is gone; needs s3:ListBucket, as an honest 404 does."""
        try:
            self._client.head_bucket(Bucket=self._bucket)
        except BOTO_ERRORS as error:
            raise classify_error(error) from None

    def read_first_bytes(self, key: str, count: int = MAGIC_BYTES) -> bytes:
        """See DocumentStore.read_first_bytes."""
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=key, Range=f"bytes=0-{count - 1}")
            return answer["Body"].read()
        except BOTO_ERRORS as error:
            if read_error_code(error) in (_NO_OBJECT, _NO_SUCH_BYTE):
                return b""
            raise classify_error(error) from None

    def copy(self, key: str, to: str) -> bool:
        """See DocumentStore.copy. S3 copies by itself, with the content type; what is copied is one whole upload."""
        try:
            self._client.copy_object(Bucket=self._bucket, Key=to, CopySource={"Bucket": self._bucket, "Key": key})
        except BOTO_ERRORS as error:
            if read_error_code(error) == _NO_OBJECT:
                return False
            raise classify_error(error) from None
        return True

    def delete(self, key: str) -> None:
        """See DocumentStore.delete."""
        try:
            self._client.delete_object(Bucket=self._bucket, Key=key)
        except BOTO_ERRORS as error:
            raise classify_error(error) from None

    def presign_download(self, *, key: str, file_name: str, content_type: str) -> str:
        """See DocumentStore.presign_download. Signed here, without a call."""
        params = {
            "Bucket": self._bucket,
            "Key": key,
            "ResponseContentDisposition": format_content_disposition(file_name),
            "ResponseContentType": content_type,
        }
        try:
            return self._client.generate_presigned_url("get_object", Params=params, ExpiresIn=DOWNLOAD_EXPIRES_S)
        except BOTO_ERRORS as error:
            raise classify_error(error) from None


def format_content_disposition(file_name: str) -> str:
    """Return the header (RFC 6266) that saves a download under the name, whatever the name holds."""
    plain = unicodedata.normalize("NFKD", file_name).encode("ascii", "ignore").decode()
    plain = "".join(c for c in plain if c.isprintable() and c not in '"\\%/;')
    return f"attachment; filename=\"{plain or 'file'}\"; filename*=UTF-8''{quote(file_name, safe='')}"
