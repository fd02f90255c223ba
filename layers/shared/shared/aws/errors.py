"""The exceptions of failed AWS calls (rejected, unavailable, not begun, outcome unknown), by error code alone.

The HTTP status says less: Cognito, DynamoDB, SQS and SES also return 400 if a permission is missing.

Only the service's error code is kept. Its message and the request may contain a person's address, so neither goes into
the exception, not as text and not as its cause.
"""

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    MetadataRetrievalError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProxyConnectionError,
)

from shared.aws import error_codes
from shared.errors import DependencyFailed

BotoError = ClientError | BotoCoreError
BOTO_ERRORS = (ClientError, BotoCoreError)


class OutOfTime(BotoCoreError):
    """The call was not begun: its longest possible wait would have outlasted the deadline."""

    fmt = "too little time is left"


# The request was never sent, because the function is not set up for it: an operator has to fix that.
_NOT_SET_UP = (
    CredentialRetrievalError,
    MetadataRetrievalError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
)
# The request was never sent, or reached no server.
_NEVER_SENT = (ConnectTimeoutError, EndpointConnectionError, ProxyConnectionError)


class AwsError(DependencyFailed):
    """A call to AWS did not succeed; `code` is a short machine-readable name, never personal data."""


class RequestRejected(AwsError):
    """The service rejects the request; repeating it changes nothing."""


class ServiceUnavailable(AwsError):
    """Nothing was done; repeating the call later may succeed."""


class OperatorActionNeeded(ServiceUnavailable):
    """Nothing was done, nor will be until an operator fixes it: a permission, credentials, a missing resource."""


class CallNotBegun(AwsError):
    """Our own deadline was too close, so the call was not made: that says nothing about the service."""


class OutcomeUnknown(AwsError):
    """The request was sent, and no clear answer came back: it may have been carried out."""


def classify_error(error: BotoError) -> AwsError:
    """Return the exception for a failed call; an unknown kind of error is OutcomeUnknown, which assumes the least."""
    code = read_error_code(error)
    if isinstance(error, ClientError):
        return classify_code(code)(code)
    if isinstance(error, OutOfTime):
        return CallNotBegun(code)
    if isinstance(error, _NOT_SET_UP):
        return OperatorActionNeeded(code)
    if isinstance(error, _NEVER_SENT):
        return ServiceUnavailable(code)
    return RequestRejected(code) if isinstance(error, ParamValidationError) else OutcomeUnknown(code)


def read_error_code(error: BotoError) -> str:
    """Return the service's error code without the part after a colon; the error's class if the service gave none."""
    if not isinstance(error, ClientError):
        return type(error).__name__
    return str(error.response.get("Error", {}).get("Code") or "Unknown").split(":")[0]


def read_error_message(error: BotoError) -> str:
    """Return the service's message, which may contain a person's address: to be examined, not stored."""
    return str(error.response.get("Error", {}).get("Message", "")) if isinstance(error, ClientError) else ""


def classify_code(code: str) -> type[AwsError]:
    """Return the exception for an error code.

    An unknown one is OutcomeUnknown, which assumes the least and counts as a failure for circuits.
    """
    if code in error_codes.REFUSED:
        return RequestRejected
    if code in error_codes.LATER:
        return ServiceUnavailable
    if code in error_codes.OPERATOR or code.lower().startswith(error_codes.OPERATOR_PREFIX):
        return OperatorActionNeeded
    return OutcomeUnknown
