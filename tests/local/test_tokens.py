"""`make -s token`."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jwt
import pytest

from local import tokens
from local.deploy import EmulatorClients, deploy
from local.stack import Stack
from local.stack_reader import read_stack
from local.state_folder import StateFolder
from local.template import list_code_folders, read_template
from tests.local.emulators import start_emulator

CLOUD = Path(__file__).with_name("cloud")
TEMPLATE = (CLOUD / "template.yaml").read_text()
PERSON = "person@example.test"


class FakeFront:
    """Stands for the front's Invoke API: does what the operators' function does with the pool, and counts."""

    def __init__(self, clients: EmulatorClients, pool: str) -> None:
        self.identity = clients.get("cognito-idp")
        self.pool = pool
        self.commands: list[dict[str, str]] = []
        self.failure: str | None = None

    def answer(self, command: dict[str, str]) -> object:
        """Return the function's answer; the person is made the first time."""
        self.commands.append(command)
        if self.failure:
            return {"errorMessage": self.failure, "errorType": "CommandError"}
        if all(command["email"] != earlier["email"] for earlier in self.commands[:-1]):
            join(self.identity, self.pool, command["email"], command["role"])
        return {"account_id": "…"}


def join(identity: object, pool: str, email: str, group: str) -> None:
    """Makes a person of a group."""
    identity.admin_create_user(UserPoolId=pool, Username=email, MessageAction="SUPPRESS")  # type: ignore[attr-defined]
    identity.admin_add_user_to_group(UserPoolId=pool, Username=email, GroupName=group)  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[StateFolder, FakeFront]]:
    """Yield the small stack with a front before it."""
    folder = tmp_path_factory.mktemp("cloud")
    with start_emulator(folder / "emulator") as (clients, _):
        deploy(clients, TEMPLATE, {})
        stack = read_stack(clients, list_code_folders(read_template(TEMPLATE), CLOUD), [])
        front = FakeFront(clients, stack.user_pool_id)
        home = StateFolder(folder, folder)
        home.make_folders()
        stack.save(home.stack)
        with serve_front(front) as port:
            home.update_state(ports={"front": port})
            yield home, front


class serve_front:  # noqa: N801 - used as a context manager
    """The front on a free port."""

    def __init__(self, front: FakeFront) -> None:
        class InvocationHandler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == "/2015-03-31/functions/AdminFunction/invocations"
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answer = json.dumps(front.answer(json.loads(body))).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), InvocationHandler)

    def __enter__(self) -> int:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self.server.server_port

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def read_claims(home: StateFolder, token: str) -> dict[str, object]:
    """Return the claims of a token, its signature checked."""
    stack = Stack.load(home.stack)
    key = jwt.PyJWKClient(stack.jwks_url).get_signing_key_from_jwt(token)
    return jwt.decode(token, key.key, algorithms=["RS256"], issuer=stack.issuer)


def test_a_role_gets_an_access_token_of_one_and_the_same_person(cloud: tuple[StateFolder, FakeFront]) -> None:
    """Made once, in the role's group, and signed in again each time."""
    home, front = cloud
    first, second = (read_claims(home, tokens.get_token(home, role="staff", email="")) for _ in range(2))
    assert (first["token_use"], first["cognito:groups"]) == ("access", ["staff"])
    assert first["sub"] == second["sub"]
    assert {command["email"] for command in front.commands} == {"staff@interdomestik.test"}


def test_a_registered_person_signs_in_without_an_operators_command(cloud: tuple[StateFolder, FakeFront]) -> None:
    """The identity is the one that the registration created."""
    home, front = cloud
    join(front.identity, front.pool, PERSON, "staff")
    before = len(front.commands)
    assert read_claims(home, tokens.get_token(home, role=None, email=PERSON))["token_use"] == "access"
    assert len(front.commands) == before


def test_somebody_who_is_not_registered_gets_no_token(
    cloud: tuple[StateFolder, FakeFront], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command gives up after the time that a registration's identity may take."""
    monkeypatch.setattr(tokens, "IDENTITY_SECONDS", 0.0)
    with pytest.raises(tokens.TokenError, match=r"^nobody@example\.test has no sign-in: nobody has registered"):
        tokens.get_token(cloud[0], role=None, email="nobody@example.test")


def test_the_operators_functions_refusal_is_passed_on(cloud: tuple[StateFolder, FakeFront]) -> None:
    """It refuses an address that belongs to a member, for example."""
    home, front = cloud
    front.failure = "the address belongs to an account of another role"
    with pytest.raises(tokens.TokenError, match="another role"):
        tokens.get_token(home, role="admin", email="taken@example.test")


def test_without_a_role_or_an_address_the_usage_is_shown(cloud: tuple[StateFolder, FakeFront]) -> None:
    """One line says what to type."""
    with pytest.raises(tokens.TokenError, match=r"ROLE=member\|agent\|staff\|admin"):
        tokens.get_token(cloud[0], role=None, email="")
