"""The health function: parse, call once, map."""

from datetime import datetime
from typing import Any, Literal

from health import docs
from shared.http.api import Api
from shared.http.operation import Answer, Call, Nothing, answered
from shared.text import View
from shared.wiring import wiring

api = Api()
docs.register(api)


class HealthView(View):
    """That the process answers."""

    status: Literal["healthy"]
    version: str
    time: datetime


@api.get("/health", summary="Is it there?", answer=HealthView, sign_in="none", limit=None)
def shallow(call: Call[Nothing]) -> Answer:
    """Touches nothing outside the process."""
    version = call.wiring.settings.service_version
    return answered(HealthView(status="healthy", version=version, time=call.wiring.clock()))


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Lambda's entry point."""
    return api.handle(event, context, wiring())
