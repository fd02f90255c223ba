"""The contract of Identities: one suite over the fake that tests use and the Cognito that production uses."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest

from shared.aws import clients
from shared.aws.cognito import CognitoIdentityProvider, ManagedIdentityProvider
from shared.aws.errors import OperatorActionNeeded, RequestRejected, ServiceUnavailable
from tests.contract.emulated import use_aws_at
from tests.fakes.identities import FakeIdentity, FakeIdentityProvider
from tests.services import EmulatorHandle, find_free_port

EMAIL = "besa@example.test"
PASSWORD = "Correct-Horse-9-Battery"


@dataclass(frozen=True)
class IdentityProviderSubject:
    """Identities to hold to the contract, and ways to meddle with them."""

    identities: ManagedIdentityProvider
    status: Callable[[], str]
    groups: Callable[[], set[str]]
    enabled: Callable[[], bool]
    make_half: Callable[[], object]
    sign_up_alone: Callable[[], object]
    set_password: Callable[[], object]
    signs_in: Callable[[], bool]


def _make_fake() -> IdentityProviderSubject:
    fake = FakeIdentityProvider()
    return IdentityProviderSubject(
        fake,
        status=lambda: fake.people[EMAIL].status,
        groups=lambda: fake.people[EMAIL].groups,
        enabled=lambda: fake.people[EMAIL].enabled,
        make_half=lambda: fake.people.setdefault(EMAIL, FakeIdentity()),
        sign_up_alone=lambda: fake.people.setdefault(EMAIL, FakeIdentity(status="UNCONFIRMED")),
        set_password=lambda: setattr(fake.people[EMAIL], "password", PASSWORD),
        signs_in=lambda: fake.people[EMAIL].password == PASSWORD,
    )


class _RealUserPool:
    """A user pool of the test's own, like the template's but open to sign-ups."""

    def __init__(self) -> None:
        self.client = clients.get_cognito()
        self.id = self.client.create_user_pool(
            PoolName=uuid4().hex,
            UsernameAttributes=["email"],
            AutoVerifiedAttributes=["email"],
            Policies={"PasswordPolicy": {"MinimumLength": 12, "RequireUppercase": True, "RequireLowercase": True,
                                         "RequireNumbers": True, "RequireSymbols": True}},
        )["UserPool"]["Id"]  # fmt: skip
        for group in ("member", "agent", "staff", "admin"):
            self.client.create_group(UserPoolId=self.id, GroupName=group)
        self.app = self.client.create_user_pool_client(
            UserPoolId=self.id, ClientName="app", ExplicitAuthFlows=["ALLOW_ADMIN_USER_PASSWORD_AUTH"]
        )["UserPoolClient"]["ClientId"]

    def user(self) -> Any:
        return self.client.admin_get_user(UserPoolId=self.id, Username=EMAIL)

    def groups(self) -> set[str]:
        found = self.client.admin_list_groups_for_user(UserPoolId=self.id, Username=EMAIL)["Groups"]
        return {group["GroupName"] for group in found}

    def make_half(self) -> object:
        return self.client.admin_create_user(
            UserPoolId=self.id,
            Username=EMAIL,
            UserAttributes=[{"Name": "email", "Value": EMAIL}],
            MessageAction="SUPPRESS",
        )

    def sign_up_alone(self) -> object:
        return self.client.sign_up(ClientId=self.app, Username=EMAIL, Password=PASSWORD)

    def set_password(self) -> object:
        return self.client.admin_set_user_password(
            UserPoolId=self.id, Username=EMAIL, Password=PASSWORD, Permanent=True
        )

    def signs_in(self) -> bool:
        answer = self.client.admin_initiate_auth(
            UserPoolId=self.id,
            ClientId=self.app,
            AuthFlow="ADMIN_USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": EMAIL, "PASSWORD": PASSWORD},
        )
        return "AccessToken" in answer["AuthenticationResult"]


def _make_real() -> IdentityProviderSubject:
    pool = _RealUserPool()
    return IdentityProviderSubject(
        CognitoIdentityProvider(pool.client, pool.id),
        status=lambda: str(pool.user()["UserStatus"]),
        groups=pool.groups,
        enabled=lambda: bool(pool.user()["Enabled"]),
        make_half=pool.make_half,
        sign_up_alone=pool.sign_up_alone,
        set_password=pool.set_password,
        signs_in=pool.signs_in,
    )


@pytest.fixture(params=["fake", "cognito"])
def subject(request: pytest.FixtureRequest) -> Iterator[IdentityProviderSubject]:
    """Yield a fake pool, then a real one of the test's own."""
    if request.param == "fake":
        yield _make_fake()
        return
    emulator: EmulatorHandle = request.getfixturevalue("emulator")
    with use_aws_at(emulator.url):
        yield _make_real()


def test_a_person_can_sign_in_and_is_in_the_group(subject: IdentityProviderSubject) -> None:
    """CONFIRMED: one who waits for a first password can use neither "forgot password" nor a mailed code."""
    sub = subject.identities.find_or_create(EMAIL)
    assert subject.groups() == set()
    subject.identities.add_to_group(sub, "member")
    assert str(UUID(sub)) == sub
    assert subject.status() == "CONFIRMED"
    assert subject.groups() == {"member"}


def test_repeating_it_changes_nothing(subject: IdentityProviderSubject) -> None:
    """A job may run twice: the same sub, and the password the person has set since."""
    first = subject.identities.find_or_create(EMAIL)
    subject.identities.add_to_group(first, "member")
    subject.set_password()
    assert subject.identities.find_or_create(EMAIL) == first
    subject.identities.add_to_group(first, "member")
    assert subject.groups() == {"member"}
    assert subject.status() == "CONFIRMED"
    assert subject.signs_in()


def test_a_half_made_identity_is_completed(subject: IdentityProviderSubject) -> None:
    """A worker that died after the first of three calls."""
    subject.make_half()
    subject.identities.find_or_create(EMAIL)
    assert subject.status() == "CONFIRMED"


def test_an_identity_is_found_by_its_address(subject: IdentityProviderSubject) -> None:
    """None where nobody signs in with it: looking makes nobody."""
    assert subject.identities.find(EMAIL) is None
    sub = subject.identities.find_or_create(EMAIL)
    assert subject.identities.find(EMAIL) == sub


def test_a_stranger_who_signed_up_with_the_address_is_not_adopted(subject: IdentityProviderSubject) -> None:
    """They know that identity's password, and have shown nothing of the address being theirs."""
    subject.sign_up_alone()
    with pytest.raises(RequestRejected) as refused:
        subject.identities.find_or_create(EMAIL)
    assert refused.value.code == "IdentityNotOurs"


def test_a_group_that_does_not_exist_is_an_operators_to_make(subject: IdentityProviderSubject) -> None:
    """The template makes them all: somebody has removed it, and the person waits until it is back."""
    sub = subject.identities.find_or_create(EMAIL)
    with pytest.raises(OperatorActionNeeded):
        subject.identities.add_to_group(sub, "wizard")


def test_an_identity_that_does_not_exist_gets_no_group(subject: IdentityProviderSubject) -> None:
    """Deleted since it was found."""
    with pytest.raises(RequestRejected):
        subject.identities.add_to_group(str(uuid4()), "member")


def test_ending_access_takes_groups_and_lets_nobody_sign_in(subject: IdentityProviderSubject) -> None:
    """It is safe to repeat; somebody who comes back signs in as before."""
    sub = subject.identities.find_or_create(EMAIL)
    subject.identities.add_to_group(sub, "staff")
    subject.identities.add_to_group(sub, "member")
    for _ in range(2):
        subject.identities.end_access(sub, ("staff", "admin"))
    assert (subject.groups(), subject.enabled()) == ({"member"}, False)
    subject.identities.enable(sub)
    subject.identities.enable(sub)
    assert subject.enabled()


def test_a_deleted_identity_is_gone_and_its_address_another_ones(subject: IdentityProviderSubject) -> None:
    """Safe to repeat; and to end what is gone."""
    sub = subject.identities.find_or_create(EMAIL)
    for _ in range(2):
        subject.identities.delete(sub)
    subject.identities.end_access(sub, ("staff", "admin"))
    assert subject.identities.find(EMAIL) is None
    assert subject.identities.find_or_create(EMAIL) != sub


def test_an_identity_that_does_not_exist_is_not_enabled(subject: IdentityProviderSubject) -> None:
    """Nobody could sign in as it."""
    with pytest.raises(RequestRejected):
        subject.identities.enable(str(uuid4()))


def test_a_pool_out_of_reach_is_a_failure_that_may_be_tried_again() -> None:
    """The connection is refused, so nothing has happened."""
    with use_aws_at(f"http://127.0.0.1:{find_free_port()}"), pytest.raises(ServiceUnavailable):
        CognitoIdentityProvider(clients.get_cognito(), "eu-central-1_none").find_or_create(EMAIL)


def test_a_failure_holds_nothing_of_the_person(emulator: EmulatorHandle) -> None:
    """The error's message and its cause are logged, so neither may name the person."""
    with use_aws_at(emulator.url), pytest.raises(OperatorActionNeeded) as failed:
        CognitoIdentityProvider(clients.get_cognito(), "eu-central-1_none").find_or_create(EMAIL)
    assert EMAIL not in f"{failed.value!r} {failed.value.__cause__!r}"
    assert failed.value.__suppress_context__
