"""What health remembers of the database between two starts of the local cloud."""

from typing import Any

from local.stack import Stack

TABLE = "StateTable"  # of the stack's outputs
# The item in which health keeps the server that last took writes; a test compares it with health's own name for it.
KEY = "health#server"


def forget_writer(dynamodb: Any, stack: Stack) -> None:
    """Delete the item, if this stack has the table.

    A server that was started again has another id, so that a start would look like a failover, and ring its alarms.
    """
    if table := stack.outputs.get(TABLE):
        dynamodb.delete_item(TableName=table, Key={"pk": {"S": KEY}})
