"""The user pool of Cognito: the identities that people sign in with."""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from botocore.exceptions import ClientError

from shared.aws.errors import BOTO_ERRORS, RequestRejected, ServiceUnavailable, classify_error, read_error_code

if TYPE_CHECKING:
    from mypy_boto3_cognito_idp import CognitoIdentityProviderClient
    from mypy_boto3_cognito_idp.type_defs import AttributeTypeTypeDef

# 32 random bytes: nobody ever types it, or learns it.
_PASSWORD_BYTES = 32
# One of each kind of character that a pool's policy can ask for.
_POLICY = "aA1-"
# An operator or we made it, and its address was taken as verified. UNCONFIRMED is somebody who signed
# up by themselves, with an address they may not own and a password they do know.
_OURS = frozenset({"FORCE_CHANGE_PASSWORD", "CONFIRMED", "RESET_REQUIRED"})
_NEW = "FORCE_CHANGE_PASSWORD"
_ABSENT = "UserNotFoundException"


class IdentityProvider(Protocol):
    """The pool of people who may sign in.

    An identity grants nothing by itself. Link a new one to its account first and add it to a group last, so that an
    address that turns out to be another account's is refused before anything is granted.
    """

    def find(self, email: str) -> str | None:
        """Return the `sub` of the identity that signs in with the address, None where there is none.

        Raises Refused, Unavailable or Uncertain.
        """
        ...

    def find_or_create(self, email: str) -> str:
        """Make sure that the person can sign in; return the identity's `sub`. Its groups stay as they are.

        Safe to repeat, whole or after a failure halfway: an existing identity keeps its password.
        Raises Refused (an invalid address, an identity that isn't ours), Unavailable or Uncertain.
        """
        ...

    def add_to_group(self, sub: str, group: str) -> None:
        """Add an identity to a group, whose name its tokens carry from the next sign-in on. Safe to repeat.

        Raises Refused (no such identity or group), Unavailable or Uncertain.
        """
        ...


class ManagedIdentityProvider(IdentityProvider, Protocol):
    """The same for operators, who also end what was granted. Each is safe to repeat, and raises what `find` does."""

    def enable(self, sub: str) -> None:
        """Let an identity sign in, if it has been disabled. Raises Refused for one that does not exist."""
        ...

    def end_access(self, sub: str, groups: Sequence[str]) -> None:
        """Take an identity out of groups, end its sessions and let it sign in no more; one that is gone stays gone.

        Access tokens that were issued live on until their end.
        """
        ...

    def delete(self, sub: str) -> None:
        """Delete an identity, so that its address can become another's; one that is gone stays gone."""
        ...


class CognitoIdentityProvider:
    """Identities in one Cognito user pool, signed in by email address."""

    def __init__(self, client: "CognitoIdentityProviderClient", pool_id: str) -> None:
        self._client = client
        self._pool_id = pool_id

    def find(self, email: str) -> str | None:
        """See Identities.find."""
        try:
            return self._find(email)[0]
        except BOTO_ERRORS as error:
            if is_missing_user(error):
                return None
            raise classify_error(error) from None

    def find_or_create(self, email: str) -> str:
        """See Identities.find_or_create."""
        try:
            sub, status = self._create(email) or self._find(email)
            if status not in _OURS:
                raise RequestRejected("IdentityNotOurs")
            if status == _NEW:
                self._confirm_user(email)
        except BOTO_ERRORS as error:
            if is_missing_user(error):
                # It was deleted since it was found to exist: the next try makes it.
                raise ServiceUnavailable(_ABSENT) from None
            raise classify_error(error) from None
        return sub

    def add_to_group(self, sub: str, group: str) -> None:
        """See Identities.add_to_group."""
        # By its sub: its address may have become another identity's since it was found.
        try:
            self._client.admin_add_user_to_group(UserPoolId=self._pool_id, Username=sub, GroupName=group)
        except BOTO_ERRORS as error:
            raise classify_error(error) from None

    def enable(self, sub: str) -> None:
        """See ManagedIdentityProvider.enable."""
        try:
            self._client.admin_enable_user(UserPoolId=self._pool_id, Username=sub)
        except BOTO_ERRORS as error:
            raise classify_error(error) from None

    def end_access(self, sub: str, groups: Sequence[str]) -> None:
        """See ManagedIdentityProvider.end_access."""
        user = {"UserPoolId": self._pool_id, "Username": sub}
        with _ignore_missing():
            for group in groups:
                self._client.admin_remove_user_from_group(GroupName=group, **user)
            self._client.admin_disable_user(**user)
            # Last: a session that began before it was disabled ends as well.
            self._client.admin_user_global_sign_out(**user)

    def delete(self, sub: str) -> None:
        """See ManagedIdentityProvider.delete."""
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
                # Ours is the welcome mail; Cognito's would show a temporary password.
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
        # With a password of its own, though thrown away, the identity is CONFIRMED: "forgot password"
        # and codes by mail work. One that waits for its first password refuses both.
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
    """Return whether the pool says that it has no such identity."""
    return isinstance(error, ClientError) and read_error_code(error) == _ABSENT
