"""Fixtures of the contract tests."""

from typing import TYPE_CHECKING

import pytest

from tests.contract.state_table import client_of, new_table
from tests.services import Emulator

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@pytest.fixture(scope="session")
def dynamodb(emulator: Emulator) -> "DynamoDBClient":
    """A client of the emulated DynamoDB."""
    return client_of(emulator.url)


@pytest.fixture
def state_table(dynamodb: "DynamoDBClient") -> str:
    """A state table of the test's own."""
    return new_table(dynamodb)
