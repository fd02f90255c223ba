"""The services that the API needs, as a protocol; a function's container implements it."""

from collections.abc import Callable, Collection, Mapping
from datetime import date
from typing import Any, Protocol
from uuid import UUID

from shared.admission.ports import AdmissionStore
from shared.api.pagination import CursorCodec
from shared.clock import Clock
from shared.database.transaction import TransactionRunner
from shared.settings import Settings


class Services(Protocol):
    """The services that a call of the API uses."""

    @property
    def settings(self) -> Settings:
        """Return the function's settings."""
        ...

    @property
    def clock(self) -> Clock:
        """Return the clock."""
        ...

    @property
    def database(self) -> TransactionRunner:
        """Return the runner of transactions."""
        ...

    @property
    def admission_store(self) -> AdmissionStore:
        """Return the store of limits and idempotency keys."""
        ...

    @property
    def cursors(self) -> CursorCodec:
        """Return the codec of the lists' cursors."""
        ...

    def read_today(self) -> date:
        """Return the current date in the stack's country."""
        ...

    def verify_token(self, token: str) -> Mapping[str, Any]:
        """Return the claims of an access token. Raise Refusal("unauthenticated"), Unavailable."""
        ...

    def wake_relay_soon(self, jobs: Collection[UUID], *, delay_s: float = 0) -> Callable[[], object]:
        """Start to wake the relay for jobs, in `delay_s` seconds; the returned function waits until that has ended."""
        ...
