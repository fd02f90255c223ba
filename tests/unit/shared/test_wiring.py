"""What the wiring hands on of the settings."""

from types import SimpleNamespace

import psycopg
import pytest

from shared.errors import Unavailable
from shared.settings import Settings
from shared.wiring import Wiring
from tests.databases import soon


@pytest.mark.parametrize("retries", [0, 2])
def test_a_transaction_is_tried_again_as_often_as_the_settings_say(retries: int) -> None:
    """Against a database where every transaction meets another one at its row."""
    tries = []

    def borrow(_within_s: float) -> None:
        tries.append(1)
        raise psycopg.errors.SerializationFailure

    wiring = Wiring(Settings.from_environ({"RETRY": f'{{"retries": {retries}, "base_s": 0.001}}'}))
    wiring.__dict__["connector"] = SimpleNamespace(borrow=borrow)
    wiring.__dict__["_retries"] = SimpleNamespace(count=lambda: None)
    with pytest.raises(Unavailable):
        wiring.database.run(lambda _tx: pytest.fail("it has no connection"), soon())
    assert len(tries) == 1 + retries
