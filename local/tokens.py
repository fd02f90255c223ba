"""`make -s token`: an access token of a real local user, signed in with a password of the moment."""

import json
import secrets
import time
import urllib.error
import urllib.request
from typing import Any

from local.deploy import EmulatorClients
from local.stack import Stack
from local.state_folder import StateFolder, build_front_url

FUNCTION = "AdminFunction"
IDENTITY_SECONDS = 15.0  # a registration's identity is made by a job, a moment after the answer
POLL_SECONDS = 0.2
STAFF_NAMES = {"staff": "Local Staff", "admin": "Local Admin"}


class TokenError(Exception):
    """There is no such user, or the front did not do as asked."""


def get_token(state_folder: StateFolder, *, role: str | None, email: str) -> str:
    """An access token of a member of staff (made where there is none), or of a registered person. Raises NoToken."""
    if not role and not email:
        raise TokenError("say who: make -s token ROLE=staff|admin [EMAIL=…], or EMAIL=… of a registered person")
    stack = Stack.load(state_folder.stack)
    identity = EmulatorClients(stack.endpoint_url).get("cognito-idp")
    if role:
        email = email or f"{role}@interdomestik.test"
        create_staff(build_front_url(state_folder.read_state()), email=email, role=role)
    wait_for_identity(identity, stack.user_pool_id, email)
    return sign_in(identity, stack, email)


def create_staff(front: str, *, email: str, role: str) -> None:
    """Has the operators' function make the person, which it does once. Raises NoToken."""
    command = {
        "command": "create-staff",
        "email": email,
        "full_name": STAFF_NAMES[role],
        "role": role,
        "language": "en",
    }
    result = invoke(front, FUNCTION, command)
    if isinstance(result, dict) and "errorMessage" in result:
        raise TokenError(f"{FUNCTION} failed: {result['errorMessage']}")


def invoke(front: str, function: str, payload: object) -> Any:
    """A function's answer to an invocation by Lambda's Invoke API, as the front speaks it. Raises NoToken."""
    request = urllib.request.Request(  # noqa: S310
        f"{front}/2015-03-31/functions/{function}/invocations",
        data=json.dumps(payload).encode(),
        headers={"Content-Type": "application/json"},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise TokenError(f"{function} could not be invoked: {error.read().decode(errors='replace')[:1000]}") from error
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise TokenError(f"{function} could not be invoked: {error}") from error


def wait_for_identity(identity: Any, pool: str, email: str) -> None:
    """Returns when the person is in the pool and in a group. Raises NoToken."""
    deadline = time.monotonic() + IDENTITY_SECONDS
    while not has_group(identity, pool, email):
        if time.monotonic() > deadline:
            raise TokenError(f"nobody is registered with {email}")
        time.sleep(POLL_SECONDS)


def has_group(identity: Any, pool: str, email: str) -> bool:
    """Whether the pool has the person, in a group."""
    try:
        return bool(identity.admin_list_groups_for_user(UserPoolId=pool, Username=email)["Groups"])
    except identity.exceptions.UserNotFoundException:
        return False


def sign_in(identity: Any, stack: Stack, email: str) -> str:
    """The access token of a sign-in with a new password."""
    password = f"Aa1!{secrets.token_urlsafe(24)}"  # of every class that a policy may ask for
    identity.admin_set_user_password(UserPoolId=stack.user_pool_id, Username=email, Password=password, Permanent=True)
    answer = identity.admin_initiate_auth(
        UserPoolId=stack.user_pool_id,
        ClientId=stack.client_id,
        AuthFlow="ADMIN_USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": email, "PASSWORD": password},
    )
    return str(answer["AuthenticationResult"]["AccessToken"])
