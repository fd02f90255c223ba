"""Keys by which PyJWT verifies RS256 signatures (RFC 7518, 3.3) with PyCryptodome.

PyJWT's own keys need the package cryptography, which would make the layer larger by nearly half for this one check.
tests/unit/api/test_rs256.py lets cryptography sign, and compares the verdicts of both on forged signatures.
"""

from collections.abc import Mapping
from typing import Any, NoReturn

import jwt
from Crypto.Hash import SHA256
from Crypto.PublicKey import RSA
from Crypto.Signature import pkcs1_15
from jwt.algorithms import Algorithm
from jwt.utils import base64url_decode

RS256 = "RS256"
LEAST_KEY_BITS = 2048  # RFC 7518, 3.3


class RsaSha256(Algorithm):
    """RSASSA-PKCS1-v1_5 with SHA-256, which only verifies: nothing here has a private key."""

    def prepare_key(self, key: Any) -> RSA.RsaKey:
        """Return the key as it is. Raise InvalidKeyError for another kind."""
        if not isinstance(key, RSA.RsaKey):
            raise jwt.InvalidKeyError("not an RSA key")
        return key

    def verify(self, msg: bytes, key: RSA.RsaKey, sig: bytes) -> bool:
        """Return whether it is the key's signature of the message."""
        try:
            pkcs1_15.new(key).verify(SHA256.new(msg), sig)
        except ValueError:
            return False
        return True

    def sign(self, msg: bytes, key: Any) -> NoReturn:
        """Raise NotImplementedError."""
        raise NotImplementedError

    @staticmethod
    def to_jwk(key_obj: Any, as_dict: bool = False) -> NoReturn:  # noqa: FBT001, FBT002 - PyJWT's own signature
        """Raise NotImplementedError."""
        raise NotImplementedError

    @staticmethod
    def from_jwk(jwk: str | Mapping[str, Any]) -> RSA.RsaKey:
        """Return the public key of a JWK (RFC 7518, 6.3.1), which must be parsed. Raise InvalidKeyError."""
        if isinstance(jwk, str):
            raise jwt.InvalidKeyError("a JWK has to be read from its text before")
        try:
            key = RSA.construct((_read_number(jwk["n"]), _read_number(jwk["e"])))
        except (KeyError, TypeError, ValueError) as error:
            raise jwt.InvalidKeyError("not an RSA key") from error
        if key.size_in_bits() < LEAST_KEY_BITS:
            raise jwt.InvalidKeyError("the key is too short")
        return key


def _read_number(text: str) -> int:
    return int.from_bytes(base64url_decode(text), "big")


class SigningKey(jwt.PyJWK):
    """A published key that verifies by RS256, and by no other algorithm whatever a token's header says."""

    def __init__(self, jwk: Mapping[str, Any]) -> None:
        """Take a JWK (RFC 7517) of which `can_verify` is true. Raise InvalidKeyError."""
        self._jwk_data = dict(jwk)
        self.algorithm_name = RS256
        self.Algorithm = RsaSha256()
        self.key = RsaSha256.from_jwk(jwk)


def can_verify(jwk: Mapping[str, Any]) -> bool:
    """Return whether a JWK is for RS256 signatures. Raise AttributeError if it is not a mapping."""
    return jwk.get("use", "sig") == "sig" and jwk.get("kty") == "RSA" and jwk.get("alg", RS256) == RS256
