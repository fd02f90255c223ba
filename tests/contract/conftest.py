"""Fixtures of the contract tests."""

from typing import TYPE_CHECKING

import pytest

from tests.contract.dynamodb_clients import make_client, make_table
from tests.services import EmulatorHandle

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@pytest.fixture(scope="session")
def dynamodb(emulator: EmulatorHandle) -> "DynamoDBClient":
    """Return a client of the emulated DynamoDB."""
    return make_client(emulator.url)


@pytest.fixture
def state_table(dynamodb: "DynamoDBClient") -> str:
    """Return a state table of the test's own."""
    return make_table(dynamodb)
