"""The Cognito authorizer: verifies access tokens of our user pool, their expiry and their scope, by the pool's keys."""

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import jwt

from local.gateway.gateway_responses import AUTHORIZER_FAILURE, EXPIRED, UNAUTHORIZED, GatewayRejection
from local.stack import Stack

SCOPE = "aws.cognito.signin.user.admin"  # the scope in every access token of a password sign-in
RESULT_TTL_S = 300.0  # API Gateway's default; never past the token's own expiry
RESULTS_KEPT = 10_000
KEYS_ASKED_EVERY_S = 5.0  # so that tokens with invented key ids don't cause a call to the pool each

Fetch = Callable[[str], Awaitable[bytes]]
Claims = dict[str, str]


def convert_claims(claims: Mapping[str, Any]) -> Claims:
    """Return claims as REST APIs pass them on: all strings, lists joined by commas, `exp` and `iat` as dates."""
    return {name: _convert_claim(name, value) for name, value in claims.items()}


def _parse_key_set(document: bytes) -> dict[str, jwt.PyJWK]:
    try:
        return {key["kid"]: jwt.PyJWK(key) for key in json.loads(document)["keys"]}
    except (ValueError, KeyError, TypeError, jwt.PyJWKError) as error:
        raise OSError("the pool's answer is no key set") from error


def _convert_claim(name: str, value: Any) -> str:
    if name in ("exp", "iat"):
        return datetime.fromtimestamp(value, UTC).strftime("%a %b %d %H:%M:%S UTC %Y")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value)


class Authorizer:
    """The check of bearer tokens. `fetch` reads the pool's JWKS; `clock` returns the seconds since the epoch."""

    def __init__(self, stack: Stack, fetch: Fetch, clock: Callable[[], float] = time.time) -> None:
        self._stack = stack
        self._fetch = fetch
        self._clock = clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._keys_asked_at = float("-inf")
        self._asking = asyncio.Lock()
        self._results: OrderedDict[str, tuple[float, Claims]] = OrderedDict()

    async def check_header(self, header: str | None) -> Claims | GatewayRejection:
        """Return the claims of an Authorization header's token (with or without "Bearer"), or why it is rejected."""
        token = (header or "").removeprefix("Bearer ").strip()
        known = self._results.get(token)
        if known and known[0] > self._clock():
            return known[1]
        try:
            claims = await self._verify_token(token)
        except jwt.ExpiredSignatureError:
            return EXPIRED
        except jwt.InvalidTokenError:
            return UNAUTHORIZED
        except OSError:
            return AUTHORIZER_FAILURE
        return self._remember_claims(token, claims)

    async def _verify_token(self, token: str) -> dict[str, Any]:
        key = await self._find_key(jwt.get_unverified_header(token).get("kid", ""))
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=["RS256"],
            issuer=self._stack.issuer,
            options={"require": ["exp", "iat", "sub"], "verify_aud": False},
        )
        ours = claims.get("token_use") == "access" and claims.get("client_id") == self._stack.client_id
        if not ours or SCOPE not in str(claims.get("scope", "")).split():
            raise jwt.InvalidTokenError("not an access token of this pool's client and scope")
        return claims

    async def _find_key(self, kid: str) -> jwt.PyJWK:
        async with self._asking:
            if kid not in self._keys and self._clock() - self._keys_asked_at >= KEYS_ASKED_EVERY_S:
                self._keys = _parse_key_set(await self._fetch(self._stack.jwks_url))
                self._keys_asked_at = self._clock()
        if kid not in self._keys:
            raise jwt.InvalidTokenError("unknown key")
        return self._keys[kid]

    def _remember_claims(self, token: str, claims: dict[str, Any]) -> Claims:
        texts = convert_claims(claims)
        self._results[token] = (min(self._clock() + RESULT_TTL_S, float(claims["exp"])), texts)
        if len(self._results) > RESULTS_KEPT:
            self._results.popitem(last=False)
        return texts
