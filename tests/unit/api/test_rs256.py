"""Signatures by RS256: what cryptography signs is verified, and each forged one is refused as it refuses it."""

import hashlib
import hmac
import json
from typing import Any

import jwt
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA512
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.utils import base64url_encode

from shared.api.auth.rs256 import RS256, RsaSha256, SigningKey, can_verify
from shared.api.auth.signing_keys import parse_keys

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
# With this exponent a signature can be made up whose cube begins right: a verifier that does not look at the end of
# the padding takes it (Bleichenbacher, 2006).
CUBE_KEY = rsa.generate_private_key(public_exponent=3, key_size=3072)
SHORT_KEY = rsa.generate_private_key(public_exponent=65537, key_size=1024)
MESSAGE = b"header.payload"
SHA256_PREFIX = bytes.fromhex("3031300d060960864801650304020105000420")  # RFC 8017, 9.2, note 1
PLAIN_PREFIX = bytes.fromhex("302f300b0609608648016503040201" + "0420")  # the same without its NULL
BYTES = 256


def describe_key(key: rsa.RSAPrivateKey, **changes: Any) -> dict[str, Any]:
    """Return the public key as a pool publishes it."""
    document = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    return {**document, "kid": "one", "alg": "RS256", "use": "sig", **changes}


def sign_raw(padded: bytes, key: rsa.RSAPrivateKey = KEY) -> bytes:
    """Return the private key's power of any bytes, as a forger can't, to see the check of the padding alone."""
    numbers = key.private_numbers()
    return pow(int.from_bytes(padded, "big"), numbers.d, numbers.public_numbers.n).to_bytes(len(padded), "big")


def pad(ending: bytes, *, kind: bytes = b"\x01", filling: bytes = b"\xff", length: int = BYTES) -> bytes:
    """Return the bytes as PKCS #1 v1.5 pads them."""
    return b"\x00" + kind + filling * (length - len(ending) - 3) + b"\x00" + ending


def forge_by_cube_root() -> bytes:
    """Return a signature made without the private key: the cube begins with a short padding and our digest."""
    length = CUBE_KEY.key_size // 8
    beginning = b"\x00\x01" + b"\xff" * 8 + b"\x00" + SHA256_PREFIX + hashlib.sha256(MESSAGE).digest()
    least = int.from_bytes(beginning + b"\x00" * (length - len(beginning)), "big")
    low, high = 0, 1 << (length * 8 // 3 + 1)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if middle**3 < least else (low, middle)
    assert (low**3).to_bytes(length, "big").startswith(beginning)
    return low.to_bytes(length, "big")


DIGEST = hashlib.sha256(MESSAGE).digest()
GOOD = KEY.sign(MESSAGE, PKCS1v15(), SHA256())
FORGED = {
    "another hash": KEY.sign(MESSAGE, PKCS1v15(), SHA512()),
    "an old hash": KEY.sign(MESSAGE, PKCS1v15(), SHA1()),
    "another padding": KEY.sign(MESSAGE, PSS(MGF1(SHA256()), 32), SHA256()),
    "another message": KEY.sign(b"header.other", PKCS1v15(), SHA256()),
    "another key": rsa.generate_private_key(public_exponent=65537, key_size=2048).sign(MESSAGE, PKCS1v15(), SHA256()),
    "one bit": GOOD[:-1] + bytes([GOOD[-1] ^ 1]),
    "too short": GOOD[1:],
    "a zero in front": b"\x00" + GOOD,
    "a zero behind": GOOD + b"\x00",
    "nothing": b"",
    "zero": b"\x00" * BYTES,
    "one": b"\x00" * (BYTES - 1) + b"\x01",
    "the modulus added": (int.from_bytes(GOOD, "big") + KEY.public_key().public_numbers().n).to_bytes(BYTES + 1, "big"),
    "no hash's name": sign_raw(pad(DIGEST)),
    "padding for encryption": sign_raw(pad(SHA256_PREFIX + DIGEST, kind=b"\x02")),
    "padding of zeros": sign_raw(pad(SHA256_PREFIX + DIGEST, filling=b"\x00")),
    "garbage behind": sign_raw(pad(SHA256_PREFIX + DIGEST + b"\x00" * 8)),
    "a cut digest": sign_raw(pad(SHA256_PREFIX + DIGEST[:-1])),
}


def verify(signature: bytes, key: rsa.RSAPrivateKey = KEY) -> bool:
    """Return our verdict."""
    return RsaSha256().verify(MESSAGE, RsaSha256.from_jwk(describe_key(key)), signature)


def is_good_to_cryptography(signature: bytes, key: rsa.RSAPrivateKey = KEY) -> bool:
    """Return the verdict of another implementation."""
    try:
        key.public_key().verify(signature, MESSAGE, PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
def test_a_good_signature_is_verified(bits: int) -> None:
    """Pools sign with 2048 bits today."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    assert verify(key.sign(MESSAGE, PKCS1v15(), SHA256()), key)
    assert verify(sign_raw(pad(SHA256_PREFIX + DIGEST, length=bits // 8), key), key)


@pytest.mark.parametrize("name", list(FORGED))
def test_a_forged_signature_is_refused(name: str) -> None:
    """The package `cryptography` refuses it too."""
    assert not is_good_to_cryptography(FORGED[name])
    assert not verify(FORGED[name])


def test_the_name_of_the_hash_may_lack_its_null() -> None:
    """The one difference to cryptography: RFC 8017 (A.2.4) has both forms accepted. It takes the private key too."""
    assert verify(sign_raw(pad(PLAIN_PREFIX + DIGEST)))
    assert not verify(sign_raw(pad(PLAIN_PREFIX + DIGEST[:-1])))


def test_a_signature_by_cube_root_is_refused() -> None:
    """Nobody needs a private key for one, where the end of the padding is not looked at."""
    forged = forge_by_cube_root()
    assert not is_good_to_cryptography(forged, CUBE_KEY)
    assert not verify(forged, CUBE_KEY)
    assert verify(CUBE_KEY.sign(MESSAGE, PKCS1v15(), SHA256()), CUBE_KEY)


@pytest.mark.parametrize("algorithm", ["none", "HS256", "RS384", "RS512", "PS256", "ES256", "rs256", ""])
def test_a_header_can_not_choose_the_algorithm(algorithm: str) -> None:
    """Among them the public key taken as a secret that both sides share, and no signature at all."""
    head = base64url_encode(json.dumps({"alg": algorithm, "kid": "one"}).encode())
    signed = head + b"." + base64url_encode(b'{"sub":"s-1"}')
    public = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for signature in (b"", KEY.sign(signed, PKCS1v15(), SHA256()), hmac.digest(public, signed, "sha256")):
        token = signed + b"." + base64url_encode(signature)
        with pytest.raises(jwt.PyJWTError):
            jwt.decode(token, SigningKey(describe_key(KEY)), algorithms=[RS256])


@pytest.mark.parametrize(
    "changes", [{"n": None}, {"n": 5}, {"n": ""}, {"e": "AA"}, {"e": "AQ"}, {"n": "AAAA"}], ids=str
)
def test_a_broken_key_is_refused(changes: dict[str, Any]) -> None:
    """A key set that has no other is no key set: the endpoint is in trouble."""
    document = describe_key(KEY, **changes)
    with pytest.raises(jwt.InvalidKeyError):
        SigningKey(document)
    with pytest.raises(ValueError, match="no key set"):
        parse_keys(json.dumps({"keys": [document]}).encode())


def test_the_text_of_a_key_is_refused() -> None:
    """PyJWT's own keys read it. Nobody here has one, and a second way in would want as many tests."""
    with pytest.raises(jwt.InvalidKeyError, match="text"):
        RsaSha256.from_jwk(json.dumps(describe_key(KEY)))


def test_a_short_key_is_refused() -> None:
    """RFC 7518 wants 2048 bits at least; PyJWT itself would only warn."""
    with pytest.raises(jwt.InvalidKeyError, match="too short"):
        SigningKey(describe_key(SHORT_KEY))


@pytest.mark.parametrize(
    ("bad", "logged"),
    [
        (describe_key(SHORT_KEY, kid="bad"), {"key_id": "bad", "error": "InvalidKeyError"}),
        (describe_key(KEY, kid="bad", n=None), {"key_id": "bad", "error": "InvalidKeyError"}),
        ({name: value for name, value in describe_key(KEY).items() if name != "kid"}, {"error": "KeyError"}),
        (describe_key(KEY, kid=["bad"]), {"key_id": "['bad']", "error": "TypeError"}),
        (1, {"key_id": "None", "error": "AttributeError"}),
    ],
    ids=["too short", "broken", "without an id", "with a list of ids", "no key at all"],
)
def test_a_bad_key_spoils_no_other_of_its_set(
    bad: Any, logged: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """The pool's tokens are verified as before, and the log names the key."""
    good = {**describe_key(KEY), "kid": "good"}
    for keys in ([bad, good], [good, bad]):
        caplog.clear()
        assert list(parse_keys(json.dumps({"keys": keys}).encode())) == ["good"]
        [line] = caplog.records
        assert line.getMessage() == "signing_key_skipped"
        assert logged.items() <= vars(line).items()
    with pytest.raises(ValueError, match="no key set"):
        parse_keys(json.dumps({"keys": [bad]}).encode())


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, True), ({"alg": "RS512"}, False), ({"use": "enc"}, False), ({"kty": "EC"}, False), ({"kty": None}, False)],
    ids=str,
)
def test_keys_of_other_kinds_are_passed_over(changes: dict[str, Any], *, expected: bool) -> None:
    """A pool may publish them beside the one that signs its tokens."""
    assert can_verify(describe_key(KEY, **changes)) is expected
    curve = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key()))
    document = {"keys": [{**curve, "kid": "curve"}, {**describe_key(KEY), "kid": "two"}]}
    assert list(parse_keys(json.dumps(document).encode())) == ["two"]


def test_the_algorithm_neither_signs_nor_publishes_keys() -> None:
    """The class is PyJWT's kind of algorithm, which could also sign and publish keys."""
    with pytest.raises(NotImplementedError):
        RsaSha256().sign(MESSAGE, None)
    with pytest.raises(NotImplementedError):
        RsaSha256.to_jwk(None)
    with pytest.raises(jwt.InvalidKeyError):
        RsaSha256().prepare_key(KEY.public_key())
