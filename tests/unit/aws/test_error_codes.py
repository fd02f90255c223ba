"""The meaning of each error of each AWS operation that we call: decided by its code, and none is left undecided."""

import ast
from pathlib import Path

import botocore.session
import pytest
from botocore import xform_name
from botocore.exceptions import ClientError, NoCredentialsError

from shared.aws import error_codes
from shared.aws.errors import (
    AwsError,
    OperatorActionNeeded,
    OutcomeUnknown,
    RequestRejected,
    ServiceUnavailable,
    classify_code,
    classify_error,
)
from tests.services import ROOT

# The layer's clients, and the adapters at home in the function that uses them. database_setup has no layer: any error
# that it meets ends the deployment.
SOURCES = (
    *Path(error_codes.__file__).parent.glob("*.py"),
    *(path for path in (ROOT / "functions").rglob("*.py") if path.parent.name not in ("database_setup", "pretraffic")),
)
SERVICES = ("cognito-idp", "dynamodb", "s3", "sesv2", "sqs")
KINDS = {
    "operator": error_codes.OPERATOR,
    "later": error_codes.LATER,
    "refused": error_codes.REFUSED,
    "uncertain": error_codes.UNCERTAIN,
}
STATUSES = (200, 400, 403, 404, 429, 500, 503)


def make_error(code: str, status: int = 400) -> ClientError:
    """Return an error as botocore raises it."""
    return ClientError(
        {"Error": {"Code": code, "Message": "why"}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        "Operation",
    )


def list_called_methods() -> set[str]:
    """Return the name of every method that the code of layer and functions calls."""
    trees = (ast.parse(path.read_text()) for path in SOURCES)
    calls = (node.func for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {function.attr for function in calls if isinstance(function, ast.Attribute)}


def list_operations() -> list[tuple[str, str]]:
    """Return the services' operations that the code calls."""
    session, called = botocore.session.get_session(), list_called_methods()
    models = {service: session.get_service_model(service) for service in SERVICES}
    return [
        (service, name)
        for service, model in models.items()
        for name in model.operation_names
        if xform_name(name) in called
    ]


OPERATIONS = list_operations()


def test_the_operations_we_call_are_found() -> None:
    """Those of every service: what is not found is not checked."""
    assert {
        ("cognito-idp", "AdminCreateUser"), ("cognito-idp", "AdminGetUser"), ("cognito-idp", "AdminSetUserPassword"),
        ("cognito-idp", "AdminAddUserToGroup"), ("cognito-idp", "DescribeUserPool"), ("sesv2", "SendEmail"),
        ("sesv2", "GetAccount"), ("s3", "HeadObject"), ("s3", "GetObject"), ("s3", "CopyObject"),
        ("s3", "DeleteObject"), ("s3", "HeadBucket"), ("sqs", "SendMessage"), ("sqs", "SendMessageBatch"),
        ("sqs", "ChangeMessageVisibility"), ("sqs", "GetQueueAttributes"), ("dynamodb", "GetItem"),
        ("dynamodb", "PutItem"), ("dynamodb", "UpdateItem"), ("dynamodb", "DeleteItem"), ("dynamodb", "BatchGetItem"),
        ("dynamodb", "TransactWriteItems"),
    } <= set(OPERATIONS)  # fmt: skip


@pytest.mark.parametrize(("service", "operation"), OPERATIONS)
def test_every_error_of_every_operation_we_call_is_decided(service: str, operation: str) -> None:
    """A new botocore may model a new one: somebody has to say what it means."""
    model = botocore.session.get_session().get_service_model(service).operation_model(operation)
    codes = {shape.name for shape in model.error_shapes}
    codes |= {
        shape.metadata["error"]["code"] for shape in model.error_shapes if "code" in shape.metadata.get("error", {})
    }
    assert [code for code in sorted(codes) if not is_decided(code)] == []


def is_decided(code: str) -> bool:
    """Return whether the meaning of a code was decided."""
    return code.lower().startswith(error_codes.OPERATOR_PREFIX) or any(code in codes for codes in KINDS.values())


def test_no_code_means_two_things() -> None:
    """Each code is in one list."""
    codes = [code for listed in KINDS.values() for code in listed]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("listed", KINDS)
def test_the_code_decides_and_never_the_status(listed: str, status: int) -> None:
    """Cognito, DynamoDB, SQS and SES say 400 for a missing permission, S3 says 403."""
    kinds: dict[str, type[AwsError]] = {
        "operator": OperatorActionNeeded, "later": ServiceUnavailable,
        "refused": RequestRejected, "uncertain": OutcomeUnknown,
    }  # fmt: skip
    for code in KINDS[listed]:
        assert type(classify_error(make_error(code, status))) is kinds[listed], code


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("AccessDeniedException", OperatorActionNeeded),
        ("AccessDenied", OperatorActionNeeded),
        ("UnrecognizedClientException", OperatorActionNeeded),
        ("ExpiredTokenException", OperatorActionNeeded),
        ("InvalidSignatureException", OperatorActionNeeded),
        ("MissingAuthenticationTokenException", OperatorActionNeeded),
        ("ResourceNotFoundException", OperatorActionNeeded),
        ("NoSuchBucket", OperatorActionNeeded),
        ("AWS.SimpleQueueService.NonExistentQueue", OperatorActionNeeded),
        ("KMS.DisabledException", OperatorActionNeeded),
        ("KmsAccessDenied", OperatorActionNeeded),
        ("KMSInvalidStateException", OperatorActionNeeded),
        ("KmsThrottled", ServiceUnavailable),
        ("MailFromDomainNotVerifiedException", OperatorActionNeeded),
        ("SendingPausedException", OperatorActionNeeded),
        ("TooManyRequestsException", ServiceUnavailable),
        ("SlowDown", ServiceUnavailable),
        ("MessageRejected", RequestRejected),
        ("InvalidParameterException", RequestRejected),
        ("ConditionalCheckFailedException", RequestRejected),
        ("InternalErrorException", OutcomeUnknown),
        ("Code.With: more to say", OutcomeUnknown),
        ("AccessDenied: more to say", OperatorActionNeeded),
    ],
)
def test_codes_mean_what_the_services_say_of_them(code: str, kind: type[AwsError]) -> None:
    """The test has one code of each kind, each with HTTP 400."""
    assert type(classify_error(make_error(code))) is kind


@pytest.mark.parametrize("status", STATUSES)
def test_a_code_that_nobody_knows_is_uncertain(status: int) -> None:
    """Circuits count it, a mail is not sent again, and an identity is: each is the safe side."""
    assert classify_code("NeverHeardOfException") is OutcomeUnknown
    assert type(classify_error(make_error("NeverHeardOfException", status))) is OutcomeUnknown


def test_without_credentials_an_operator_is_needed() -> None:
    """The request never left."""
    assert type(classify_error(NoCredentialsError())) is OperatorActionNeeded
