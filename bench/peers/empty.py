"""A handler that does nothing: what the runtime takes to start."""

from typing import Any


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    """Serve as Lambda's entry point."""
    return {"statusCode": 200, "headers": {"Content-Type": "application/json"}, "body": "{}"}
