"""Pages of lists: newest first, none goes back, none leaves out what was there before it was asked for."""

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

from judge.history.model import HistoryCall, HistoryFindings, RecordedHistory

LAST_ID = "~"  # after every id


def check_pages(history: RecordedHistory, found: HistoryFindings) -> None:
    """Check each page by itself, against the page that it follows, and against the records that there were."""
    pages = sorted(
        (call for call in history.calls if call.items is not None and call.is_accepted), key=lambda each: each.begin
    )
    previous = _find_previous(pages)
    for page in pages:
        found.count("pages")
        _check_within(page, found)
        before = previous.get(page.id)
        if before is not None:
            found.count("pages after another")
            _check_following(before, page, found)
        elif page.cursor is not None:
            found.add("cursor-from-nowhere", page.cursor, f"no page before call {page.id} ended with its cursor")
    _check_completeness(history, pages, previous, found)


def _find_previous(pages: Sequence[HistoryCall]) -> dict[int, HistoryCall]:
    """Return of each page with a cursor the page that has ended with that cursor before."""
    ended: dict[tuple[str | None, str | None, str], HistoryCall] = {}
    previous = {}
    events = sorted([(page.begin, 1, page) for page in pages] + [(page.end, 0, page) for page in pages],
                    key=lambda event: event[:2])  # fmt: skip
    for _, is_begin, page in events:
        if is_begin and page.cursor is not None:
            before = ended.get((page.account, page.listing, page.cursor))
            if before is not None:
                previous[page.id] = before
        elif not is_begin and page.next_cursor is not None:
            ended[page.account, page.listing, page.next_cursor] = page
    return previous


def _check_within(page: HistoryCall, found: HistoryFindings) -> None:
    ids = [record for record, _ in page.items or ()]
    if len(set(ids)) < len(ids):
        found.add("item-twice", page.listing or "", f"call {page.id} has an item twice")
    elif any(before < after for before, after in pairwise(ids)):
        found.add("page-out-of-order", page.listing or "", f"the items of call {page.id} are not in order")


def _check_following(before: HistoryCall, page: HistoryCall, found: HistoryFindings) -> None:
    ids, earlier = [record for record, _ in page.items or ()], [record for record, _ in before.items or ()]
    if ids and earlier and max(ids) >= earlier[-1]:
        detail = f"call {page.id} continues call {before.id}, and has {max(ids)}, which is not after {earlier[-1]}"
        found.add("page-goes-back", page.listing or "", detail)


def _check_completeness(
    history: RecordedHistory, pages: Sequence[HistoryCall], previous: dict[int, HistoryCall], found: HistoryFindings
) -> None:
    """Check that no page leaves out a record within its ends that was acknowledged before the page was asked for."""
    created = sorted(_list_created(history), key=lambda each: each[0])
    known: dict[tuple[str, str | None], list[str]] = defaultdict(list)
    at = 0
    for page in pages:
        while at < len(created) and created[at][0] < page.begin:
            _, operation, account, record = created[at]
            insort(known[operation, account], record)
            insort(known[operation, None], record)
            at += 1
        effect = history.effect_of.get(page.operation)
        if effect is None or effect.lists is None or (page.cursor is not None and page.id not in previous):
            continue
        found.count("complete pages")
        owner = page.account if effect.whose == "own" else None
        _check_left_out(page, previous.get(page.id), known[effect.lists, owner], found)


def _list_created(history: RecordedHistory) -> list[tuple[float, str, str | None, str]]:
    listed = {effect.lists for effect in history.effects if effect.lists}
    return [
        (call.end, call.operation, call.account, call.record)
        for call in history.calls
        if call.operation in listed and call.is_accepted and not call.replayed and call.record is not None
    ]


def _check_left_out(
    page: HistoryCall, before: HistoryCall | None, known: Sequence[str], found: HistoryFindings
) -> None:
    """Check the records between the last item of the page before and the last item of this page, both known."""
    shown = {record for record, _ in page.items or ()}
    upper = min((record for record, _ in before.items or ()), default=LAST_ID) if before else LAST_ID
    lower = min(shown, default="") if page.next_cursor is not None else ""
    expected = known[bisect_right(known, lower) if lower else 0 : bisect_left(known, upper)]
    left_out = [record for record in expected if record not in shown]
    if left_out:
        found.add("item-left-out", page.listing or "", f"call {page.id} lacks {left_out[0]}, which was there before")
