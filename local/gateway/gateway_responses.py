"""The responses that the gateway makes itself: the template's gateway responses, or API Gateway's defaults."""

import json
import re
from dataclasses import dataclass

from local.http_server import HttpResponse
from local.stack import GatewayResponse

VARIABLE = re.compile(r"\$context\.([A-Za-z]+(?:\.[A-Za-z]+)*)")
DEFAULT_TEMPLATE = {"application/json": '{"message":$context.error.messageString}'}


@dataclass(frozen=True, slots=True)
class GatewayRejection:
    """A reason for the gateway to respond instead of a function.

    `status` is the type's own, which a template may override; `error` becomes x-amzn-ErrorType.
    """

    response_type: str
    status: int
    message: str
    error: str


MISSING_TOKEN = GatewayRejection(
    "MISSING_AUTHENTICATION_TOKEN", 403, "Missing Authentication Token", "MissingAuthenticationTokenException"
)
UNAUTHORIZED = GatewayRejection("UNAUTHORIZED", 401, "Unauthorized", "UnauthorizedException")
EXPIRED = GatewayRejection("UNAUTHORIZED", 401, "The incoming token has expired", "UnauthorizedException")
AUTHORIZER_FAILURE = GatewayRejection("AUTHORIZER_FAILURE", 500, "Internal server error", "AuthorizerFailureException")
THROTTLED = GatewayRejection("THROTTLED", 429, "Too Many Requests", "TooManyRequestsException")
TOO_LARGE = GatewayRejection("REQUEST_TOO_LARGE", 413, "Request Too Long", "RequestTooLargeException")
UNSUPPORTED_ENCODING = GatewayRejection("UNSUPPORTED_MEDIA_TYPE", 415, "Unsupported Media Type", "BadRequestException")
BAD_BODY = GatewayRejection("DEFAULT_4XX", 400, "Bad Request", "BadRequestException")
HEADERS_TOO_LARGE = GatewayRejection("DEFAULT_4XX", 431, "Request Header Fields Too Large", "BadRequestException")
# for a function at its reserved concurrency API Gateway returns 500, not Lambda's 429
FUNCTION_THROTTLED = GatewayRejection(
    "INTEGRATION_FAILURE", 500, "Internal server error", "InternalServerErrorException"
)
BAD_ANSWER = GatewayRejection("DEFAULT_5XX", 502, "Internal server error", "InternalServerErrorException")
BAD_BASE64 = GatewayRejection("API_CONFIGURATION_ERROR", 500, "Internal server error", "InternalServerErrorException")
TIMEOUT = GatewayRejection("INTEGRATION_TIMEOUT", 504, "Endpoint request timed out", "InternalServerErrorException")


def map_expression(expression: str, variables: dict[str, str]) -> str:
    """Return the value of a mapping expression: `'a literal'` or `context.requestId`; empty if it has none."""
    if expression.startswith("'"):
        return expression[1:-1]
    return variables.get(expression.removeprefix("context."), "")


class GatewayResponses:
    """The responses of rejections."""

    def __init__(self, customised: list[GatewayResponse]) -> None:
        self._customised = {response.response_type: response for response in customised}

    def build_response(self, rejection: GatewayRejection, context: dict[str, str], *, accept: str = "") -> HttpResponse:
        """Return the response of a rejection. `context` has the `$context` variables, by name, without `error.…`."""
        family = "DEFAULT_4XX" if rejection.status < 500 else "DEFAULT_5XX"
        custom = self._customised.get(rejection.response_type) or self._customised.get(family)
        templates = (custom and custom.templates) or DEFAULT_TEMPLATE
        content_type = next((name for name in templates if name in accept), next(iter(templates)))
        variables = {
            **context,
            "error.message": rejection.message,
            "error.messageString": json.dumps(rejection.message),
            "error.responseType": rejection.response_type,
        }
        body = VARIABLE.sub(lambda found: variables.get(found[1], ""), templates[content_type])
        headers = {"Content-Type": content_type, "x-amzn-ErrorType": rejection.error}
        if custom:
            headers |= {name: map_expression(expression, variables) for name, expression in custom.headers.items()}
        return HttpResponse((custom and custom.status) or rejection.status, list(headers.items()), body.encode())
