"""The Cognito authorizer: real RS256 tokens against a key set served over HTTP, and a clock that the test sets."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from local.gateway.authorizer import KEYS_ASKED_EVERY_S, RESULT_TTL_S, Authorizer, convert_claims
from local.gateway.gateway_responses import AUTHORIZER_FAILURE, EXPIRED, UNAUTHORIZED
from tests.local.gateways import RunningGateway, make_function, make_route, make_stack, run_gateway

SCOPE = "aws.cognito.signin.user.admin"
ISSUER = "https://issuer.example.test/pool"


@dataclass
class FakeUserPool:
    """A user pool's keys and tokens. `asked` counts how often its key set was read."""

    key: rsa.RSAPrivateKey = field(
        default_factory=lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048)
    )
    kid: str = "one"
    asked: int = 0
    gone: bool = False

    def build_key_set(self) -> bytes:
        """Return the key set."""
        document = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
        return json.dumps({"keys": [{**document, "kid": self.kid, "alg": "RS256", "use": "sig"}]}).encode()

    async def fetch(self, _url: str) -> bytes:
        """Reads the key set, as the gateway would over HTTP."""
        self.asked += 1
        if self.gone:
            raise ConnectionRefusedError
        return self.build_key_set()

    def make_token(self, **changes: Any) -> str:
        """Return an access token; a claim changed to None is left out."""
        now = int(time.time())
        claims: dict[str, Any] = {
            "sub": "s-1",
            "iss": ISSUER,
            "client_id": "test-client",
            "token_use": "access",
            "scope": SCOPE,
        }
        claims |= {"iat": now, "exp": now + 3600, "cognito:groups": ["agent", "member"], **changes}
        kept = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(kept, self.key, algorithm="RS256", headers={"kid": self.kid})


@pytest.fixture(scope="module")
def pool() -> FakeUserPool:
    """Return one pool for all tests: making a key takes a while."""
    return FakeUserPool()


def check(pool: FakeUserPool, token: str | None, authorizer: Authorizer | None = None) -> Any:
    """Return the authorizer's decision on a token."""
    authorizer = authorizer or Authorizer(make_stack([], []), pool.fetch)
    return asyncio.run(authorizer.check_header(token))


def test_claims_are_strings_as_a_rest_api_passes_them() -> None:
    """Lists joined by commas, exp and iat as dates, numbers and booleans as text."""
    claims = {"cognito:groups": ["agent", "staff"], "exp": 1680633579, "auth_time": 1680629979, "email_verified": True}
    assert convert_claims(claims) == {
        "cognito:groups": "agent,staff",
        "exp": "Tue Apr 04 18:39:39 UTC 2023",
        "auth_time": "1680629979",
        "email_verified": "true",
    }


@pytest.mark.parametrize("prefix", ["Bearer ", ""])
def test_an_access_token_of_the_pool_passes(pool: FakeUserPool, prefix: str) -> None:
    """It passes with and without the word Bearer."""
    assert check(pool, prefix + pool.make_token())["cognito:groups"] == "agent,member"


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://other.example.test/pool"},
        {"client_id": "another-client"},
        {"token_use": "id"},
        {"scope": "openid"},
        {"scope": None},
        {"exp": None},
    ],
)
def test_a_token_that_is_not_ours_is_refused(pool: FakeUserPool, changes: dict[str, Any]) -> None:
    """Each claim alone is enough to refuse."""
    assert check(pool, f"Bearer {pool.make_token(**changes)}") is UNAUTHORIZED


def test_an_expired_token_is_answered_as_expired(pool: FakeUserPool) -> None:
    """The message is Cognito's own."""
    assert check(pool, f"Bearer {pool.make_token(exp=int(time.time()) - 10)}") is EXPIRED


@pytest.mark.parametrize("token", [None, "", "Bearer ", "Bearer a.b.c", "Basic abc", "Bearer é"])
def test_what_is_no_token_is_refused(pool: FakeUserPool, token: str | None) -> None:
    """Nothing, half a token, another scheme."""
    assert check(pool, token) is UNAUTHORIZED


def test_a_token_signed_by_another_key_or_by_none_is_refused(pool: FakeUserPool) -> None:
    """Forged with a key of the same id, with no algorithm, and with the public key as an HMAC secret."""
    forged = FakeUserPool(kid=pool.kid)
    claims = jwt.decode(pool.make_token(), options={"verify_signature": False})
    unsigned = jwt.encode(claims, "", algorithm="none", headers={"kid": pool.kid})
    hmac = jwt.encode(claims, "secret-of-32-bytes-for-an-hmac-key", algorithm="HS256", headers={"kid": pool.kid})
    assert [check(pool, f"Bearer {token}") for token in (forged.make_token(), unsigned, hmac)] == [UNAUTHORIZED] * 3


def test_a_result_is_kept_for_300_s_and_never_past_the_tokens_end(pool: FakeUserPool) -> None:
    """Verified anew after the TTL; a token that ends earlier ends with its exp."""
    now = time.time()
    moment = [now]
    authorizer = Authorizer(make_stack([], []), pool.fetch, clock=lambda: moment[0])
    short = pool.make_token(exp=int(now) + 30)
    assert check(pool, short, authorizer)["sub"] == "s-1"
    kept = dict(authorizer._results)
    assert kept[short][0] == int(now) + 30
    check(pool, long := pool.make_token(), authorizer)
    assert authorizer._results[long][0] == now + RESULT_TTL_S
    moment[0] = now + RESULT_TTL_S + 1
    authorizer._keys.clear()
    moment[0] = now + 1_000
    pool.gone = True
    assert check(pool, long, authorizer) is AUTHORIZER_FAILURE
    pool.gone = False


def test_made_up_key_ids_do_not_reach_the_pool_each_time(pool: FakeUserPool) -> None:
    """Twenty tokens of unknown keys: the key set is read once; after a while a rotated key is found."""
    moment = [time.time()]
    pool.asked = 0
    authorizer = Authorizer(make_stack([], []), pool.fetch, clock=lambda: moment[0])
    rotated = FakeUserPool(key=pool.key, kid="two")
    assert [check(pool, rotated.make_token(), authorizer) for _ in range(20)] == [UNAUTHORIZED] * 20
    assert pool.asked == 1
    moment[0] += KEYS_ASKED_EVERY_S
    pool.kid = "two"
    assert check(pool, rotated.make_token(), authorizer)["sub"] == "s-1"
    pool.kid = "one"


@pytest.fixture
def gateway(pool: FakeUserPool, tmp_path: Path) -> Iterator[RunningGateway]:
    """Yield a gateway whose pool is served over HTTP."""

    class Keys(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(pool.build_key_set())

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Keys)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/jwks.json"
    description = make_stack([make_function("echo")], [make_route("GET", "/me", "echo", authorized=True)], jwks_url=url)
    with run_gateway(description, tmp_path) as running:
        yield running
    server.shutdown()
    server.server_close()


def test_claims_reach_the_function_only_from_a_verified_token(pool: FakeUserPool, gateway: RunningGateway) -> None:
    """Through the whole gateway: 401 with a reason, or requestContext.authorizer.claims."""
    passed = gateway.call("GET", "/api/me", Authorization=f"Bearer {pool.make_token()}")
    assert passed.read_json()["event"]["requestContext"]["authorizer"]["claims"]["sub"] == "s-1"
    refused = gateway.call("GET", "/api/me", Authorization=f"Bearer {pool.make_token(exp=1)}")
    assert (refused.status, refused.read_json()["message"]) == (401, "The incoming token has expired")
    assert refused.headers["x-amzn-errortype"] == "UnauthorizedException"
