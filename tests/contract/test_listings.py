"""The listings of documents and identities, on the emulator's S3 and Cognito."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest

from shared.aws import clients
from shared.aws.listings import EvidenceListing, IdentityListing
from shared.clock import read_utc_now
from tests.contract.emulated import use_aws_at
from tests.services import EmulatorHandle

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def aws(emulator: EmulatorHandle) -> Iterator[None]:
    """The deployed clients lead to the emulator."""
    with use_aws_at(emulator.url):
        yield


def list_names(listing: EvidenceListing | IdentityListing, ago: timedelta = HOUR) -> tuple[list[str], int]:
    """Return the names that began within the time `ago`, and in how many pages they were listed."""
    names: list[str] = []
    after, pages = None, 0
    while True:
        page, after = listing.read_page(read_utc_now() - ago, after)
        names, pages = [*names, *(each.name for each in page)], pages + 1
        if after is None:
            return names, pages


def test_objects_of_documents_are_listed_page_by_page() -> None:
    """All that were stored since, and no upload that waits for its completion."""
    bucket = f"evidence-{uuid4().hex}"
    clients.get_s3().create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    keys = [f"claims/1/{n}/1" for n in range(5)]
    for key in (*keys, "uploads/1/9"):
        clients.get_s3().put_object(Bucket=bucket, Key=key, Body=b"1")
    listing = EvidenceListing(clients.get_s3(), bucket, page_objects=2)
    assert list_names(listing) == (keys, 3)
    assert list_names(listing, -HOUR) == ([], 3)


def test_identities_are_listed_page_by_page_without_their_addresses() -> None:
    """All that were created since, by what the accounts link to."""
    pool = clients.get_cognito().create_user_pool(PoolName=uuid4().hex, UsernameAttributes=["email"])["UserPool"]["Id"]
    subs = {
        attribute["Value"]
        for n in range(5)
        for attribute in clients.get_cognito().admin_create_user(UserPoolId=pool, Username=f"besa.{n}@example.test")[
            "User"
        ]["Attributes"]
        if attribute["Name"] == "sub"
    }
    listing = IdentityListing(clients.get_cognito(), pool, page_identities=2)
    names, pages = list_names(listing)
    assert (set(names), len(names), pages) == (subs, 5, 3)
    assert list_names(listing, -HOUR)[0] == []
