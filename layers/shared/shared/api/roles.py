"""The words that tell a refused caller which roles may make a call."""

from shared.api.auth.caller import Group
from shared.api.operation import Operation
from shared.errors import Refusal

# In the order in which they are listed.
ROLES: dict[Group, str] = {"member": "members", "agent": "agents", "staff": "staff", "admin": "admins"}


def explain_forbidden(refusal: Refusal, operation: Operation) -> None:
    """Say in the refusal of a role which roles may make the operation's call, unless it says more already."""
    if refusal.name == "forbidden" and refusal.detail is None and operation.access is not None:
        refusal.detail = describe_access(operation)


def describe_access(operation: Operation) -> str:
    """Return who may make the operation's call."""
    names = [word for group, word in ROLES.items() if group in (operation.access or ())]
    listed = " and ".join([*([", ".join(names[:-1])] if names[1:] else []), *names[-1:]])
    role = "one of these roles" if names[1:] else "this role"
    without = ", or without an access token" if operation.sign_in == "optional" else ""
    note = f" {operation.access_note}" if operation.access_note else ""
    return f"Only {listed} may do this{without}: the access token and the account must both have {role}.{note}"
