"""The requests and responses of the claims API."""

from datetime import date, datetime
from typing import Annotated, Any, Literal, get_args
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from shared.clock import compute_latest_local_date
from shared.fields import (
    INTEGRAL,
    Amount,
    CompanyName,
    Country,
    Currency,
    Date,
    OwnOrId,
    RecordId,
    RequestModel,
    ResponseModel,
    TextFormat,
    make_file_name_format,
    make_line_format,
    make_prose_format,
    make_rule_error,
)
from shared.fields.code_lists import DECIMALS
from shared.fields.pagination import PageQuery

Category = Literal["vehicle", "property", "injury", "travel"]
ClaimState = Literal[
    "submitted", "verification", "evaluation", "negotiation", "court", "resolved", "rejected", "withdrawn"
]
DeclineCode = Literal["not_covered", "insufficient_evidence", "time_barred", "duplicate", "no_response", "other"]
ContentType = Literal["image/jpeg", "image/png", "image/webp", "application/pdf", "text/plain"]
ActorRole = Literal["member", "staff", "admin"]
DocumentState = Literal["pending", "available", "rejected"]


def _parse_boolean(value: Any) -> bool:
    # Parsed here, since pydantic accepts "1", "on" and "yes" for true, even in strict mode.
    if value not in ("true", "false"):
        raise make_rule_error("must be true or false")
    return bool(value == "true")


Flag = Annotated[bool, BeforeValidator(_parse_boolean)]

MAX_DOCUMENT_BYTES = 10 * 1024 * 1024

# The extensions of each type, as its IANA registration names them (.jfif is what Windows writes).
EXTENSIONS: dict[ContentType, tuple[str, ...]] = {
    "image/jpeg": ("jpg", "jpeg", "jpe", "jfif"),
    "image/png": ("png",),
    "image/webp": ("webp",),
    "application/pdf": ("pdf",),
    "text/plain": ("txt", "text"),
}
ClaimNumber = Annotated[str, TextFormat(r"^CLM-[0-9]{4}-[0-9]{6,12}$", "a claim's number, like CLM-2026-000045")]
FileName = Annotated[str, make_file_name_format(1, 200, [e for extensions in EXTENSIONS.values() for e in extensions])]

# Older claims are time-barred everywhere; an earlier date is a typing error.
EARLIEST_INCIDENT = date(1990, 1, 1)


def _check_incident_date(value: date, info: ValidationInfo) -> date:
    context: dict[str, datetime] = info.context or {}
    if value > compute_latest_local_date(context["now"]):
        raise make_rule_error("is in the future")
    if value < EARLIEST_INCIDENT:
        raise make_rule_error("is before 1990")
    return value


class NewClaim(RequestModel):
    """A claim as its member submits it."""

    category: Category = Field(description="What kind of trouble it is.")
    title: Annotated[str, make_line_format(5, 200, about="What the claim is about, in one line")]
    company_name: CompanyName = Field(
        description="The insurer, airline, landlord or shop that the claim is against; has a letter or a digit."
    )
    description: Annotated[str, make_prose_format(20, 10_000, about="What happened, and what was tried")]
    incident_date: Annotated[Date, AfterValidator(_check_incident_date)] = Field(
        description="The day on which it happened: in 1990 or later, and not in the future."
    )
    incident_country: Country = Field(description="The country in which it happened.")
    currency: Currency = Field(default="EUR", description="The currency of the amount.")
    amount: Amount  # after the currency, which decides the number of decimals

    @field_validator("amount")
    @classmethod
    def _check_decimals(cls, value: str, info: ValidationInfo) -> str:
        """Return the amount with exactly as many decimals as its currency has."""
        if "currency" not in info.data:
            return value
        whole, _, fraction = value.partition(".")
        decimals = DECIMALS[info.data["currency"]]
        if len(fraction) > decimals:
            raise make_rule_error(f"has {len(fraction)} decimals, and its currency has {decimals}")
        return f"{whole}.{fraction.ljust(decimals, '0')}" if decimals else whole


class Transition(RequestModel):
    """The next state of a claim, and the reason; only a rejection names a decline code, and must."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"to": {"const": "rejected"}}},
            "then": {"required": ["decline_code"], "properties": {"decline_code": {"type": "string"}}},
            "else": {"properties": {"decline_code": {"type": "null"}}},
        }
    )

    to: ClaimState = Field(description="The state that the claim is to have.")
    reason: Annotated[str, make_prose_format(2, 2000, about="Why, which the member can read, too")]
    decline_code: DeclineCode | None = Field(
        default=None,
        validate_default=True,
        description="Why the claim is rejected: required for rejected, and refused for any other state.",
    )

    @field_validator("decline_code")
    @classmethod
    def _check_decline_code(cls, value: DeclineCode | None, info: ValidationInfo) -> DeclineCode | None:
        to = info.data.get("to")
        if to == "rejected" and value is None:
            raise make_rule_error(f"is required when a claim is rejected: one of {', '.join(get_args(DeclineCode))}")
        if to not in (None, "rejected") and value is not None:
            raise make_rule_error("is for rejected only: leave it out")
        return value


class Assignment(RequestModel):
    """The new assignee of a claim: a staff account, or `me`; null takes the claim from its assignee."""

    staff_id: OwnOrId | None = Field(description="The id of a staff account, `me` for your own, or null for nobody.")


class ClaimQuery(PageQuery):
    """The filters of the list of claims, each of which narrows it; `stuck` have been in their state for too long."""

    number: ClaimNumber | None = Field(default=None, description="Only the claim with this number.")
    member_id: RecordId | None = Field(default=None, description="Only claims of the member with this id.")
    state: ClaimState | None = Field(default=None, description="Only claims in this state.")
    assignee: OwnOrId | None = Field(
        default=None, description="Only claims assigned to the staff member with this id, or to the caller (`me`)."
    )
    stuck: Flag | None = Field(
        default=None,
        description="Only claims that have been in their state for too long, or only the others: more than 2 days in"
        " submitted, 5 in verification, 3 in evaluation, 7 in negotiation, 30 in court.",
    )


class NewDocument(RequestModel):
    """A file that is about to be uploaded."""

    content_type: ContentType = Field(description="The type of the file: its content is checked, too.")
    file_name: FileName = Field(  # after the type, which decides the extension
        description="The name of the file without its path; ends in an extension of its type."
    )
    size: Annotated[int, Field(ge=1, le=MAX_DOCUMENT_BYTES), INTEGRAL] = Field(
        description="The length of the file in bytes, which the upload has to have exactly."
    )

    @field_validator("file_name")
    @classmethod
    def _check_extension(cls, value: str, info: ValidationInfo) -> str:
        known = EXTENSIONS.get(info.data.get("content_type", ""))
        if known and value.rpartition(".")[2].lower() not in known:
            raise make_rule_error(f"does not end in {' or '.join('.' + e for e in known)}")
        return value


class Assignee(ResponseModel):
    """The staff member to whom the claim is assigned."""

    id: UUID = Field(description="The id of the staff account.")
    full_name: str = Field(description="The name of the staff member.")


class Claimant(ResponseModel):
    """The member whose claim it is."""

    id: UUID = Field(description="The id of the member.")
    number: str = Field(description="The number of the member, like MEM-2026-000123.")
    full_name: str = Field(description="The name of the member.")


class ClaimView(ResponseModel):
    """A claim. `member` is whose it is, shown to staff; it is null for the member."""

    id: UUID = Field(description="The id of the claim, which paths take.")
    number: str = Field(description="The number of the claim, like CLM-2026-000045, which people quote.")
    state: ClaimState = Field(description="How far the claim is.")
    category: Category = Field(description="What kind of trouble it is.")
    title: str = Field(description="What it is about, in one line.")
    company_name: str = Field(description="The insurer, airline, landlord or shop that it is against.")
    description: str = Field(description="What happened, in the words of the member.")
    incident_date: date = Field(description="The day on which it happened.")
    incident_country: str = Field(
        description="The country in which it happened, by its code in ISO 3166-1 alpha-2, or XK for Kosovo."
    )
    amount: str = Field(description="What is demanded, with as many decimals as the currency has, like 250.00.")
    currency: str = Field(description="The currency of the amount, by its code in ISO 4217.")
    assignee: Assignee | None = Field(description="Who of the staff works on it; null if nobody does.")
    member: Claimant | None = Field(  # missing in answers stored by earlier versions
        default=None, description="The member whose claim it is, shown to staff; null for the member."
    )
    created_at: datetime = Field(description="When it was submitted.")
    updated_at: datetime = Field(description="When it was last changed.")
    version: int = Field(description="1 at first, and 1 more after each change. The ETag is this number in quotes.")


class TransitionView(ResponseModel):
    """One transition; `version` is the claim's version after it, `by` the role of the person who made it."""

    version: int = Field(description="The version of the claim after it.")
    from_state: ClaimState | None = Field(alias="from", description="The state before; null for the submission.")
    to_state: ClaimState = Field(alias="to", description="The state after.")
    reason: str | None = Field(description="Why, in the words of who made it; null for the submission.")
    decline_code: DeclineCode | None = Field(description="Why the claim was rejected; null unless it was.")
    by: ActorRole = Field(description="The role of the person who made it.")
    at: datetime = Field(description="When it was made.")


class DocumentView(ResponseModel):
    """A document of a claim."""

    id: UUID = Field(description="The id of the document, which paths take.")
    claim_id: UUID = Field(description="The id of the claim that it is evidence for.")
    file_name: str = Field(description="The name of the file, as it was announced.")
    content_type: ContentType = Field(description="The type of the file, as it was announced.")
    size: int = Field(description="The length of the file in bytes, as it was announced.")
    state: DocumentState = Field(description="Whether the file is there and was checked.")
    created_at: datetime = Field(description="When it was announced.")
    updated_at: datetime = Field(description="When its state last changed.")


class UploadForm(ResponseModel):
    """A form to post the file with: first all `fields`, then the file as `file`."""

    url: str = Field(description="Where to post the form (multipart/form-data), within 15 minutes.")
    fields: dict[str, str] = Field(description="The fields of the form by name: send all of them, unchanged.")


class ExpiringUpload(ResponseModel):
    """The part of the answer to an announcement that expires."""

    upload: UploadForm = Field(
        description="The form by which the file is uploaded; a repeat of the call gives a fresh one."
    )


class AnnouncedDocument(ExpiringUpload, DocumentView):
    """A document whose file is still to be uploaded."""


class DownloadView(ResponseModel):
    """A link to the file."""

    url: str = Field(description="Where to get the file, without a token; whoever has the link can.")
    expires_at: datetime = Field(description="When the link ends.")
