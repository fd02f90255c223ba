"""Operators' commands about people, run by the operations function of a local cloud on its own user pool."""

from typing import Any

import httpx
import pytest

from local.deploy import EmulatorClients
from local.stack import Stack
from tests.e2e.cloud import RunningCloud, get_next_serial
from tests.e2e.cloud_users import CloudUsers


def command(cloud: RunningCloud, name: str, **facts: str) -> dict[str, Any]:
    """Run a command; what it answers, or why it failed."""
    url = f"{cloud.origin}/2015-03-31/functions/AdminFunction/invocations"
    answer: dict[str, Any] = httpx.post(url, json={"command": name, **facts}, timeout=60).json()
    return answer


@pytest.fixture
def stack(cloud: RunningCloud) -> Stack:
    """Return the deployed stack."""
    return Stack.load(cloud.folder / "stack.json")


def groups(stack: Stack, email: str) -> list[str]:
    """Return the groups of whoever signs in with an address."""
    identity = EmulatorClients(stack.endpoint_url).get("cognito-idp")
    found = identity.admin_list_groups_for_user(UserPoolId=stack.user_pool_id, Username=email)["Groups"]
    return [group["GroupName"] for group in found]


def test_a_live_token_of_who_was_removed_reads_nothing(cloud: RunningCloud) -> None:
    """The gateway still accepts the token, but the function asks the account."""
    email = f"leaver.{get_next_serial()}@example.test"
    leaver = cloud.make_client(token=cloud.get_token(role="admin", email=email))
    paths = ("/members", "/agents", "/claims", "/jobs", "/payouts", "/commissions")
    assert {leaver.get(path).status_code for path in paths} == {200}
    assert command(cloud, "remove-staff", email=email)["open_claims"] == 0
    assert {leaver.get(path).status_code for path in paths} == {403}
    assert "errorMessage" not in command(cloud, "remove-staff", email=email)


def test_a_member_who_changed_their_sign_in_to_an_address_gets_nothing_by_it(
    cloud: RunningCloud, users: CloudUsers, stack: Stack
) -> None:
    """An operator believes the address; the sign-in is the member's, so the command refuses and grants nothing."""
    member, client = users.make_member()
    address = f"drita.{get_next_serial()}@example.test"
    token = client.headers["Authorization"].removeprefix("Bearer ")
    EmulatorClients(stack.endpoint_url).get("cognito-idp").update_user_attributes(
        AccessToken=token, UserAttributes=[{"Name": "email", "Value": address}]
    )
    facts = {"email": address, "full_name": "Drita Berisha", "role": "admin", "language": "sq"}
    answer = command(cloud, "create-staff", **facts)
    assert answer["errorMessage"] == "the sign-in with this address belongs to another account"
    assert groups(stack, address) == ["member"]
    assert cloud.query_rows("SELECT role FROM accounts WHERE id = %s OR email = %s", member["id"], address) == [
        {"role": "member"}
    ]


def test_an_address_is_freed_until_its_owner_has_signed_in(cloud: RunningCloud, users: CloudUsers) -> None:
    """Until then anybody may have typed the address in; afterwards it belongs to its owner."""
    registered = users.register()
    assert command(cloud, "free-address", email=registered["email"])["account_id"] == registered["id"]
    again, owner = users.make_member(email=registered["email"])
    assert owner.get("/members/me").json()["id"] == again["id"] != registered["id"]
    answer = command(cloud, "free-address", email=registered["email"])
    assert answer["errorMessage"] == "the address is proven: its owner has signed in"
