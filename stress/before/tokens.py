"""The check of access tokens, by the keys that the user pool publishes."""

import base64
import json
import time
import urllib.request
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA256

FETCH_TIMEOUT_S = 5.0


class TokenRejected(Exception):
    """The token is not a valid access token of this user pool and client."""


class TokenChecker:
    """The checker of a user pool's access tokens (RS256): signature, expiry, issuer and client."""

    def __init__(self, keys: Mapping[str, RSAPublicKey], *, issuer: str, client_id: str) -> None:
        self._keys = keys
        self._issuer = issuer
        self._client_id = client_id

    def read_subject(self, token: str) -> str:
        """Return whom a token is for. Raise TokenRejected."""
        try:
            head, body, signature = token.split(".")
            header, claims = json.loads(_decode(head)), json.loads(_decode(body))
            if header["alg"] != "RS256":
                raise TokenRejected("another algorithm")
            self._keys[header["kid"]].verify(_decode(signature), f"{head}.{body}".encode(), PKCS1v15(), SHA256())
            return self._check_claims(claims)
        except (ValueError, KeyError, TypeError, InvalidSignature) as error:
            raise TokenRejected(type(error).__name__) from error

    def _check_claims(self, claims: Mapping[str, Any]) -> str:
        ours = {"iss": self._issuer, "client_id": self._client_id, "token_use": "access"}
        if any(claims.get(name) != value for name, value in ours.items()) or claims["exp"] <= time.time():
            raise TokenRejected("expired, or of somebody else")
        return str(claims["sub"])


def fetch_keys(url: str) -> dict[str, RSAPublicKey]:
    """Return the keys of a JWKS document, by their ids. Raise OSError, ValueError, KeyError."""
    with urllib.request.urlopen(url, timeout=FETCH_TIMEOUT_S) as answer:  # noqa: S310 - the user pool's own address
        document = json.load(answer)
    return {key["kid"]: _read_key(key) for key in document["keys"]}


def _read_key(key: Mapping[str, str]) -> RSAPublicKey:
    exponent, modulus = (int.from_bytes(_decode(key[name])) for name in ("e", "n"))
    return RSAPublicNumbers(exponent, modulus).public_key()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
