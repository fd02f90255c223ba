"""The RateLimit fields of an answer, and the refusal of a call that is over its limit."""

import math
from collections.abc import Mapping

from shared.admission.ports import OverLimit, Quota
from shared.api.problems import format_retry_after
from shared.errors import Refusal


def build_quota_headers(quota: Quota | None) -> Mapping[str, str]:
    """Return the fields of draft-ietf-httpapi-ratelimit-headers-10; none without a quota.

    `q` requests a window of `w` seconds; `r` are left, and one more comes in `t` seconds (0: all are there).
    Seconds are rounded up, so that asking again after them is never too early.
    """
    if quota is None:
        return {}
    name, limit = quota.limit.name, quota.limit
    return {
        "RateLimit-Policy": f'"{name}";q={limit.burst};w={math.ceil(limit.period_s)}',
        "RateLimit": f'"{name}";r={quota.remaining};t={math.ceil(quota.next_s)}',
    }


def make_limit_refusal(limited: OverLimit) -> Refusal:
    """Return the refusal of a call that found its bucket empty; Retry-After is never before the `t` of RateLimit."""
    headers = {**build_quota_headers(limited.quota), "Retry-After": format_retry_after(limited.retry_after_s)}
    return Refusal("too-many-requests", headers=headers)
