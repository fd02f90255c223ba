"""What a failed call to AWS means to the caller: refused, not done, or not known.

Only the service's error code is kept. Its message, and the request, may hold a person's address, so
neither is carried along: not as text, and not as the cause of the exception.
"""

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    ProxyConnectionError,
)

from shared.errors import DependencyFailed

AWS_ERRORS = (ClientError, BotoCoreError)


class OutOfTime(BotoCoreError):
    """The call was not begun: its longest wait would have outlasted the deadline."""

    fmt = "too little time is left"


# Refusals of the moment: the same request may pass later, and this one did nothing.
_LATER = frozenset(
    {
        "AccountSuspendedException",
        "LimitExceededException",
        "RequestLimitExceeded",
        "SendingPausedException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)

# The request never left, or met nobody.
_NEVER_SENT = (
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ProxyConnectionError,
)

_HTTP_TOO_MANY_REQUESTS = 429
_HTTP_SERVER_ERROR = 500
# No permission, an expired or a missing signature: ours to repair, so the work waits for it.
_HTTP_NOT_ALLOWED = (401, 403)


class AwsFailure(DependencyFailed):
    """A call to AWS did not succeed; `code` is a short machine name, never personal data."""


class Refused(AwsFailure):
    """The service will not do it; asking again changes nothing."""


class Unavailable(AwsFailure):
    """Nothing was done; asking again later may help."""


class NotBegun(AwsFailure):
    """Our own time was nearly up, so the call was not made: that says nothing of the service."""


class Uncertain(AwsFailure):
    """The request left and no clear answer came back: it may have been done."""


def failure_of(error: ClientError | BotoCoreError) -> AwsFailure:
    """Say which of these it is. An unknown kind of error is Uncertain: that claims the least."""
    if isinstance(error, ClientError):
        return _of_answer(error)
    code = type(error).__name__
    if isinstance(error, OutOfTime):
        return NotBegun(code)
    if isinstance(error, _NEVER_SENT):
        return Unavailable(code)
    return Refused(code) if isinstance(error, ParamValidationError) else Uncertain(code)


def error_code(error: ClientError) -> str:
    """Return the service's error code, without what follows a colon in some of them."""
    return str(error.response.get("Error", {}).get("Code") or "Unknown").split(":")[0]


def http_status(error: ClientError) -> int:
    """Return the answer's HTTP status, 500 where there is none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", _HTTP_SERVER_ERROR))


def _of_answer(error: ClientError) -> AwsFailure:
    code, status = error_code(error), http_status(error)
    if code in _LATER or status == _HTTP_TOO_MANY_REQUESTS or status in _HTTP_NOT_ALLOWED:
        return Unavailable(code)
    return Uncertain(code) if status >= _HTTP_SERVER_ERROR else Refused(code)
