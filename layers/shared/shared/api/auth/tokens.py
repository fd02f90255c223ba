"""Verification of access tokens that the gateway does not verify: on HEAD, and on calls that work without a token."""

from collections.abc import Mapping
from typing import Any

import jwt

from shared.api.auth.caller import EXPIRED, NOT_OURS, NOT_YET_VALID, TokenFault, make_unauthenticated_refusal
from shared.api.auth.signing_keys import SigningKeys, make_https_fetch
from shared.settings import Settings

# Clocks differ: accept a token issued up to 10 s in the future or expired up to 10 s ago.
LEEWAY_S = 10
# The scope of every access token that comes from a sign-in at Cognito; the gateway's authorizer requires it too.
SCOPE = "aws.cognito.signin.user.admin"


class TokenVerifier:
    """The check of the user pool's access tokens (RS256) with its published keys."""

    def __init__(self, *, issuer: str, client_id: str, keys: SigningKeys) -> None:
        self._issuer = issuer
        self._client_id = client_id
        self._keys = keys

    @classmethod
    def from_settings(cls, settings: Settings) -> "TokenVerifier":
        """Return the verifier of the settings' user pool."""
        base = settings.aws_endpoint_url or f"https://cognito-idp.{settings.aws_region}.amazonaws.com"
        keys = SigningKeys(make_https_fetch(f"{base}/{settings.user_pool_id}/.well-known/jwks.json"))
        issuer = f"https://cognito-idp.{settings.aws_region}.amazonaws.com/{settings.user_pool_id}"
        return cls(issuer=issuer, client_id=settings.user_pool_client_id, keys=keys)

    def __call__(self, token: str) -> Mapping[str, Any]:
        """Return the token's claims. Raise Refusal("unauthenticated"), or Unavailable if the keys can't be fetched."""
        try:
            claims = self._decode(token)
        except jwt.PyJWTError as error:
            raise make_unauthenticated_refusal(_find_fault(error)) from None
        is_ours = claims.get("token_use") == "access" and claims.get("client_id") == self._client_id
        if not is_ours or SCOPE not in str(claims.get("scope", "")).split():
            raise make_unauthenticated_refusal(NOT_OURS)
        return claims

    def _decode(self, token: str) -> dict[str, Any]:
        key = self._keys.find(str(jwt.get_unverified_header(token).get("kid")))
        if key is None:
            raise make_unauthenticated_refusal(NOT_OURS)
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=["RS256"],
            issuer=self._issuer,
            leeway=LEEWAY_S,
            options={"require": ["exp", "sub"], "verify_aud": False},
        )
        return claims


def _find_fault(error: jwt.PyJWTError) -> TokenFault:
    # The signature is checked before the times: only a token of this pool is ever called expired.
    if isinstance(error, jwt.ExpiredSignatureError):
        return EXPIRED
    return NOT_YET_VALID if isinstance(error, jwt.ImmatureSignatureError) else NOT_OURS
