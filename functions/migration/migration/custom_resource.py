"""CloudFormation's requests to a custom resource, and the answers to them."""

import json
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

ANSWER_S = 10.0
RESOURCE_ID = "migration"  # always the same: CloudFormation takes another id for a new resource, and deletes this one
REASON_CHARACTERS = 1000  # CloudFormation takes 4 KB in all

RequestType = Literal["Create", "Update", "Delete"]


@dataclass(frozen=True, slots=True)
class ResourceRequest:
    """A request: what to do, and the function's version now and before, each the number at the end of its ARN."""

    kind: RequestType
    version: int
    version_before: int | None
    event: Mapping[str, Any]

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> "ResourceRequest":
        """Return the request of an event. Raise KeyError, ValueError if it is not CloudFormation's."""
        before = event.get("OldResourceProperties", {}).get("Version")
        version = _read_number(event["ResourceProperties"]["Version"])
        return cls(event["RequestType"], version, _read_number(before) if before else None, event)

    @property
    def is_rollback(self) -> bool:
        """Return whether CloudFormation goes back from a version of the function to an earlier one.

        Versions are counted upwards, so an earlier release that is deployed again has a later one.
        """
        return self.version_before is not None and self.version < self.version_before


def _read_number(arn: str) -> int:
    return int(arn.rpartition(":")[2])


def send_answer(event: Mapping[str, Any], status: Literal["SUCCESS", "FAILED"], reason: str = "") -> None:
    """Put the outcome where CloudFormation asked for it. Raise OSError.

    `database_setup` has the same lines: it ships without the layer, and no function imports another's code.
    """
    body = {
        "Status": status,
        "Reason": reason[:REASON_CHARACTERS],
        "PhysicalResourceId": RESOURCE_ID,
        **{name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")},
    }
    # S3 signed the address for an empty content type.
    request = urllib.request.Request(  # noqa: S310 - CloudFormation's address
        event["ResponseURL"], data=json.dumps(body).encode(), method="PUT", headers={"Content-Type": ""}
    )
    urllib.request.urlopen(request, timeout=ANSWER_S).close()  # noqa: S310
