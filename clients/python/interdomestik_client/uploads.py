"""Uploads of documents: announced, sent to the store with a signed form, and completed."""

import random
import time
import uuid
from collections.abc import Mapping
from typing import Any

import httpx

from interdomestik_client.retries import RetryPolicy

_FORM_EXPIRED = 403
_FAULT = 500  # the first status of those that are the store's fault
_File = tuple[str, bytes, str]  # its name, its content and its type


class UploadRefused(Exception):
    """The service or the store refused the document; `status` is of its answer, `problem` its problem details."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(problem.get("detail", f"the store answered {status}"))
        self.status = status
        self.problem = problem


def upload_document(
    api: httpx.Client,
    claim_id: object,
    file_name: str,
    content_type: str,
    content: bytes,
    *,
    store: httpx.Client,
    policy: RetryPolicy | None = None,
) -> Mapping[str, Any]:
    """Upload a document of a claim; return it as it is available. Raise UploadRefused, httpx.TransportError.

    `api` is `client.get_httpx_client()`; `store` sends to S3, without the token. An upload whose answer is lost is
    repeated as `policy` says: the same file is stored again, in the same place. A form that has expired meanwhile is
    signed anew by repeating the announcement with its own key, which reserves no second place.
    """
    announcement = {"file_name": file_name, "content_type": content_type, "size": len(content)}
    documents, key = f"/claims/{claim_id}/documents", {"Idempotency-Key": str(uuid.uuid4())}
    for is_last in (False, True):
        announced = _read(api.post(documents, json=announcement, headers=key))
        sent = _send(store, announced["upload"], (file_name, content, content_type), policy or RetryPolicy())
        if sent.status_code != _FORM_EXPIRED or is_last:
            break
    if sent.is_error:
        raise UploadRefused(sent.status_code, {})
    return _read(api.post(f"{documents}/{announced['id']}/completion"))


def _send(store: httpx.Client, form: Mapping[str, Any], file: _File, policy: RetryPolicy) -> httpx.Response:
    """Return the store's answer to an upload, repeated while it is lost or a fault and there is time."""
    deadline = time.monotonic() + policy.patience_s
    attempt = 0
    while True:
        pause = policy.choose_pause(attempt, None, random.random)
        is_last = time.monotonic() + pause >= deadline
        try:
            answer = store.post(form["url"], data=form["fields"], files={"file": file})
        except httpx.TransportError:
            if is_last:
                raise
        else:
            if is_last or answer.status_code < _FAULT:
                return answer
        time.sleep(pause)
        attempt += 1


def _read(response: httpx.Response) -> Mapping[str, Any]:
    if response.is_error:
        raise UploadRefused(response.status_code, response.json())
    answer: Mapping[str, Any] = response.json()
    return answer
