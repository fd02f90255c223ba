"""Access tokens where the gateway does not verify them: on calls that also work without one."""

from collections.abc import Mapping
from typing import Any

import jwt

from shared.errors import Refusal, Unavailable
from shared.settings import Settings

JWKS_TIMEOUT_S = 3  # a cold fetch inside a request; keys are cached for the environment's life after
KEYS_LIFESPAN_S = 3600


class TokenVerifier:
    """Verifies the user pool's access tokens (RS256) against its published keys."""

    def __init__(self, *, issuer: str, client_id: str, keys: jwt.PyJWKClient) -> None:
        self._issuer = issuer
        self._client_id = client_id
        self._keys = keys

    @classmethod
    def of(cls, settings: Settings) -> "TokenVerifier":
        """The verifier of the settings' user pool."""
        base = settings.aws_endpoint_url or f"https://cognito-idp.{settings.aws_region}.amazonaws.com"
        keys = jwt.PyJWKClient(
            f"{base}/{settings.user_pool_id}/.well-known/jwks.json", lifespan=KEYS_LIFESPAN_S, timeout=JWKS_TIMEOUT_S
        )
        issuer = f"https://cognito-idp.{settings.aws_region}.amazonaws.com/{settings.user_pool_id}"
        return cls(issuer=issuer, client_id=settings.user_pool_client_id, keys=keys)

    def __call__(self, token: str) -> Mapping[str, Any]:
        """The token's claims. Raises Refusal("unauthenticated"), or Unavailable where the keys can't be had."""
        try:
            key = self._keys.get_signing_key_from_jwt(token).key
            claims = jwt.decode(
                token,
                key,
                algorithms=["RS256"],
                issuer=self._issuer,
                options={"require": ["exp", "sub"], "verify_aud": False},
            )
        except jwt.PyJWKClientConnectionError as error:
            raise Unavailable("identity") from error
        except jwt.PyJWTError:
            raise _unauthenticated() from None
        if claims.get("token_use") != "access" or claims.get("client_id") != self._client_id:
            raise _unauthenticated()
        return dict(claims)


def _unauthenticated() -> Refusal:
    return Refusal("unauthenticated", headers={"WWW-Authenticate": "Bearer"})
