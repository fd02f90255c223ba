"""A client of the Interdomestik API that repeats calls safely.

`connect` returns the client that every generated function takes; the functions are in `interdomestik_client.generated`.
"""

from interdomestik_client.connection import connect
from interdomestik_client.pages import iterate
from interdomestik_client.transport import RetryingTransport
from interdomestik_client.uploads import UploadRefused, upload_document

__all__ = ["RetryingTransport", "UploadRefused", "connect", "iterate", "upload_document"]
