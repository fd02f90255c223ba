"""Keys of registrations: done once, whoever repeats them from wherever."""

from concurrent.futures import ThreadPoolExecutor

from members.app import api
from tests.api_client import ApiClient, make_claims
from tests.databases import FreshDatabase
from tests.fakes.admission import InMemoryAdmissionStore
from tests.integration.function_client import add_agent, get_next_serial, make_client, sign_in
from tests.sample_people import make_person


def move_to_address(client: ApiClient, address: str) -> ApiClient:
    """Return the same client behind another address."""
    client.source_ip = address
    return client


def test_a_registration_repeated_from_another_network_gets_the_first_answer(fresh_database: FreshDatabase) -> None:
    """It does so also if the store has lost the key and only the database knows it."""
    body, key = make_person(), f"key-{get_next_serial()}"
    client = make_client(api, fresh_database)
    first = client.call("POST", "/members", body, key=key)
    moved = move_to_address(client, "2001:db8::1").call("POST", "/members", body, key=key)
    lost = move_to_address(make_client(api, fresh_database), "198.51.100.9").call("POST", "/members", body, key=key)
    assert (first.status, moved.body, lost.body) == (201, first.body, first.body)
    assert {reply.headers["Idempotency-Replayed"] for reply in (moved, lost)} == {"true"}


def test_a_guessed_key_shows_nothing_without_the_whole_request(fresh_database: FreshDatabase) -> None:
    """Another body is 422, whether or not the store has the key, and shows nothing of the first answer."""
    key = f"key-{get_next_serial()}"
    client = make_client(api, fresh_database)
    first = client.call("POST", "/members", make_person(), key=key)
    for guesser in (client, make_client(api, fresh_database)):
        reply = move_to_address(guesser, "198.51.100.9").call("POST", "/members", make_person(), key=key)
        assert (reply.status, reply.problem) == (422, "idempotency-key-reused")
        assert first.json["id"] not in reply.body
        assert first.json["email"] not in reply.body


def test_an_agents_registration_is_the_agents(fresh_database: FreshDatabase) -> None:
    """Without the token the same key is another one: the address is taken, and the agent's answer is not given out."""
    agent_id, _ = add_agent(fresh_database)
    body, key = make_person(), f"key-{get_next_serial()}"
    client = make_client(api, fresh_database)
    client.container.__dict__["_verifier"] = lambda _token: make_claims(f"sub-{agent_id}", "agent")
    sign_in(fresh_database, agent_id)
    signed = client.call("POST", "/members", body, key=key, headers={"Authorization": "Bearer t"})
    anonymous = client.call("POST", "/members", body, key=key)
    assert (signed.status, anonymous.problem) == (201, "email-taken")


def test_a_refusal_that_was_lifted_is_done_once_by_the_same_key(fresh_database: FreshDatabase) -> None:
    """The address was taken and is free again: of twenty repeats at once one registers, and all get its answer."""
    taken, state, key = make_person(), InMemoryAdmissionStore(), f"key-{get_next_serial()}"
    client = make_client(api, fresh_database, admission_store=state)
    other = client.call("POST", "/members", taken, key=f"key-{get_next_serial()}").json["id"]
    assert client.call("POST", "/members", taken, key=key).problem == "email-taken"
    fresh_database.query_rows(
        "UPDATE accounts SET email = %s WHERE id = %s", f"free{get_next_serial()}@example.test", other
    )
    before = fresh_database.count("members")
    clients = [make_client(api, fresh_database, admission_store=state) for _ in range(20)]

    def register(own: ApiClient) -> int:
        return own.call("POST", "/members", taken, key=key).status

    with ThreadPoolExecutor(20) as pool:
        statuses = set(pool.map(register, clients))
    assert statuses <= {201, 409}
    assert 201 in statuses
    assert client.call("POST", "/members", taken, key=key).headers["Idempotency-Replayed"] == "true"
    assert fresh_database.count("members") == before + 1
