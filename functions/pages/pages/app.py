"""The handler of the pages: the API's description, its page, and 404 or 405 for every address that no operation serves.

It shares no environment with the health function: calls to unknown addresses do not slow down the health check.
"""

from typing import Any

from pages import documentation
from shared.api.router import Api
from shared.container import get_container

api = Api()
documentation.register_operations(api)
# The health function serves these two; requests with other methods end up here and learn which methods there are.
api.declare_methods("/health", "GET")
api.declare_methods("/health/deep", "GET")


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Serve as Lambda's entry point."""
    return api.handle(event, context, get_container())
