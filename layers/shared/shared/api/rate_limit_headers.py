"""The RateLimit headers of an answer, and the refusal of a call over its limit."""

import math
from collections.abc import Mapping

from shared.admission.ports import OverLimit, Quota
from shared.api.problems import format_retry_after
from shared.errors import Refusal


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
    headers = {**build_quota_headers(limited.quota), "Retry-After": format_retry_after(limited.retry_after_s)}
    return Refusal("too-many-requests", headers=headers)
