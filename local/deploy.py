"""The deployment of template.yaml to the emulator through CloudFormation, unchanged but for the code, a stub there."""

import contextlib
import hashlib
import io
import json
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from local.emulator import REGION
from local.template import drop_custom_resources, list_dangling_references, read_template, replace_code

STACK_NAME = "interdomestik"
BUCKET = "interdomestik-deploy"
DEPLOY_SECONDS = 60.0
POLL_SECONDS = 0.05
UNUSABLE = {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"}
GOOD = {"CREATE_COMPLETE", "UPDATE_COMPLETE"}


class DeployFailed(Exception):
    """CloudFormation refused the template or one of its resources; the message has its reasons."""


@dataclass(frozen=True)
class EmulatorClients:
    """AWS clients for one emulator."""

    endpoint: str

    def get(self, service: str) -> Any:
        """Return a client of a service."""
        return boto3.client(
            service,  # type: ignore[call-overload]
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id="local",
            aws_secret_access_key="local",  # noqa: S106 - the emulator accepts any
            config=Config(retries={"max_attempts": 0}, connect_timeout=5, read_timeout=60),
        )


def build_parameters(*, database_port: int, front: str, authority: Path | None) -> dict[str, str]:
    """Return the template's parameters for a local cloud. `front` is the URL of the gateway."""
    tls = {"DatabaseSslRootCert": str(authority)} if authority else {"DatabaseSslMode": "disable"}
    return {
        **tls,
        "AllowedOrigins": "*",
        "DatabaseMode": "existing",  # the local PostgreSQL: the emulator has no RDS Proxy
        "DatabaseHost": "127.0.0.1",
        "DatabasePort": str(database_port),
        "DatabaseAuth": "trust",
        "MailSender": "no-reply@interdomestik.test",
        "DeskMailbox": "desk@interdomestik.test",
        "AppUrl": f"{front}/_local/#sign-in",  # the front page stands for the application that mails lead to
        "EventSources": "DISABLED",  # local.events polls and schedules, the emulator must not
        "ServiceVersion": "local",
    }


def hash_inputs(template: str, parameters: Mapping[str, str], endpoint: str) -> str:
    """Return a hex digest of what a deployment depends on."""
    parts = [
        template,
        json.dumps(parameters, sort_keys=True),
        endpoint,
        *map(_read_source, ("deploy", "stack_reader", "template")),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _read_source(module: str) -> str:
    return Path(__file__).with_name(f"{module}.py").read_text()


def is_deployed(clients: EmulatorClients) -> bool:
    """Return whether the emulator has a complete stack."""
    return _read_status(clients.get("cloudformation")) in GOOD


def deploy(clients: EmulatorClients, template: str, parameters: Mapping[str, str]) -> None:
    """Create or update the stack from the text of template.yaml. Raise DeployFailed.

    Leave out custom resources: the local cloud migrates by itself, before its gateway takes calls. Leave out parameters
    that the template doesn't have, so that a smaller template deploys as well.
    """
    document = read_template(template)
    if unknown := list_dangling_references(document):
        raise DeployFailed(f"template.yaml refers to what it doesn't have: {', '.join(sorted(unknown))}")
    cloudformation = clients.get("cloudformation")
    if _read_status(cloudformation) in UNUSABLE:
        _delete_stack(cloudformation)
    request = {
        "StackName": STACK_NAME,
        "TemplateURL": _upload_template(clients, prepare_template(document)),
        "Parameters": [
            {"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items() if k in document["Parameters"]
        ],
        "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
    }
    _apply_template(cloudformation, request)
    if "MailSender" in parameters:
        verify_sender(clients.get("sesv2"), parameters["MailSender"])


def prepare_template(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the template as the emulator gets it."""
    return replace_code(drop_custom_resources(document), f"s3://{BUCKET}/stub.zip")


def verify_sender(ses: Any, sender: str) -> None:
    """Make the sender's domain a verified identity, which on AWS an operator does once through DNS."""
    with contextlib.suppress(ses.exceptions.AlreadyExistsException):
        ses.create_email_identity(EmailIdentity=sender.rpartition("@")[2])


def _upload_template(clients: EmulatorClients, template: Mapping[str, Any]) -> str:
    """Upload the template to S3, as a template in the request is limited to 51,200 bytes; return its URL."""
    s3 = clients.get("s3")
    try:
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    except ClientError as error:
        if error.response["Error"]["Code"] != "BucketAlreadyOwnedByYou":
            raise
    s3.put_object(Bucket=BUCKET, Key="stub.zip", Body=_build_stub())
    s3.put_object(Bucket=BUCKET, Key="template.json", Body=json.dumps(template))
    return f"{clients.endpoint}/{BUCKET}/template.json"


def _build_stub() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("README.txt", "The code runs in the local gateway, not here.\n")
    return buffer.getvalue()


def _apply_template(cloudformation: Any, request: Mapping[str, Any]) -> None:
    try:
        if _read_status(cloudformation) is None:
            cloudformation.create_stack(**request)
        else:
            cloudformation.update_stack(**request)
    except ClientError as error:
        if "No updates are to be performed" in str(error):
            return
        raise DeployFailed(f"template.yaml was refused: {error.response['Error']['Message'][-2000:]}") from error
    status = _wait_until_done(cloudformation)
    if status not in GOOD:
        raise DeployFailed(f"template.yaml was not deployed ({status}):\n{_list_failure_reasons(cloudformation)}")


def _delete_stack(cloudformation: Any) -> None:
    cloudformation.delete_stack(StackName=STACK_NAME)
    _wait_until_done(cloudformation)


def _read_status(cloudformation: Any) -> str | None:
    try:
        return str(cloudformation.describe_stacks(StackName=STACK_NAME)["Stacks"][0]["StackStatus"])
    except ClientError:
        return None


def _wait_until_done(cloudformation: Any) -> str | None:
    deadline = time.monotonic() + DEPLOY_SECONDS
    while (status := _read_status(cloudformation)) is not None and status.endswith("IN_PROGRESS"):
        if time.monotonic() > deadline:
            raise DeployFailed(f"the deployment did not end within {DEPLOY_SECONDS:.0f} s")
        time.sleep(POLL_SECONDS)
    return status


def _list_failure_reasons(cloudformation: Any) -> str:
    events = cloudformation.describe_stack_events(StackName=STACK_NAME)["StackEvents"]
    failed = [event for event in reversed(events) if event["ResourceStatus"].endswith("FAILED")]
    return "\n".join(f"  {event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}" for event in failed)
