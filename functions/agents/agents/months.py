"""Calendar months, by which commissions are listed and paid; days are those of the stack's country."""

from datetime import date


def compute_first_day(month: str) -> date:
    """Return the first day of a month written like 2026-11."""
    return date.fromisoformat(f"{month}-01")


def is_over(month: str, today: date) -> bool:
    """Return whether a month written like 2026-11 has ended by `today`."""
    return compute_first_day(month) < today.replace(day=1)
