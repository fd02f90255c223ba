"""Uploads of documents: announced, sent to the store with a signed form, and completed."""

import uuid
from collections.abc import Mapping
from typing import Any

import httpx

_FORM_EXPIRED = 403


class UploadRefused(Exception):
    """The service or the store refused the document; `status` is of its answer, `problem` its problem details."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(problem.get("detail", f"the store answered {status}"))
        self.status = status
        self.problem = problem


def upload_document(
    api: httpx.Client, claim_id: object, file_name: str, content_type: str, content: bytes, *, store: httpx.Client
) -> Mapping[str, Any]:
    """Upload a document of a claim; return it as it is available. Raise UploadRefused, httpx.TransportError.

    `api` is `client.get_httpx_client()`; `store` sends to S3, without the token. A form that has expired meanwhile is
    signed anew by repeating the announcement with its own key, which reserves no second place.
    """
    announcement = {"file_name": file_name, "content_type": content_type, "size": len(content)}
    documents, key = f"/claims/{claim_id}/documents", {"Idempotency-Key": str(uuid.uuid4())}
    for is_last in (False, True):
        announced = _read(api.post(documents, json=announcement, headers=key))
        form = announced["upload"]
        sent = store.post(form["url"], data=form["fields"], files={"file": (file_name, content, content_type)})
        if sent.status_code != _FORM_EXPIRED or is_last:
            break
    if sent.is_error:
        raise UploadRefused(sent.status_code, {})
    return _read(api.post(f"{documents}/{announced['id']}/completion"))


def _read(response: httpx.Response) -> Mapping[str, Any]:
    if response.is_error:
        raise UploadRefused(response.status_code, response.json())
    answer: Mapping[str, Any] = response.json()
    return answer
