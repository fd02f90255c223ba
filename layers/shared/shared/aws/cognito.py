"""The Cognito user pool: the identities that people sign in with."""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from botocore.exceptions import ClientError

from shared.aws.errors import BOTO_ERRORS, RequestRejected, ServiceUnavailable, classify_error, read_error_code

if TYPE_CHECKING:
    from mypy_boto3_cognito_idp import CognitoIdentityProviderClient
    from mypy_boto3_cognito_idp.type_defs import AttributeTypeTypeDef

# 32 random bytes: nobody ever types or sees it.
_PASSWORD_BYTES = 32
# One character of each kind that a pool's policy can require.
_POLICY = "aA1-"
# These identities were made by this service or an operator, and their address counts as verified. UNCONFIRMED is
# somebody who signed up alone, with an address that may not be theirs and a password that they know.
_OURS = frozenset({"FORCE_CHANGE_PASSWORD", "CONFIRMED", "RESET_REQUIRED"})
_NEW = "FORCE_CHANGE_PASSWORD"
_ABSENT = "UserNotFoundException"


class IdentityProvider(Protocol):
    """The pool of people who may sign in.

    An identity grants nothing by itself. Link a new one to its account first and add it to a group last, so that an
    address that turns out to belong to another account is refused before anything is granted.
    """

    def find(self, email: str) -> str | None:
        """Return the `sub` of the identity that signs in with the address, None if there is none.

        Raise RequestRejected, ServiceUnavailable or OutcomeUnknown.
        """
        ...

    def find_or_create(self, email: str) -> str:
        """Make sure that the person can sign in and return the identity's `sub`; its groups don't change.

        Safe to repeat, also after a failure halfway: an existing identity keeps its password. Raise RequestRejected (an
        invalid address, an identity not made by this service), ServiceUnavailable or OutcomeUnknown.
        """
        ...

    def add_to_group(self, sub: str, group: str) -> None:
        """Add an identity to a group, which its tokens name from the next sign-in on. Safe to repeat.

        Raise RequestRejected (no such identity or group), ServiceUnavailable or OutcomeUnknown.
        """
        ...


class ManagedIdentityProvider(IdentityProvider, Protocol):
    """The provider with operations for operators, which end access.

    Each is safe to repeat and raises what `find` raises.
    """

    def enable(self, sub: str) -> None:
        """Let an identity sign in again if it was disabled. Raise RequestRejected if it does not exist."""
        ...

    def end_access(self, sub: str, groups: Sequence[str]) -> None:
        """Remove an identity from groups, end its sessions and disable it; a missing identity is no error.

        Access tokens that were already issued stay valid until they expire.
        """
        ...

    def delete(self, sub: str) -> None:
        """Delete an identity, so that its address becomes free; a missing identity is no error."""
        ...


class CognitoIdentityProvider:
    """The identities of one Cognito user pool, which sign in by email address."""

    def __init__(self, client: "CognitoIdentityProviderClient", pool_id: str) -> None:
        self._client = client
        self._pool_id = pool_id

    def find(self, email: str) -> str | None:
        """Return the identity's `sub`; see IdentityProvider.find."""
        try:
            return self._find(email)[0]
        except BOTO_ERRORS as error:
            if is_missing_user(error):
                return None
            raise classify_error(error) from None

    def find_or_create(self, email: str) -> str:
        """Return the `sub` of an existing or new identity; see IdentityProvider.find_or_create."""
        try:
            sub, status = self._create(email) or self._find(email)
            if status not in _OURS:
                raise RequestRejected("IdentityNotOurs")
            if status == _NEW:
                self._confirm_user(email)
        except BOTO_ERRORS as error:
            if is_missing_user(error):
                # It was deleted since it was found: the next attempt creates it.
                raise ServiceUnavailable(_ABSENT) from None
            raise classify_error(error) from None
        return sub

    def add_to_group(self, sub: str, group: str) -> None:
        """Add an identity to a group; see IdentityProvider.add_to_group."""
        # By its sub: its address may belong to another identity by now.
        try:
            self._client.admin_add_user_to_group(UserPoolId=self._pool_id, Username=sub, GroupName=group)
        except BOTO_ERRORS as error:
            raise classify_error(error) from None

    def enable(self, sub: str) -> None:
        """Enable an identity; see ManagedIdentityProvider.enable."""
        try:
            self._client.admin_enable_user(UserPoolId=self._pool_id, Username=sub)
        except BOTO_ERRORS as error:
            raise classify_error(error) from None

    def end_access(self, sub: str, groups: Sequence[str]) -> None:
        """End an identity's access; see ManagedIdentityProvider.end_access."""
        user = {"UserPoolId": self._pool_id, "Username": sub}
        with _ignore_missing():
            for group in groups:
                self._client.admin_remove_user_from_group(GroupName=group, **user)
            self._client.admin_disable_user(**user)
            # Last, so that it also ends a session that began before the identity was disabled.
            self._client.admin_user_global_sign_out(**user)

    def delete(self, sub: str) -> None:
        """Delete an identity; see ManagedIdentityProvider.delete."""
        with _ignore_missing():
            self._client.admin_delete_user(UserPoolId=self._pool_id, Username=sub)

    def _create(self, email: str) -> tuple[str, str] | None:
        try:
            answer = self._client.admin_create_user(
                UserPoolId=self._pool_id,
                Username=email,
                UserAttributes=[
                    {"Name": "email", "Value": email},
                    {"Name": "email_verified", "Value": "true"},
                ],
                # We send the welcome mail ourselves; Cognito's would contain a temporary password.
                MessageAction="SUPPRESS",
            )
        except ClientError as error:
            if read_error_code(error) == "UsernameExistsException":
                return None
            raise
        user = answer["User"]
        return _read_sub(user.get("Attributes", [])), str(user.get("UserStatus"))

    def _find(self, email: str) -> tuple[str, str]:
        answer = self._client.admin_get_user(UserPoolId=self._pool_id, Username=email)
        return _read_sub(answer.get("UserAttributes", [])), str(answer.get("UserStatus"))

    def _confirm_user(self, email: str) -> None:
        # With a permanent password, although a discarded one, the identity is CONFIRMED, so "forgot password" and codes
        # by mail work. An identity that waits for its first password refuses both.
        password = secrets.token_urlsafe(_PASSWORD_BYTES) + _POLICY
        self._client.admin_set_user_password(
            UserPoolId=self._pool_id, Username=email, Password=password, Permanent=True
        )


def _read_sub(attributes: "Sequence[AttributeTypeTypeDef]") -> str:
    for attribute in attributes:
        if attribute["Name"] == "sub":
            return attribute.get("Value", "")
    raise RequestRejected("IdentityWithoutSub")


@contextmanager
def _ignore_missing() -> Iterator[None]:
    try:
        yield
    except BOTO_ERRORS as error:
        if not is_missing_user(error):
            raise classify_error(error) from None


def is_missing_user(error: Exception) -> bool:
    """Return whether the pool reports that the identity does not exist."""
    return isinstance(error, ClientError) and read_error_code(error) == _ABSENT
