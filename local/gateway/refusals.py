"""What the gateway says by itself: the template's gateway responses, or API Gateway's defaults."""

import json
import re
from dataclasses import dataclass

from local.stack import GatewayResponse
from local.wire import Response

VARIABLE = re.compile(r"\$context\.([A-Za-z]+(?:\.[A-Za-z]+)*)")
DEFAULT_TEMPLATE = {"application/json": '{"message":$context.error.messageString}'}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reason for the gateway to answer instead of a function. `status` is the type's own, which a template may
    override; `error` becomes x-amzn-ErrorType."""

    response_type: str
    status: int
    message: str
    error: str


MISSING_TOKEN = Refusal(
    "MISSING_AUTHENTICATION_TOKEN", 403, "Missing Authentication Token", "MissingAuthenticationTokenException"
)
UNAUTHORIZED = Refusal("UNAUTHORIZED", 401, "Unauthorized", "UnauthorizedException")
EXPIRED = Refusal("UNAUTHORIZED", 401, "The incoming token has expired", "UnauthorizedException")
AUTHORIZER_FAILURE = Refusal("AUTHORIZER_FAILURE", 500, "Internal server error", "AuthorizerFailureException")
THROTTLED = Refusal("THROTTLED", 429, "Too Many Requests", "TooManyRequestsException")
TOO_LARGE = Refusal("REQUEST_TOO_LARGE", 413, "Request Too Long", "RequestTooLargeException")
UNSUPPORTED_ENCODING = Refusal("UNSUPPORTED_MEDIA_TYPE", 415, "Unsupported Media Type", "BadRequestException")
BAD_BODY = Refusal("DEFAULT_4XX", 400, "Bad Request", "BadRequestException")
HEADERS_TOO_LARGE = Refusal("DEFAULT_4XX", 431, "Request Header Fields Too Large", "BadRequestException")
# a function at its reserved concurrency: the caller of API Gateway sees a 500, not Lambda's 429
FUNCTION_THROTTLED = Refusal("INTEGRATION_FAILURE", 500, "Internal server error", "InternalServerErrorException")
BAD_ANSWER = Refusal("DEFAULT_5XX", 502, "Internal server error", "InternalServerErrorException")
BAD_BASE64 = Refusal("API_CONFIGURATION_ERROR", 500, "Internal server error", "InternalServerErrorException")
TIMEOUT = Refusal("INTEGRATION_TIMEOUT", 504, "Endpoint request timed out", "InternalServerErrorException")


def mapped(expression: str, facts: dict[str, str]) -> str:
    """The value of a mapping expression: `'a literal'` or `context.requestId`; empty for what the call has not."""
    if expression.startswith("'"):
        return expression[1:-1]
    return facts.get(expression.removeprefix("context."), "")


class Refusals:
    """Turns a refusal into an answer."""

    def __init__(self, customised: list[GatewayResponse]) -> None:
        self._customised = {response.response_type: response for response in customised}

    def answer(self, refusal: Refusal, context: dict[str, str], *, accept: str = "") -> Response:
        """The answer to a refusal. `context` holds the `$context` variables, by name, without `error.…`."""
        family = "DEFAULT_4XX" if refusal.status < 500 else "DEFAULT_5XX"
        custom = self._customised.get(refusal.response_type) or self._customised.get(family)
        templates = (custom and custom.templates) or DEFAULT_TEMPLATE
        content_type = next((name for name in templates if name in accept), next(iter(templates)))
        facts = {
            **context,
            "error.message": refusal.message,
            "error.messageString": json.dumps(refusal.message),
            "error.responseType": refusal.response_type,
        }
        body = VARIABLE.sub(lambda found: facts.get(found[1], ""), templates[content_type])
        headers = {"Content-Type": content_type, "x-amzn-ErrorType": refusal.error}
        if custom:
            headers |= {name: mapped(expression, facts) for name, expression in custom.headers.items()}
        return Response((custom and custom.status) or refusal.status, list(headers.items()), body.encode())
