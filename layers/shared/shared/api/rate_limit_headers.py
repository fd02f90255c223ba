"""The RateLimit headers of an answer, and the refusal of a call over its limit."""

import math
from collections.abc import Mapping

from shared.admission.ports import OverLimit, Quota
from shared.api.problem_answers import format_retry_after
from shared.errors import Refusal
from shared.fields.rules import format_count


def build_quota_headers(quota: Quota | None) -> Mapping[str, str]:
    """Return the headers of draft-ietf-httpapi-ratelimit-headers-10, none without a quota.

    `q` requests per window of `w` seconds; `r` are left, and one more is available in `t` seconds (0: all are
    available). Seconds are rounded up, so that a client who waits for them is never too early.
    """
    if quota is None:
        return {}
    name, limit = quota.limit.name, quota.limit
    return {
        "RateLimit-Policy": f'"{name}";q={limit.burst};w={math.ceil(limit.period_s)}',
        "RateLimit": f'"{name}";r={quota.remaining};t={math.ceil(quota.next_s)}',
    }


def make_limit_refusal(limited: OverLimit) -> Refusal:
    """Return the refusal of a call over its limit; its Retry-After is never less than RateLimit's `t`."""
    seconds = format_retry_after(limited.retry_after_s)
    limit = limited.quota.limit
    requests, period = format_count(limit.burst, "request"), format_count(math.ceil(limit.period_s), "second")
    detail = f"The limit {limit.name} takes {requests} in {period}. Wait {format_count(int(seconds), 'second')}."
    headers = {**build_quota_headers(limited.quota), "Retry-After": seconds}
    return Refusal("too-many-requests", detail=detail, headers=headers)
