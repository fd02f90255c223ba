"""`make -s token`: an access token of a real local user, signed in with a new password."""

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
IDENTITY_SECONDS = 15.0  # a registration's identity is made by a job, shortly after the response
POLL_SECONDS = 0.2
STAFF_NAMES = {"staff": "Local Staff", "admin": "Local Admin"}


class TokenError(Exception):
    """There is no such user, or the gateway refused the call."""


def get_token(state_folder: StateFolder, *, role: str | None, email: str) -> str:
    """Return an access token of a staff member (created if missing) or of a registered person. Raise TokenError."""
    if not role and not email:
        raise TokenError(
            "say who: make -s token ROLE=member|agent|staff|admin [EMAIL=…], or EMAIL=… of a registered person"
        )
    stack = Stack.load(state_folder.stack)
    identity = EmulatorClients(stack.endpoint_url).get("cognito-idp")
    if role:
        email = email or f"{role}@interdomestik.test"
        create_staff(build_front_url(state_folder.read_state()), email=email, role=role)
    wait_for_identity(identity, stack.user_pool_id, email)
    return sign_in(identity, stack, email)


def create_staff(front: str, *, email: str, role: str) -> None:
    """Create the staff member through the operations function, which does so once. Raise TokenError."""
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
    """Return a function's response to an invocation by Lambda's Invoke API at the gateway. Raise TokenError."""
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
    """Return when the person is in the user pool and in a group. Raise TokenError."""
    deadline = time.monotonic() + IDENTITY_SECONDS
    while not has_group(identity, pool, email):
        if time.monotonic() > deadline:
            raise TokenError(
                f"{email} has no sign-in: nobody has registered with it, staff have not approved the agent yet,"
                " or the job that makes it waits (make circuits)"
            )
        time.sleep(POLL_SECONDS)


def has_group(identity: Any, pool: str, email: str) -> bool:
    """Return whether the person is in the user pool and in a group."""
    try:
        return bool(identity.admin_list_groups_for_user(UserPoolId=pool, Username=email)["Groups"])
    except identity.exceptions.UserNotFoundException:
        return False


def sign_in(identity: Any, stack: Stack, email: str) -> str:
    """Return the access token of a sign-in with a new password."""
    password = f"Aa1!{secrets.token_urlsafe(24)}"  # characters of every class that a policy may require
    identity.admin_set_user_password(UserPoolId=stack.user_pool_id, Username=email, Password=password, Permanent=True)
    answer = identity.admin_initiate_auth(
        UserPoolId=stack.user_pool_id,
        ClientId=stack.client_id,
        AuthFlow="ADMIN_USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": email, "PASSWORD": password},
    )
    return str(answer["AuthenticationResult"]["AccessToken"])
