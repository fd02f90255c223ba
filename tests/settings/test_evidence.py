"""A form and a link are valid as long as was decided, by what is signed."""

import base64
import json
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest

from shared.aws.s3 import S3DocumentStore

SLACK = timedelta(seconds=10)  # for a slow machine between two looks at the clock


@pytest.fixture
def evidence() -> S3DocumentStore:
    """Return the bucket, with keys that sign and open nothing: signing calls nobody."""
    client = boto3.client(
        "s3",
        region_name="eu-central-1",
        aws_access_key_id="tests",
        aws_secret_access_key="tests",
    )
    return S3DocumentStore(client, "evidence")


def test_a_form_is_valid_for_fifteen_minutes(evidence: S3DocumentStore) -> None:
    """S3 enforces the expiration in its policy."""
    before = datetime.now(UTC)
    form = evidence.presign_upload(key="uploads/1", content_type="image/png", size=3)
    policy = json.loads(base64.b64decode(form.fields["policy"]))
    ends = datetime.fromisoformat(policy["expiration"].replace("Z", "+00:00"))
    assert timedelta(minutes=15) - SLACK <= ends - before <= timedelta(minutes=15) + SLACK


def test_a_link_is_valid_for_five_minutes(evidence: S3DocumentStore) -> None:
    """The address itself has its expiration."""
    link = evidence.presign_download(key="claims/1", file_name="a.png", content_type="image/png")
    assert _validity_s(link) == 300


def _validity_s(link: str) -> int:
    """Return the seconds for which a link is valid, by either of S3's ways to sign one."""
    query = parse_qs(urlsplit(link).query)
    if "X-Amz-Expires" in query:
        return int(query["X-Amz-Expires"][0])
    return round(int(query["Expires"][0]) - datetime.now(UTC).timestamp())
