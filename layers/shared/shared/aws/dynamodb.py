"""Conditional writes to DynamoDB: whether the condition failed, and the item that caused it."""

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from shared.aws.errors import BotoError, read_error_code


def has_condition_failed(error: BotoError) -> bool:
    """Return whether a write was not made because its condition was false."""
    return read_error_code(error) == "ConditionalCheckFailedException"


def read_conflicting_item(error: BotoError) -> Mapping[str, Any] | None:
    """Return the item whose condition failed, for writes with `ReturnValuesOnConditionCheckFailure="ALL_OLD"`."""
    response: Mapping[str, Any] = error.response if isinstance(error, ClientError) else {}
    return response.get("Item")
