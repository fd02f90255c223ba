"""The API's description as the clients' generators read it."""

import copy
from collections.abc import Mapping
from typing import Any

# Headers that the clients' layer fills in by itself, so that no caller has to; a caller may still set them.
FILLED_IN = frozenset({"Idempotency-Key", "If-Match"})


def adapt_description(description: Mapping[str, Any]) -> dict[str, Any]:
    """Return the description with every header optional that the clients fill in."""
    adapted = copy.deepcopy(dict(description))
    for item in adapted["paths"].values():
        for operation in item.values():
            for parameter in operation.get("parameters", ()):
                if parameter.get("in") == "header" and parameter.get("name") in FILLED_IN:
                    parameter["required"] = False
    shared = adapted.get("components", {}).get("parameters", {})
    for parameter in shared.values():
        if parameter.get("in") == "header" and parameter.get("name") in FILLED_IN:
            parameter["required"] = False
    return adapted
