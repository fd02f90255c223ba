"""The exceptions for a failed call to AWS: refused, not done, or not known; by the error's code alone.

The HTTP status says less: Cognito, DynamoDB, SQS and SES answer 400 also where a permission is missing.

Only the service's error code is kept. Its message, and the request, may hold a person's address, so
neither is carried along: not as text, and not as the cause of the exception.
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
    """The call was not begun: its longest wait would have outlasted the deadline."""

    fmt = "too little time is left"


# The request never left, because we are not set up to send it: an operator's to repair.
_NOT_SET_UP = (
    CredentialRetrievalError,
    MetadataRetrievalError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
)
# The request never left, or met nobody.
_NEVER_SENT = (ConnectTimeoutError, EndpointConnectionError, ProxyConnectionError)


class AwsError(DependencyFailed):
    """A call to AWS did not succeed; `code` is a short machine name, never personal data."""


class RequestRejected(AwsError):
    """The service will not do it; asking again changes nothing."""


class ServiceUnavailable(AwsError):
    """Nothing was done; asking again later may help."""


class OperatorActionNeeded(ServiceUnavailable):
    """Nothing was done, nor will be until an operator repairs it: a permission, credentials, a lost resource."""


class CallNotBegun(AwsError):
    """Our own time was nearly up, so the call was not made: that says nothing of the service."""


class OutcomeUnknown(AwsError):
    """The request left and no clear answer came back: it may have been done."""


def classify_error(error: BotoError) -> AwsError:
    """Say which of these it is. An unknown kind of error is Uncertain: that claims the least."""
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
    """Return the service's error code, without what follows a colon in some of them; ours where it gave none."""
    if not isinstance(error, ClientError):
        return type(error).__name__
    return str(error.response.get("Error", {}).get("Code") or "Unknown").split(":")[0]


def read_error_message(error: BotoError) -> str:
    """Return the service's words, which may hold a person's address: to be looked at, not carried along."""
    return str(error.response.get("Error", {}).get("Message", "")) if isinstance(error, ClientError) else ""


def classify_code(code: str) -> type[AwsError]:
    """Return what an error code means. An unknown one is Uncertain: that claims the least, and circuits count it."""
    if code in error_codes.REFUSED:
        return RequestRejected
    if code in error_codes.LATER:
        return ServiceUnavailable
    if code in error_codes.OPERATOR or code.lower().startswith(error_codes.OPERATOR_PREFIX):
        return OperatorActionNeeded
    return OutcomeUnknown
