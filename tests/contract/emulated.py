"""A context manager that directs the deployed AWS clients to another endpoint."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from shared.aws import clients

_BUILT = (clients.get_dynamodb, clients.get_sqs, clients.get_cognito, clients.get_s3, clients.get_sesv2)


@contextmanager
def use_aws_at(url: str) -> Iterator[None]:
    """Within the block every client of shared.aws.clients goes to `url`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", url)
        patch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        _forget()
        yield
        _forget()


def _forget() -> None:
    for built in _BUILT:
        built.cache_clear()
