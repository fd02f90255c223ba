"""The client that the generated functions take, on the transport that repeats."""

from urllib.parse import urlsplit

import httpx

from interdomestik_client.generated.client import AuthenticatedClient, Client
from interdomestik_client.retries import RetryPolicy
from interdomestik_client.transport import RetryingTransport

TIMEOUT_S = 35.0  # of one attempt; the gateway gives up after 29


def connect(
    url: str,
    *,
    token: str | None = None,
    policy: RetryPolicy | None = None,
    inner: httpx.BaseTransport | None = None,
) -> AuthenticatedClient | Client:
    """Return a client of the API at `url` (with its stage, as in https://…/api), signed in if it has a token."""
    transport = RetryingTransport(inner, base_path=urlsplit(url).path, policy=policy)
    options = {"timeout": httpx.Timeout(TIMEOUT_S), "httpx_args": {"transport": transport}}
    return AuthenticatedClient(url, token, **options) if token else Client(url, **options)
