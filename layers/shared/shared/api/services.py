"""What the API needs of its surroundings, as a protocol; a function's container provides it."""

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, Protocol

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
        """Return what tells the time."""
        ...

    @property
    def database(self) -> TransactionRunner:
        """Return what runs use cases in transactions."""
        ...

    @property
    def admission_store(self) -> AdmissionStore:
        """Return the store of limits and idempotency keys."""
        ...

    @property
    def cursors(self) -> CursorCodec:
        """Return what makes and reads the cursors of lists."""
        ...

    def read_today(self) -> date:
        """Return the day it is in the country of the stack."""
        ...

    def verify_token(self, token: str) -> Mapping[str, Any]:
        """Return the claims of an access token. Raise Refusal("unauthenticated"), Unavailable."""
        ...

    def wake_relay_soon(self) -> Callable[[], object]:
        """Begin to tell the relay that jobs wait; the returned function waits until it was told, or gave up."""
        ...
