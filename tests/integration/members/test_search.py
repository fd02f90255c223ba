"""Staff find members by parts of names and phone numbers, however a name is spelt and in whatever letters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from members.app import api
from tests.api_client import STAFF, ApiClient, ApiReply, make_claims
from tests.databases import MIGRATIONS, FreshDatabase
from tests.integration.function_client import get_next_serial, make_client
from tests.sample_people import make_person

# Spellings of one name by people who write different languages, on different keyboards.
SPELLINGS = [
    ("Besa Hoxha", "Беса Хоџа", "Besa Hodža", "besa hodza", "BESA HOXHA", "Besa-Hoxha", "Hoxha, Besa"),
    ("Hashim Çela", "Хашим Чела", "Hašim Čela", "Hasim Cela", "hashim chela"),
    ("Shpëtim Gjorgji", "Шпетим Ѓорѓи", "Špetim Ǵorǵi", "shpetim gjorgji", "Spetim Gorgi"),
    ("Ђорђе Ћирић", "Đorđe Ćirić", "Djordje Ciric", "Dorde Ciric", "ђорђе ћирић"),
    ("Љубица Њежић", "Ljubica Nježić", "ljubica njezic", "ЉУБИЦА ЊЕЖИЋ"),
    ("Qamil Zhivko", "Ќамил Живко", "Kjamil Živko", "Kamil Zivko"),
    ("Ѕвезда Кuzmanovska", "Dzvezda Кузмановска", "ѕвезда kuzmanovska"),
    ("Anna O'Neill", "ana oneil", "Ана О'Неил", "Anna O’Neill"),
]


@pytest.fixture(scope="module")
def client(fresh_database: FreshDatabase) -> ApiClient:
    """Return somebody who works here."""
    return make_client(api, fresh_database).sign_in_as(STAFF)


def register(client: ApiClient, name: str, phone: str = "+38344000000") -> str:
    """Register a member; return the id."""
    body = make_person(full_name=name, phone=phone)
    reply = client.sign_in_as(None).call("POST", "/members", body, key=f"key-{get_next_serial()}")
    assert reply.status == 201, reply.body
    return str(reply.json["id"])


def find(client: ApiClient, **query: str) -> list[str]:
    """Return the ids of the members found, newest first."""
    reply = client.call("GET", "/members", query=query)
    assert reply.status == 200, reply.body
    return [member["id"] for member in reply.json["items"]]


@pytest.mark.parametrize("spellings", SPELLINGS, ids=lambda spellings: spellings[0])
def test_a_member_is_found_by_every_spelling_of_every_spelling(client: ApiClient, spellings: tuple[str, ...]) -> None:
    """Both the typed and the searched name may have any spelling, as a whole name or the beginning of each word."""
    other = register(client, "Zoran Vukov")
    for name in spellings:
        member = register(client, name)
        for typed in spellings:
            first, *_ = typed.replace(",", " ").replace("-", " ").split()
            for part in (typed, first, first[:3]):
                found = find(client, name=part)
                assert member in found, (name, part)
                assert other not in found, (name, part)


@pytest.mark.parametrize("part", ["hox", "oxh", "ho", "be", "hoxha b", "esa ho", "Be ho", "esa"])
def test_parts_of_a_name_are_found_in_any_order(client: ApiClient, part: str) -> None:
    """A part may be inside a word; two letters must begin one."""
    member, other = register(client, "Besa Hoxha"), register(client, "Arta Krasniqi")
    assert member in find(client, name=part)
    assert other not in find(client, name=part)


@pytest.mark.parametrize("part", ["besa krasniqi", "xh", "hoxhaj", "%es", "b_sa"])
def test_a_member_who_lacks_a_part_is_not_found(client: ApiClient, part: str) -> None:
    """Every part counts, and no character stands for others."""
    member = register(client, "Besa Hoxha")
    assert member not in find(client, name=part)


@given(name=st.text("abhjxzcdsgknrlqАБХЈЏЗЦЧСШГЃКЌНЊРЛЉëçšž -'", min_size=3, max_size=20), data=st.data())
def test_a_part_of_three_letters_finds_the_name_it_is_of(
    fresh_database: FreshDatabase, name: str, data: st.DataObject
) -> None:
    """Wherever it is cut out, also between two letters that stand for one sound."""
    begin = data.draw(st.integers(0, len(name) - 3))
    part = name[begin : data.draw(st.integers(begin + 3, len(name)))]
    [row] = fresh_database.query_rows(
        "SELECT length(fold_letters(%s)) >= 3 AS counts,"
        " make_search_text(%s) LIKE ANY (make_search_patterns(%s)) AS found",
        part, name, part,
    )  # fmt: skip
    assert row["found"] or not row["counts"]


@pytest.mark.parametrize(
    "part",
    ["+38344123456", "0038344123", "044 123 456", "44/123-456", "(044) 123.456", "3456", "012", "+383 44", " 38344"],
)
def test_a_member_is_found_by_part_of_the_phone_number(client: ApiClient, part: str) -> None:
    """The part may be written or dialled in any usual way; a plus means the number's beginning."""
    member, other = register(client, "Besa", phone="+38344123456"), register(client, "Arta", phone="+38971555777")
    assert member in find(client, phone=part)
    assert other not in find(client, phone=part)


def test_a_plus_does_not_stand_in_the_middle(client: ApiClient) -> None:
    """The country's code of another number is not found within this one."""
    member = register(client, "Besa", phone="+38344123456")
    assert member not in find(client, phone="+44123")
    assert member in find(client, phone="44123")


def test_a_phone_part_is_as_long_as_it_was_sent(client: ApiClient) -> None:
    """What is written between the digits counts for the length that the description states."""
    member = register(client, "Besa", phone="+38344123456")
    assert member in find(client, phone="44" + "/" * 28)
    refused = client.call("GET", "/members", query={"phone": "44" + "/" * 29})
    assert (refused.status, refused.json["errors"][0]["pointer"]) == (422, "phone")


def test_filters_narrow_each_other_and_pages_go_on(client: ApiClient) -> None:
    """Each member on one page; a cursor is good for its own search only."""
    members = [register(client, f"Mirjeta Syla {n}", phone=f"+3834455566{n}") for n in range(5)]
    seen: list[str] = []
    query = {"name": "mirjeta", "limit": "2"}
    while True:
        page = client.call("GET", "/members", query=query).json
        seen += [member["id"] for member in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == members[::-1]
    assert client.call("GET", "/members", query={**query, "name": "syla"}).problem == "invalid-request"
    [third] = client.call("GET", "/members", query={"name": "mirjeta", "phone": "55662"}).json["items"]
    assert third["id"] == members[2]
    assert find(client, name="mirjeta", number=third["number"]) == [members[2]]
    assert find(client, name="mirjeta", email=third["email"]) == [members[2]]
    assert find(client, name="arta", number=third["number"]) == []
    assert find(client, phone="55663", email=third["email"]) == []


def test_a_changed_name_or_number_is_found_and_the_old_one_is_not(client: ApiClient) -> None:
    """The change itself renews the search words, in the same transaction."""
    member = register(client, "Vlora Gashi", phone="+38344987987")
    changes = {"full_name": "Vlora Shkodra", "phone": "+38344321321"}
    reply = client.call("PATCH", "/members/{member_id}", changes, member_id=member, if_match="*")
    assert reply.status == 200
    assert (find(client, name="vlora"), find(client, phone="44321321")) == ([member], [member])
    assert (find(client, name="gashi"), find(client, phone="44987987")) == ([], [])


def test_members_from_before_the_search_are_found(fresh_database: FreshDatabase, client: ApiClient) -> None:
    """The migration fills in who registered before, and leaves alone who has registered since."""
    member = register(client, "Teuta Dushi")
    fresh_database.query_rows("DELETE FROM member_search WHERE id = %s", member)
    assert find(client, name="teuta") == []
    fresh_database.query_rows((MIGRATIONS / "0035_searched_members.sql").read_text(encoding="utf-8"))
    assert find(client, name="teuta") == [member]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"name": "b"}, "name"), ({"name": "''"}, "name"), ({"name": "x" * 101}, "name"),
        ({"phone": "1"}, "phone"), ({"phone": "besa"}, "phone"), ({"phone": "+"}, "phone"),
        ({"phone": "44+12"}, "phone"),
    ],
)  # fmt: skip
def test_a_part_that_says_nothing_is_refused(client: ApiClient, query: dict[str, str], pointer: str) -> None:
    """A single letter, punctuation alone, or a single digit."""
    reply: ApiReply = client.call("GET", "/members", query=query)
    assert (reply.problem, [p.strip("/") for p in reply.pointers]) == ("invalid-request", [pointer])


def test_nobody_but_staff_searches(client: ApiClient) -> None:
    """A member, an agent or a stranger learns nothing, whoever is looked for."""
    for role in ("member", "agent"):
        other = client.sign_in_as(make_claims(f"sub-{role}", role))
        assert other.call("GET", "/members", query={"name": "besa"}).problem == "forbidden"
    assert client.sign_in_as(None).call("GET", "/members", query={"phone": "44123"}).problem == "unauthenticated"
