"""Every write is answered again from its key's row alone, byte for byte, or has stored its answer."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from operations.lost_writes import LostWrite
from relay.answers import keep_answers
from shared.admission.ports import KeyOrigin, KeyUse, UnkeptAnswer
from shared.aws.dynamodb_taken_keys import TakenKey
from shared.database.transaction import Committed, Row
from shared.deadline import Deadline
from tests.api_client import ApiClient, LambdaContext
from tests.databases import FreshDatabase, PostgresHandle, make_deadline
from tests.fakes.relay_waker import FakeRelayWaker
from tests.integration.function_client import make_client
from tests.integration.proxy.test_round_trips import APIS, USE_CASES, Prepared, UseCaseRunner


class RecordingApi:
    """An API that keeps the last event that it was given."""

    def __init__(self, api: Any) -> None:
        self.event: Mapping[str, Any] = {}
        self._api = api

    def handle(self, event: Mapping[str, Any], context: Any, services: Any) -> dict[str, Any]:
        """Keep the event, and handle it."""
        self.event = event
        answer: dict[str, Any] = self._api.handle(event, context, services)
        return answer


class FindingDatabase:
    """A database of which only a key's row may be asked; `asked` counts how often it was."""

    def __init__(self, fresh_database: FreshDatabase) -> None:
        self._database = fresh_database.make_database()
        self.asked = 0

    def find_committed(self, use: KeyUse, deadline: Deadline, **more: Any) -> Committed[Row] | None:
        """Find the facts of the key's first run."""
        self.asked += 1
        return self._database.find_committed(use, deadline, **more)

    def run(self, *_arguments: Any, **_more: Any) -> Any:
        """Refuse any other transaction."""
        raise AssertionError("only the key's row may be asked")

    run_once = run


class RefusingStore:
    """A store of documents that may only sign forms, which is done anew at each answer."""

    def __init__(self, store: Any) -> None:
        self.presign_upload = store.presign_upload


class KeptAnswers:
    """The answers that a relay has kept."""

    def __init__(self) -> None:
        self.answers: list[UnkeptAnswer] = []

    def keep(self, answer: UnkeptAnswer) -> bool:
        """Keep an answer."""
        self.answers.append(answer)
        return True


def read_origin(api: Any, operation: tuple[str, ...]) -> KeyOrigin:
    """Return the origin of an operation's call, without ids in its path."""
    return KeyOrigin(" ".join(operation), "request", (), api.operations[operation].status)


def repeat_elsewhere(client: ApiClient, api: Any, event: Mapping[str, Any], fresh_database: FreshDatabase) -> Any:
    """Handle an event in another environment, which may only ask for the key's row; return its answer and database."""
    database, waker = FindingDatabase(fresh_database), FakeRelayWaker()
    parts: dict[str, Any] = {"database": database, "admission_store": client.container.admission_store, "queues": waker}
    if "document_store" in client.container.__dict__:
        parts["document_store"] = RefusingStore(client.container.document_store)
    other = make_client(api, fresh_database, clock=client.container.clock, **parts)
    return api.handle(event, LambdaContext(), other.container), database, waker


def call_with_key(prepare: Callable[[UseCaseRunner], Prepared], fresh_database: FreshDatabase) -> Any:
    """Make a use case's call with a key; return client, API, event and reply."""
    client, write = prepare(UseCaseRunner(fresh_database))
    client.headers = {**client.headers, "Idempotency-Key": "the-key-of-this-use-case"}
    api = client.api
    recording: Any = RecordingApi(api)
    client.api = recording
    reply = write()
    assert reply.status in (200, 201, 204), reply.body
    return client, api, recording.event, reply


@pytest.mark.parametrize("operation", USE_CASES, ids=" ".join)
def test_a_repeat_in_another_environment_gets_the_first_answer(
    postgres: PostgresHandle, operation: tuple[str, ...]
) -> None:
    """It asks for the row and nothing else, wakes nobody, and finds no work to do."""
    prepare, _ = USE_CASES[operation]
    fresh_database = postgres.make_fresh_database()
    client, api, event, reply = call_with_key(prepare, fresh_database)
    answer, database, waker = repeat_elsewhere(client, api, event, fresh_database)
    stores_answer = api.operations[operation].stores_answer
    assert answer["statusCode"] == reply.status
    assert answer["headers"]["Idempotency-Replayed"] == "true"
    assert (answer["body"], answer["headers"].get("Location")) == (reply.body, reply.headers.get("Location"))
    assert answer["headers"].get("ETag") == reply.headers.get("ETag")
    assert (database.asked, waker.count) == (0 if stores_answer else 1, 0)


@pytest.mark.parametrize("operation", USE_CASES, ids=" ".join)
def test_the_relay_keeps_what_a_repeat_is_answered_of(postgres: PostgresHandle, operation: tuple[str, ...]) -> None:
    """Of all but what stores its answer itself; operators find status, id and number in it after a restore."""
    prepare, _ = USE_CASES[operation]
    fresh_database = postgres.make_fresh_database()
    _, api, event, reply = call_with_key(prepare, fresh_database)
    asked = (event["httpMethod"], event["resource"])
    keeper = KeptAnswers()
    keep_answers(fresh_database.make_database(), keeper, make_deadline())
    answers = [answer for answer in keeper.answers if answer.scope.endswith(" ".join(asked))]
    if api.operations[asked].stores_answer:
        assert answers == []
        return
    [answer] = answers
    kept = TakenKey(
        "record", answer.holder, answer.first_used_at, read_origin(api, asked), None, json.loads(answer.facts)
    )
    lost, told = LostWrite.from_key(kept), reply.json
    assert lost.fields["status"] == reply.status
    assert (lost.number, str(lost.subject_id)) == (told.get("number"), told["id"])


def test_only_what_does_more_than_one_transaction_stores_its_answer() -> None:
    """The files of a document are copied or deleted besides."""
    operations = [operation for api in APIS.values() for operation in api.operations.values()]
    assert {(each.method, each.resource) for each in operations if each.stores_answer} == {
        ("POST", "/claims/{claim_id}/documents/{document_id}/completion"),
        ("DELETE", "/claims/{claim_id}/documents/{document_id}"),
    }
