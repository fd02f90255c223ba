"""The evidence of claims: files of many sizes and of every type, uploaded, checked, and read back byte by byte."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import aiohttp

from stress.fixtures import SignedInUser
from stress.ledger import CallSample, PlannedCall
from stress.load_generator import run_limited
from stress.scenario_context import LocalScenarioContext

# From one byte to some hundred thousand, with sizes just below and above 4 KiB, of which the service looks at a file's
# beginning, and 64 KiB, the pieces in which network and store carry a file.
SIZES = (1, 2, 39, 100, 999, 1024, 4095, 4096, 4097, 10_000, 65_535, 65_537, 131_072, 250_001, 400_000)
AT_ONCE = 8
LETTERS = "abcdefghijklmnopqrstuvwxyz \n"
# The types that are taken, with how their files begin; a file shorter than its type's beginning is a text.
BEGINNINGS = {
    "text/plain": ("txt", b""),
    "image/jpeg": ("jpg", b"\xff\xd8\xff\xe0"),
    "image/png": ("png", b"\x89PNG\r\n\x1a\n"),
    "image/webp": ("webp", b"RIFF\x00\x00\x00\x00WEBP"),
    "application/pdf": ("pdf", b"%PDF-1.7\n"),
}


@dataclass(frozen=True)
class EvidenceFile:
    """A file that a member uploads."""

    name: str
    content_type: str
    content: bytes


@dataclass(frozen=True)
class ClaimWithFile:
    """An accepted claim, its member, and the file that belongs to it."""

    claim: str
    member: SignedInUser
    file: EvidenceFile


def make_file(number: int) -> EvidenceFile:
    """Return a file unlike that of any other number."""
    size, types = SIZES[number % len(SIZES)], tuple(BEGINNINGS)
    wanted = types[number % len(types)]
    content_type = wanted if size > len(BEGINNINGS[wanted][1]) else "text/plain"
    extension, beginning = BEGINNINGS[content_type]
    dice = random.Random(number)
    rest = size - len(beginning)
    is_text = content_type == "text/plain"
    content = "".join(dice.choices(LETTERS, k=rest)).encode() if is_text else dice.randbytes(rest)
    return EvidenceFile(f"evidence-{number}.{extension}", content_type, beginning + content)


def pair_claims(claims: Sequence[CallSample], members: Sequence[SignedInUser]) -> list[ClaimWithFile]:
    """Return the accepted claims, each with its member and a file of its own."""
    return [
        ClaimWithFile(str((claim.record or {})["id"]), member, make_file(number))
        for number, (claim, member) in enumerate(zip(claims, members, strict=True))
        if claim.is_accepted
    ]


async def add_documents(context: LocalScenarioContext, pairs: Sequence[ClaimWithFile], wanted: int) -> list[CallSample]:
    """Announce, upload and complete a document for each, all at once; return the announcements.

    `wanted` is how many there must be: of no claims at all, all documents would be there.
    """
    context.show_progress("evidence for each: announced, uploaded, completed, all at once")
    announced = await context.send_burst([_make_announcement(context, each) for each in pairs])
    context.check_statuses("Evidence announced", {201: wanted}, announced)
    stored = await _upload_all(announced, pairs)
    context.check_equal("Evidence stored by the form that was given", wanted, stored.count(True))
    completed = await context.send_burst(_make_completions(context, announced, pairs))
    states = [str((sample.record or {}).get("state")) for sample in completed]
    context.check_equal(
        "Evidence available", {"available": wanted}, {state: states.count(state) for state in set(states)}
    )
    return announced


def _make_announcement(context: LocalScenarioContext, each: ClaimWithFile) -> PlannedCall:
    facts = {"claim": each.claim, "member": each.member.id}
    call = context.call_factory.make_document_announcement(
        each.claim, each.member.token, len(each.file.content), client=each.member.address, facts=facts
    )
    body = {**(call.body or {}), "file_name": each.file.name, "content_type": each.file.content_type}
    return replace(call, body=body)


def _make_completions(
    context: LocalScenarioContext, announced: Sequence[CallSample], pairs: Sequence[ClaimWithFile], **changes: Any
) -> list[PlannedCall]:
    return [
        _make_document_call(context, "complete", sample, each, "/completion", **changes)
        for sample, each in zip(announced, pairs, strict=True)
        if sample.is_accepted
    ]


def _make_document_call(
    context: LocalScenarioContext, operation: str, announced: CallSample, each: ClaimWithFile, end: str, **changes: Any
) -> PlannedCall:
    path = f"/claims/{each.claim}/documents/{(announced.record or {}).get('id')}{end}"
    facts = {"claim": each.claim, "member": each.member.id}
    make = context.call_factory.make_write
    return make(operation, path, token=each.member.token, client=each.member.address, facts=facts, **changes)


async def _upload_all(announced: Sequence[CallSample], pairs: Sequence[ClaimWithFile]) -> list[bool]:
    uploads = [
        partial(_upload_file, sample, each.file)
        for sample, each in zip(announced, pairs, strict=True)
        if sample.is_accepted
    ]
    return await run_limited(uploads, AT_ONCE)


async def _upload_file(announced: CallSample, file: EvidenceFile) -> bool:
    """Upload a file with the form of its announcement, as a browser would; return whether it was stored."""
    upload, form = (announced.record or {})["upload"], aiohttp.FormData()
    for name, value in upload["fields"].items():
        form.add_field(name, value)
    form.add_field("file", file.content, filename=file.name, content_type=file.content_type)
    async with aiohttp.ClientSession() as session, session.post(upload["url"], data=form) as reply:
        return reply.status in (200, 201, 204)


async def read_documents_back(
    context: LocalScenarioContext, announced: Sequence[CallSample], pairs: Sequence[ClaimWithFile], wanted: int
) -> None:
    """Get each document by a link that its member asks for, and compare every byte with the file that was uploaded."""
    context.show_progress("evidence is read back")
    calls = [
        context.call_factory.make_read(
            "download link",
            f"/claims/{each.claim}/documents/{(sample.record or {}).get('id')}/download",
            token=each.member.token,
            client=each.member.address,
        )
        for sample, each in zip(announced, pairs, strict=True)
    ]
    links = await context.send_burst(calls)
    context.check_statuses("Links to the evidence", {200: wanted}, links)
    found = await run_limited([partial(_download, link) for link in links if link.is_accepted], AT_ONCE)
    files = [each.file for link, each in zip(links, pairs, strict=True) if link.is_accepted]
    same = [got.content == file.content for got, file in zip(found, files, strict=True)]
    context.check_equal("Evidence read back, byte by byte the file that was uploaded", wanted, same.count(True))
    named = [
        got.content_type == file.content_type and file.name in got.name for got, file in zip(found, files, strict=True)
    ]
    context.check_equal("Evidence read back under its own type and name", wanted, named.count(True))


async def _download(link: CallSample) -> EvidenceFile:
    """Return what a link leads to; its name is the whole Content-Disposition."""
    url = str((link.record or {})["url"])
    async with aiohttp.ClientSession() as session, session.get(url) as reply:
        name = reply.headers.get("Content-Disposition", "")
        return EvidenceFile(name, reply.content_type, await reply.read())


async def remove_while_completing(context: LocalScenarioContext, pairs: Sequence[ClaimWithFile]) -> None:
    """Complete and remove the same documents at the same instant: both lock the claim, then the document.

    Whichever comes first, a document that its owner has removed is gone.
    """
    context.show_progress("documents are completed and removed at once")
    announced = await context.send_burst([_make_announcement(context, each) for each in pairs])
    await _upload_all(announced, pairs)
    # gone before it was looked at, before it was copied, or before its check was recorded
    completions = _make_completions(context, announced, pairs, wanted=(200, 404, 409))
    again = _make_completions(context, announced, pairs, wanted=(200, 404, 409))
    removals = [
        replace(_make_document_call(context, "remove", sample, each, "", wanted=(204,)), method="DELETE")
        for sample, each in zip(announced, pairs, strict=True)
        if sample.is_accepted
    ]
    samples = await context.send_burst([*completions, *again, *removals])
    context.check_statuses(
        "Documents removed while they were completed",
        {204: len(pairs)},
        [s for s in samples if s.call.method == "DELETE"],
    )
    links = await context.send_burst(
        [
            context.call_factory.make_read("gone document", f"{call.path}/download", token=call.token, wanted=(404,))
            for call in removals
        ]
    )
    context.check_statuses("A removed document stays removed", {404: len(pairs)}, links)
