"""The harness's access to AWS's own APIs: signing users in, and counting messages in queues."""

import secrets
from typing import Any

import boto3
from botocore.config import Config

REGION = "eu-central-1"
STACK = "interdomestik"
QUEUES = ("QueueHigh", "QueueNormal", "QueueLow", "NudgeQueue")
DEAD_LETTER_QUEUES = ("DeadLetterHigh", "DeadLetterNormal", "DeadLetterLow")
COUNTS = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"]


class AwsAccess:
    """The stack's AWS resources, at an emulator's endpoint."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        stack = self.make_client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        self._cognito = self.make_client("cognito-idp")
        self._sqs = self.make_client("sqs")

    def sign_in(self, email: str) -> str:
        """Return an access token of a user who has an identity, with a new password."""
        password, pool = f"Aa1!{secrets.token_urlsafe(24)}", self.outputs["UserPoolId"]
        self._cognito.admin_set_user_password(UserPoolId=pool, Username=email, Password=password, Permanent=True)
        answer = self._cognito.admin_initiate_auth(
            UserPoolId=pool,
            ClientId=self.outputs["UserPoolClientId"],
            AuthFlow="ADMIN_USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": email, "PASSWORD": password},
        )
        return str(answer["AuthenticationResult"]["AccessToken"])

    def count_queued(self) -> dict[str, int]:
        """Return the number of messages in each queue, the dead-letter queues included."""
        found = {}
        for name in (*QUEUES, *DEAD_LETTER_QUEUES):
            answer = self._sqs.get_queue_attributes(QueueUrl=self.outputs[name], AttributeNames=COUNTS)
            found[name] = sum(int(count) for count in answer["Attributes"].values())
        return found

    def make_client(self, service: str) -> Any:
        """Return a client of a service."""
        return boto3.client(
            service,  # type: ignore[call-overload]
            endpoint_url=self._endpoint,
            region_name=REGION,
            aws_access_key_id="local",
            aws_secret_access_key="local",  # noqa: S106 - the emulator takes any
            config=Config(retries={"max_attempts": 1}, connect_timeout=5, read_timeout=30, max_pool_connections=20),
        )
