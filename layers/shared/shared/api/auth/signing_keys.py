"""The user pool's signing keys: read from its JWKS endpoint, and kept."""

import http.client
import json
import urllib.request
from collections.abc import Callable, Mapping

import jwt

from shared.clock import read_monotonic
from shared.errors import Unavailable

Fetch = Callable[[], bytes]  # raises OSError or http.client.HTTPException

FETCH_TIMEOUT_S = 3.0  # inside a request, whose caller waits
MOST_BYTES = 65_536  # a pool has two keys, of some 400 bytes each
FRESH_S = 3600.0  # until then the keys are not asked for again, unless a token names another
# How long keys are good without a word of the pool. It publishes a new key long before it signs with it, and an
# endpoint that is out of order must not sign everybody out.
STALE_S = 24 * 3600.0
# A made-up key id, or an endpoint that is out of order, must not have every request ask.
COOL_DOWN_S = 5.0


def make_https_fetch(url: str) -> Fetch:
    """Return what reads the document at `url`."""

    def fetch() -> bytes:
        with urllib.request.urlopen(url, timeout=FETCH_TIMEOUT_S) as answer:  # noqa: S310 - the pool's own address
            document: bytes = answer.read(MOST_BYTES)
            return document

    return fetch


class SigningKeys:
    """Keys by id, asked for when one is missing or all are old. `clock` is in seconds."""

    def __init__(self, fetch: Fetch, clock: Callable[[], float] = read_monotonic) -> None:
        self._fetch = fetch
        self._clock = clock
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._fetched_at = self._requested_at = float("-inf")
        self._is_failing = False

    def find(self, key_id: str) -> jwt.PyJWK | None:
        """Return the key of that id, None where the pool has none.

        Raises Unavailable where nobody can say: the endpoint gives no keys, and none that we have is it.
        """
        if self._is_due(key_id):
            self._fetch_keys()
        key = self._keys.get(key_id) if self._measure_age() <= STALE_S else None
        if key is None and self._is_failing:
            raise Unavailable("identity", retry_after_s=self._requested_at + COOL_DOWN_S - self._clock())
        return key

    def _measure_age(self) -> float:
        return self._clock() - self._fetched_at

    def _is_due(self, key_id: str) -> bool:
        is_wanted = key_id not in self._keys or self._measure_age() >= FRESH_S
        return is_wanted and self._clock() - self._requested_at >= COOL_DOWN_S

    def _fetch_keys(self) -> None:
        self._requested_at = self._clock()
        try:
            self._keys = parse_keys(self._fetch())
        except (OSError, http.client.HTTPException, ValueError):
            self._is_failing = True
        else:
            self._fetched_at, self._is_failing = self._requested_at, False


def parse_keys(document: bytes) -> Mapping[str, jwt.PyJWK]:
    """Return the keys of a JWK set (RFC 7517, 5) that can verify a signature. Raises ValueError where there is none."""
    try:
        published = [key for key in json.loads(document)["keys"] if key.get("use", "sig") == "sig"]
        keys = {key["kid"]: jwt.PyJWK(key) for key in published}
    except (KeyError, TypeError, AttributeError, jwt.PyJWTError) as error:
        raise ValueError("no key set") from error
    if not keys:
        raise ValueError("an empty key set")
    return keys
