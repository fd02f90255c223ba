"""Tokens that are verified here: real RS256 signatures, keys as a pool publishes them, a clock that the test sets."""

import http.client
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from shared.api.auth.caller import identify_caller
from shared.api.auth.signing_keys import COOL_DOWN_S, FRESH_S, STALE_S, SigningKeys
from shared.api.auth.tokens import LEEWAY_S, SCOPE, TokenVerifier
from shared.errors import Refusal, Unavailable

ISSUER = "https://issuer.example.test/pool"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
HTML = b"<html><body>Service Unavailable</body></html>"


def make_key_set(*key_ids: str) -> bytes:
    """Return a key set that has the one key under these ids."""
    document = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key()))
    return json.dumps({"keys": [{**document, "kid": kid, "alg": "RS256", "use": "sig"} for kid in key_ids]}).encode()


class KeyEndpoint:
    """A pool's endpoint: `answer` is a document, or what is raised instead."""

    def __init__(self) -> None:
        self.answer: bytes | Exception = make_key_set("one")
        self.asked = 0
        self.now = 1000.0

    def fetch(self) -> bytes:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def clock(self) -> float:
        return self.now


@pytest.fixture
def endpoint() -> KeyEndpoint:
    """Return an endpoint that has one key."""
    return KeyEndpoint()


@pytest.fixture
def verify(endpoint: KeyEndpoint) -> Callable[[str], Any]:
    """Verify a token with the keys of that endpoint."""
    return TokenVerifier(issuer=ISSUER, client_id="app", keys=SigningKeys(endpoint.fetch, endpoint.clock))


def make_token(*, kid: str | None = "one", key: rsa.RSAPrivateKey = KEY, **changes: Any) -> str:
    """Return an access token; a claim changed to None is left out, and a small time counts from now."""
    now = int(time.time())
    claims: dict[str, Any] = {
        "sub": "s-1",
        "iss": ISSUER,
        "client_id": "app",
        "token_use": "access",
        "scope": f"openid {SCOPE}",
    }
    claims |= {"iat": now, "exp": now + 3600, **changes}
    claims |= {name: now + claims[name] for name in ("iat", "nbf", "exp") if 0 < abs(claims.get(name) or 0) < 3600}
    kept = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(kept, key, algorithm="RS256", headers={"kid": kid} if kid else {})


def test_a_good_token_is_verified_with_one_look_at_the_keys(
    verify: Callable[[str], Any], endpoint: KeyEndpoint
) -> None:
    """The keys are cached."""
    assert [verify(make_token())["sub"] for _ in range(3)] == ["s-1"] * 3
    assert endpoint.asked == 1


@pytest.mark.parametrize(
    "claims",
    [
        {"client_id": "another client of the pool"},
        {"client_id": None},
        {"token_use": "id"},
        {"token_use": None},
        {"scope": "openid"},
        {"scope": None},
        {"scope": f"{SCOPE}.readonly"},
        {"iss": "https://issuer.example.test/another"},
        {"sub": None},
        {"exp": None},
        {"exp": -60},
        {"iat": 60},
        {"nbf": 60},
        {"kid": "unknown"},
        {"kid": None},
        {"key": rsa.generate_private_key(public_exponent=65537, key_size=2048)},
    ],
    ids=str,
)
def test_a_token_that_is_not_ours_or_not_good_is_refused(verify: Callable[[str], Any], claims: dict[str, Any]) -> None:
    """Client, kind, scope, issuer, time or key is wrong."""
    with pytest.raises(Refusal, match="unauthenticated"):
        verify(make_token(**claims))


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "e30.e30.", "\u0000", make_token()[:-4], "Bearer " + make_token()])
def test_what_is_no_token_is_refused_without_a_look_at_the_keys(
    verify: Callable[[str], Any], endpoint: KeyEndpoint, text: str
) -> None:
    """The keys are read only if its header can be read."""
    with pytest.raises(Refusal, match="unauthenticated"):
        verify(text)
    assert endpoint.asked <= 1


@pytest.mark.parametrize("claims", [{"iat": 3}, {"nbf": 3}, {"exp": 3 - LEEWAY_S}], ids=str)
def test_clocks_may_differ_by_a_few_seconds(verify: Callable[[str], Any], claims: dict[str, Any]) -> None:
    """A token that Cognito issued a second ahead of our clock is good."""
    assert verify(make_token(**claims))["sub"] == "s-1"


OUT_OF_ORDER = [
    HTML, b"", b"{}", b"[]", b'{"keys": []}', b'{"keys": {}}', b'{"keys": [{"kid": "one"}]}', b'{"keys": [1]}', b"\xff",
    OSError("refused"), TimeoutError("silent"), http.client.BadStatusLine("what"), http.client.IncompleteRead(b""),
]  # fmt: skip


@pytest.mark.parametrize("answer", OUT_OF_ORDER, ids=str)
def test_without_keys_nobody_can_say(verify: Callable[[str], Any], endpoint: KeyEndpoint, answer: Any) -> None:
    """503 with the time to wait, and not 401: the token may be good. It is not asked again for each call."""
    endpoint.answer = answer
    for _ in range(5):
        with pytest.raises(Unavailable) as refused:
            verify(make_token())
        assert refused.value.retry_after_s == COOL_DOWN_S
    assert endpoint.asked == 1
    endpoint.answer = make_key_set("one")
    endpoint.now += COOL_DOWN_S
    assert verify(make_token())["sub"] == "s-1"


@pytest.mark.parametrize("answer", OUT_OF_ORDER, ids=str)
def test_the_last_good_keys_serve_for_a_day(verify: Callable[[str], Any], endpoint: KeyEndpoint, answer: Any) -> None:
    """An endpoint that is out of order signs nobody out; keys of which nothing was heard for a day are not trusted."""
    verify(make_token())
    endpoint.answer = answer
    for age_s in (FRESH_S, FRESH_S + COOL_DOWN_S, STALE_S):
        endpoint.now = 1000.0 + age_s
        assert verify(make_token())["sub"] == "s-1"
    endpoint.now = 1000.0 + STALE_S + 1
    with pytest.raises(Unavailable):
        verify(make_token())


def test_a_key_that_is_not_known_during_an_outage_may_be_a_new_one(
    verify: Callable[[str], Any], endpoint: KeyEndpoint
) -> None:
    """503, until the endpoint answers; then it is known, or refused."""
    verify(make_token())
    endpoint.answer, endpoint.now = HTML, endpoint.now + COOL_DOWN_S
    with pytest.raises(Unavailable):
        verify(make_token(kid="two"))
    assert verify(make_token())["sub"] == "s-1"
    endpoint.answer, endpoint.now = make_key_set("one", "two"), endpoint.now + COOL_DOWN_S
    assert verify(make_token(kid="two"))["sub"] == "s-1"
    with pytest.raises(Refusal):
        verify(make_token(kid="three"))


def test_made_up_keys_do_not_have_us_ask_again_and_again(verify: Callable[[str], Any], endpoint: KeyEndpoint) -> None:
    """The endpoint is asked once in a few seconds, however many there are."""
    verify(make_token())
    for n in range(100):
        endpoint.now += 0.1
        with pytest.raises(Refusal):
            verify(make_token(kid=f"made-up-{n}"))
    assert endpoint.asked <= 1 + 10 / COOL_DOWN_S + 1


def test_keys_that_were_taken_out_of_the_set_verify_nothing(
    verify: Callable[[str], Any], endpoint: KeyEndpoint
) -> None:
    """The set is read again after an hour."""
    verify(make_token())
    endpoint.answer, endpoint.now = make_key_set("two"), endpoint.now + FRESH_S
    with pytest.raises(Refusal):
        verify(make_token())


def test_a_key_for_something_else_verifies_nothing(verify: Callable[[str], Any], endpoint: KeyEndpoint) -> None:
    """A set may publish keys for encryption too (RFC 7517, 4.2)."""
    keys = json.loads(make_key_set("one", "two"))["keys"]
    endpoint.answer = json.dumps({"keys": [keys[0], {**keys[1], "use": "enc"}]}).encode()
    assert verify(make_token())["sub"] == "s-1"
    with pytest.raises(Refusal):
        verify(make_token(kid="two"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"exp": -60}, "The access token has expired"),
        ({"nbf": 60}, "The access token is not valid yet"),
        ({"token_use": "id"}, "The token is not an access token of this service"),
        ({"exp": -60, "key": rsa.generate_private_key(public_exponent=65537, key_size=2048)}, "The token is not an"),
    ],
    ids=str,
)
def test_the_refusal_of_a_token_says_what_is_wrong_with_it(
    verify: Callable[[str], Any], changes: dict[str, Any], said: str
) -> None:
    """It says so in the detail, and in the challenge, by which a client can renew the token (RFC 6750, 3)."""
    with pytest.raises(Refusal) as caught:
        verify(make_token(**changes))
    assert str(caught.value.detail).startswith(said)
    challenge = caught.value.headers["WWW-Authenticate"]
    assert challenge.startswith(f'Bearer error="invalid_token", error_description="{said}')


def test_a_call_without_a_token_is_challenged_without_an_error() -> None:
    """RFC 6750, 3.1: a client that sent nothing has made no mistake in it."""

    def identify(headers: dict[str, str]) -> Refusal:
        with pytest.raises(Refusal) as caught:
            identify_caller("required", None, headers, verify=lambda _token: {}, client_id="app")
        return caught.value

    assert [identify(each).headers["WWW-Authenticate"] for each in ({}, {"authorization": "Basic x"})] == ["Bearer"] * 2
    assert "not 'Bearer …'" in str(identify({"authorization": "Basic x"}).detail)
