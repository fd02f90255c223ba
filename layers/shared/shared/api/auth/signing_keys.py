"""The user pool's signing keys, fetched from its JWKS endpoint and cached."""

import http.client
import json
import urllib.request
from collections.abc import Callable, Mapping

import jwt

from shared.api.auth.rs256 import SigningKey, can_verify
from shared.clock import read_monotonic
from shared.errors import Unavailable
from shared.logging import logger

Fetch = Callable[[], bytes]  # raises OSError or http.client.HTTPException

FETCH_TIMEOUT_S = 3.0  # within a request, whose client waits
MOST_BYTES = 65_536  # a pool has two keys, of some 400 bytes each
FRESH_S = 3600.0  # until then the keys are fetched again only if a token names an unknown one
# How long keys stay valid while the endpoint does not answer. The pool publishes a new key long before it signs with
# it, and an endpoint that is down must not sign everybody out.
STALE_S = 24 * 3600.0
# Invented key ids, or an endpoint that is down, must not cause a fetch for each request.
COOL_DOWN_S = 5.0


def make_https_fetch(url: str) -> Fetch:
    """Return a function that fetches the document at `url`."""

    def fetch() -> bytes:
        with urllib.request.urlopen(url, timeout=FETCH_TIMEOUT_S) as answer:  # noqa: S310 - the pool's own address
            document: bytes = answer.read(MOST_BYTES)
            return document

    return fetch


class SigningKeys:
    """Keys by id, fetched if one is missing or all are old. `clock` returns seconds."""

    def __init__(self, fetch: Fetch, clock: Callable[[], float] = read_monotonic) -> None:
        self._fetch = fetch
        self._clock = clock
        self._keys: Mapping[str, SigningKey] = {}
        self._fetched_at = self._requested_at = float("-inf")
        self._is_failing = False

    def find(self, key_id: str) -> SigningKey | None:
        """Return the key of this id, None if the pool has no such key.

        Raise Unavailable if that can't be known: the endpoint returns no keys, and no cached key has this id.
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


def parse_keys(document: bytes) -> Mapping[str, SigningKey]:
    """Return the keys of a JWK set (RFC 7517, 5) that can verify a signature. Raise ValueError if there are none.

    A key that is broken, too short or without an id is skipped and logged; the others still verify.
    """
    try:
        listed = json.loads(document)["keys"]
    except (KeyError, TypeError) as error:
        raise ValueError("no key set") from error
    keys: dict[str, SigningKey] = {}
    for jwk in listed if isinstance(listed, list) else ():
        try:
            if can_verify(jwk):
                keys[jwk["kid"]] = SigningKey(jwk)
        except (KeyError, TypeError, AttributeError, jwt.PyJWTError) as error:
            key_id = jwk.get("kid") if isinstance(jwk, dict) else None
            logger.warning("signing_key_skipped", extra={"key_id": str(key_id), "error": type(error).__name__})
    if not keys:
        raise ValueError("no key set")
    return keys
