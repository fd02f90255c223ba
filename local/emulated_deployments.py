"""CodeDeploy's application and deployment groups for the emulator's CloudFormation, which has no CodeDeploy.

Runs in the emulator's process. They are kept by name alone: an alias moves at once there, and nothing calls the
emulator's functions. `local.release` shifts the calls of the functions that do run, by what the groups say.
"""

from typing import Any

from ministack.services.cloudformation import provisioners

TYPES = ("AWS::CodeDeploy::Application", "AWS::CodeDeploy::DeploymentGroup")
LONGEST_NAME = 100


def add_deployments() -> None:
    """Teach CloudFormation the types."""
    for name in TYPES:
        provisioners._RESOURCE_HANDLERS[name] = {  # noqa: SLF001 - it has no public name
            "create": create,
            "update": update,
            "delete": delete,
        }


def create(logical_id: str, _properties: dict[str, Any], stack: str) -> tuple[str, dict[str, str]]:
    """Return the name of a new resource, and no attributes."""
    return provisioners._physical_name(stack, logical_id, max_len=LONGEST_NAME), {}  # noqa: SLF001


def update(name: str, _old: dict[str, Any], _new: dict[str, Any], _stack: str) -> tuple[str, dict[str, str]]:
    """Return the name that a resource keeps."""
    return name, {}


def delete(_name: str, _properties: dict[str, Any]) -> None:
    """Delete nothing: nothing is kept."""
