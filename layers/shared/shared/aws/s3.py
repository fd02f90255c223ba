"""The documents' bucket: files go directly between the person and S3, never through a function."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

from shared.aws.errors import BOTO_ERRORS, classify_error, read_error_code

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Long enough for 10 MB over a slow phone that starts at once; the form permits one key only.
UPLOAD_EXPIRES_S = 900
DOWNLOAD_EXPIRES_S = 300
# Every accepted type can be recognised within so many bytes: a PDF's header may begin that far into the file.
MAGIC_BYTES = 1024

# The answer to a HEAD request has no body, so its code is the status: either the object or the whole bucket is missing.
_MISSING = "404"
_NO_OBJECT = "NoSuchKey"
# S3's error for a range of an empty object.
_NO_SUCH_BYTE = "InvalidRange"


@dataclass(frozen=True, slots=True)
class PresignedUpload:
    """A form to post a file with: the address, and the fields that precede the file."""

    url: str
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object in the bucket: its size in bytes and its content type."""

    size: int
    content_type: str


class DocumentStore(Protocol):
    """The bucket of documents. Every method may raise an AwsError."""

    def presign_upload(self, *, key: str, content_type: str, size: int) -> PresignedUpload:
        """Return a form that stores exactly this key, as this type, at most `size` bytes; valid for 15 minutes."""
        ...

    def read_metadata(self, key: str) -> StoredObject | None:
        """Return the size and type of the object under the key, None if there is no object."""
        ...

    def read_first_bytes(self, key: str, count: int = MAGIC_BYTES) -> bytes:
        """Return the first `count` bytes, or fewer if the object is shorter; none if there is no object."""
        ...

    def copy(self, key: str, to: str) -> bool:
        """Copy the object to another key; return False if there is no object."""
        ...

    def delete(self, key: str) -> None:
        """Delete the object; a missing object is no error."""
        ...

    def presign_download(self, *, key: str, file_name: str, content_type: str) -> str:
        """Return a link that downloads the object under this file name; valid for 5 minutes."""
        ...


class S3DocumentStore:
    """A DocumentStore in one S3 bucket."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def presign_upload(self, *, key: str, content_type: str, size: int) -> PresignedUpload:
        """Return an upload form, signed locally, without a call; see DocumentStore.presign_upload."""
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
        """Return an object's metadata; see DocumentStore.read_metadata."""
        try:
            answer = self._client.head_object(Bucket=self._bucket, Key=key)
        except BOTO_ERRORS as error:
            if read_error_code(error) == _MISSING:
                self._require_bucket()
                return None
            raise classify_error(error) from None
        return StoredObject(size=answer["ContentLength"], content_type=answer["ContentType"])

    def _require_bucket(self) -> None:
        """Raise OperatorActionNeeded if the bucket itself is missing; needs s3:ListBucket, as a truthful 404 does."""
        try:
            self._client.head_bucket(Bucket=self._bucket)
        except BOTO_ERRORS as error:
            raise classify_error(error) from None

    def read_first_bytes(self, key: str, count: int = MAGIC_BYTES) -> bytes:
        """Return an object's first bytes; see DocumentStore.read_first_bytes."""
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=key, Range=f"bytes=0-{count - 1}")
            return answer["Body"].read()
        except BOTO_ERRORS as error:
            if read_error_code(error) in (_NO_OBJECT, _NO_SUCH_BYTE):
                return b""
            raise classify_error(error) from None

    def copy(self, key: str, to: str) -> bool:
        """Copy an object within S3, with its content type; see DocumentStore.copy.

        The copy is of one complete upload.
        """
        try:
            self._client.copy_object(Bucket=self._bucket, Key=to, CopySource={"Bucket": self._bucket, "Key": key})
        except BOTO_ERRORS as error:
            if read_error_code(error) == _NO_OBJECT:
                return False
            raise classify_error(error) from None
        return True

    def delete(self, key: str) -> None:
        """Delete an object; see DocumentStore.delete."""
        try:
            self._client.delete_object(Bucket=self._bucket, Key=key)
        except BOTO_ERRORS as error:
            raise classify_error(error) from None

    def presign_download(self, *, key: str, file_name: str, content_type: str) -> str:
        """Return a download link, signed locally, without a call; see DocumentStore.presign_download."""
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
    """Return the header (RFC 6266) that saves a download under this name, whatever characters it has."""
    plain = unicodedata.normalize("NFKD", file_name).encode("ascii", "ignore").decode()
    plain = "".join(c for c in plain if c.isprintable() and c not in '"\\%/;')
    return f"attachment; filename=\"{plain or 'file'}\"; filename*=UTF-8''{quote(file_name, safe='')}"
