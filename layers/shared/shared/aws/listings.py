"""Pages of what services hold that began at or after a moment, without personal data: for comparing with the database.

Objects need s3:ListBucket, identities cognito-idp:ListUsers.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from shared.aws.errors import BOTO_ERRORS, classify_error

if TYPE_CHECKING:
    from mypy_boto3_cognito_idp import CognitoIdentityProviderClient
    from mypy_boto3_s3 import S3Client

EVIDENCE_PREFIX = "claims/"
PAGE_OBJECTS = 1000
PAGE_IDENTITIES = 60  # the most that Cognito returns at once


@dataclass(frozen=True, slots=True)
class ListedItem:
    """An object by its key, or an identity by its `sub`, and when it was stored or created."""

    name: str
    began_at: datetime


class EvidenceListing:
    """The objects of a bucket's documents."""

    def __init__(self, client: "S3Client", bucket: str, *, page_objects: int = PAGE_OBJECTS) -> None:
        self._client = client
        self._bucket = bucket
        self._page_objects = page_objects

    def read_page(self, since: datetime, after: str | None) -> tuple[list[ListedItem], str | None]:
        """Return what a page of keys has from `since` on, and the key after which the next one begins, None at the end.

        Raise AwsError.
        """
        start: dict[str, Any] = {"StartAfter": after} if after else {}
        try:
            page = self._client.list_objects_v2(
                Bucket=self._bucket, Prefix=EVIDENCE_PREFIX, MaxKeys=self._page_objects, **start
            )
        except BOTO_ERRORS as error:
            raise classify_error(error) from None
        found = [ListedItem(each["Key"], each["LastModified"]) for each in page.get("Contents", ())]
        last = found[-1].name if found and page["IsTruncated"] else None
        return [each for each in found if each.began_at >= since], last


class IdentityListing:
    """The identities of a user pool."""

    def __init__(
        self, client: "CognitoIdentityProviderClient", pool_id: str, *, page_identities: int = PAGE_IDENTITIES
    ) -> None:
        self._client = client
        self._pool_id = pool_id
        self._page_identities = page_identities

    def read_page(self, since: datetime, after: str | None) -> tuple[list[ListedItem], str | None]:
        """Return what a page of the pool has from `since` on, and the token of the next page, None at the end.

        Addresses are not asked for. Raise AwsError.
        """
        start: dict[str, Any] = {"PaginationToken": after} if after else {}
        try:
            page = self._client.list_users(
                UserPoolId=self._pool_id, AttributesToGet=["sub"], Limit=self._page_identities, **start
            )
        except BOTO_ERRORS as error:
            raise classify_error(error) from None
        found = [
            ListedItem(attribute["Value"], user["UserCreateDate"])
            for user in page["Users"]
            for attribute in user["Attributes"]
            if attribute["Name"] == "sub" and user["UserCreateDate"] >= since
        ]
        return found, page.get("PaginationToken")
