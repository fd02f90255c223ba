"""The Python client's upload of a document, without a network: what is repeated, and what is refused at once."""

from collections.abc import Iterator

import httpx
import pytest

from interdomestik_client import UploadRefused, upload_document
from interdomestik_client.retries import RetryPolicy

STORE = "https://store.example.test/documents"
QUICK = RetryPolicy(patience_s=1.0, base_s=0.001, cap_s=0.01)
Step = int | Exception


class ScriptedApi:
    """The API: it announces one document, however often it is asked with one key, and completes it."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.completions = 0

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer a call of the client."""
        if request.url.path.endswith("/completion"):
            self.completions += 1
            return httpx.Response(200, json={"id": "d", "state": "available"})
        self.keys.append(request.headers["Idempotency-Key"])
        fields = {"key": "claims/c/d", "policy": f"signed {len(self.keys)}"}
        return httpx.Response(201, json={"id": "d", "upload": {"url": STORE, "fields": fields}})


class ScriptedStore:
    """The store: it answers one step after another, the last one for ever, and keeps the uploads."""

    def __init__(self, *steps: Step) -> None:
        self._steps: Iterator[Step] = iter(steps)
        self._last = steps[-1]
        self.uploads: list[bytes] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Keep the file, and answer or lose the answer."""
        self.uploads.append(request.read())
        step = next(self._steps, self._last)
        if isinstance(step, Exception):
            raise step
        return httpx.Response(step)


def upload(api: ScriptedApi, store: ScriptedStore) -> str:
    """Upload a document; return the state that it is answered with."""
    with (
        httpx.Client(base_url="https://api.example.test/api", transport=httpx.MockTransport(api.answer)) as calls,
        httpx.Client(transport=httpx.MockTransport(store.answer)) as stored,
    ):
        document = upload_document(calls, "c", "pass.txt", "text/plain", b"Boarding pass", store=stored, policy=QUICK)
    return str(document["state"])


@pytest.mark.parametrize("lost", [httpx.ReadError("cut"), httpx.ConnectError("refused"), 500, 503])
def test_an_upload_whose_answer_is_lost_is_stored_again_in_the_same_place(lost: Step) -> None:
    """With the same form; it is announced once and completed once."""
    api, store = ScriptedApi(), ScriptedStore(lost, lost, 204)
    assert upload(api, store) == "available"
    assert len(store.uploads) == 3
    assert all(b"Boarding pass" in sent and b"signed 1" in sent for sent in store.uploads)
    assert (len(api.keys), api.completions) == (1, 1)


def test_a_form_that_has_expired_is_signed_anew_for_the_same_document() -> None:
    """The announcement is repeated with its own key; a second form that is refused is the end."""
    api, store = ScriptedApi(), ScriptedStore(403, 204)
    assert upload(api, store) == "available"
    assert (len(api.keys), len(set(api.keys))) == (2, 1)
    assert b"signed 2" in store.uploads[1]
    with pytest.raises(UploadRefused) as refused:
        upload(ScriptedApi(), store := ScriptedStore(403))
    assert (refused.value.status, len(store.uploads)) == (403, 2)


def test_what_the_store_refuses_is_not_sent_again() -> None:
    """A file of another size, for instance."""
    api, store = ScriptedApi(), ScriptedStore(400)
    with pytest.raises(UploadRefused) as refused:
        upload(api, store)
    assert (refused.value.status, len(store.uploads), api.completions) == (400, 1, 0)


@pytest.mark.parametrize("lasting", [httpx.ReadError("cut"), 503])
def test_patience_ends_with_the_store_s_last_answer_or_error(lasting: Step) -> None:
    """Nothing is completed then."""
    api, store = ScriptedApi(), ScriptedStore(lasting)
    with pytest.raises(UploadRefused if isinstance(lasting, int) else httpx.ReadError):
        upload(api, store)
    assert len(store.uploads) > 10
    assert api.completions == 0
