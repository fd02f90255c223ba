"""A DynamoDB table in memory: the requests and condition expressions that the shipped stores send, and no others.

tests/contract/test_exhaustive_table.py holds it to the emulated table. It is made anew for every step of a search.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

Item = dict[str, Any]
_TOKENS = re.compile(r"\s*(<=|>=|<>|[()=<>,]|[:#\w]+)")
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
}


class Condition:
    """A condition expression of an item: AND, OR, comparisons, attribute_not_exists(…), parentheses.

    A comparison with an attribute that is missing, or has another type, is false, as in DynamoDB.
    """

    def __init__(self, text: str, values: Mapping[str, Any], item: Item | None) -> None:
        self._tokens = _TOKENS.findall(text)
        self._values = values
        self._item = item or {}
        if "".join(self._tokens) != re.sub(r"\s", "", text):
            raise ValueError(f"not a condition that is known here: {text}")

    def is_met(self) -> bool:
        """Return whether the item meets the condition."""
        met = self._read_or()
        if self._tokens:
            raise ValueError(f"left over: {self._tokens}")
        return met

    def _read_or(self) -> bool:
        met = self._read_and()
        while self._skip("OR"):
            met = self._read_and() or met
        return met

    def _read_and(self) -> bool:
        met = self._read_term()
        while self._skip("AND"):
            met = self._read_term() and met
        return met

    def _read_term(self) -> bool:
        if self._skip("("):
            met = self._read_or()
            self._tokens.remove(")")
            return met
        if self._skip("attribute_not_exists"):
            self._tokens.pop(0)
            name = self._tokens.pop(0)
            self._tokens.pop(0)
            return name not in self._item
        left, compare, right = self._tokens.pop(0), self._tokens.pop(0), self._tokens.pop(0)
        return _compare(compare, self._find(left), self._find(right))

    def _find(self, name: str) -> Any:
        return self._values[name] if name.startswith(":") else self._item.get(name)

    def _skip(self, token: str) -> bool:
        is_next = bool(self._tokens) and self._tokens[0] == token
        if is_next:
            self._tokens.pop(0)
        return is_next


def _compare(compare: str, left: Any, right: Any) -> bool:
    if left is None or right is None or left.keys() != right.keys():
        return False
    return _COMPARE[compare](_read_value(left), _read_value(right))


def _read_value(attribute: Mapping[str, Any]) -> Any:
    return int(attribute["N"]) if "N" in attribute else attribute["S"]


class TableInMemory:
    """A client of one table, whose `items` are by primary key. Every request is carried out at once."""

    def __init__(self, items: dict[str, Item] | None = None) -> None:
        self.items = items or {}

    def get_item(self, *, Key: Item, **_more: Any) -> Item:  # noqa: N803 - boto's spelling
        """Return an item, if there is one."""
        found = self.items.get(Key["pk"]["S"])
        return {"Item": found} if found is not None else {}

    def put_item(self, **request: Any) -> Item:
        """Replace an item."""
        self._require("PutItem", request, request["Item"])
        self.items[request["Item"]["pk"]["S"]] = request["Item"]
        return {}

    def update_item(self, **request: Any) -> Item:
        """Set and remove attributes of an item, which may be new."""
        self._require("UpdateItem", request, request["Key"])
        changed = self._update(request)
        return {"Attributes": changed} if request.get("ReturnValues") == "UPDATED_NEW" else {}

    def delete_item(self, **request: Any) -> Item:
        """Delete an item."""
        self._require("DeleteItem", request, request["Key"])
        self.items.pop(request["Key"]["pk"]["S"], None)
        return {}

    def transact_write_items(self, *, TransactItems: list[Item]) -> Item:  # noqa: N803 - boto's spelling
        """Carry out all writes, or none of them if a condition is not met."""
        reasons = [self._find_reason(write) for each in TransactItems for write in each.values()]
        if any(reason["Code"] != "None" for reason in reasons):
            response: Any = {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons}
            raise ClientError(response, "TransactWriteItems")
        for each in TransactItems:
            if "Put" in each:
                self.items[each["Put"]["Item"]["pk"]["S"]] = each["Put"]["Item"]
            else:
                self._update(each["Update"])
        return {}

    def _update(self, request: Item) -> Item:
        pk = request["Key"]["pk"]["S"]
        item: Item = dict(self.items.get(pk) or request["Key"])
        changed = {}
        assignments, _, removed = request["UpdateExpression"].removeprefix("SET ").partition(" REMOVE ")
        for assignment in assignments.split(","):
            name, _, value = (part.strip() for part in assignment.partition("="))
            changed[name] = self._compute(value, item, request["ExpressionAttributeValues"])
        gone = {name.strip() for name in removed.split(",")}
        self.items[pk] = {name: value for name, value in (item | changed).items() if name not in gone}
        return changed

    def _compute(self, value: str, item: Item, values: Mapping[str, Any]) -> Any:
        first, plus, second = (part.strip() for part in value.partition("+"))
        left = values[first] if first.startswith(":") else item[first]
        return {"N": str(int(left["N"]) + int(values[second]["N"]))} if plus else left

    def _find_reason(self, request: Item) -> Item:
        held = self.items.get((request.get("Item") or request["Key"])["pk"]["S"])
        if Condition(request["ConditionExpression"], request.get("ExpressionAttributeValues", {}), held).is_met():
            return {"Code": "None"}
        shown = {"Item": held} if held is not None and "ReturnValuesOnConditionCheckFailure" in request else {}
        return {"Code": "ConditionalCheckFailed", **shown}

    def _require(self, operation: str, request: Item, key: Item) -> None:
        if "ConditionExpression" not in request:
            return
        reason = self._find_reason({**request, "Key": {"pk": key["pk"]}})
        if reason["Code"] != "None":
            response: Any = {"Error": {"Code": "ConditionalCheckFailedException"}}
            if "Item" in reason:
                response["Item"] = reason["Item"]
            raise ClientError(response, operation)
