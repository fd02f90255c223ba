"""A membership's ways besides renewal, through the gateway, with the clock of the machine."""

from datetime import date

from tests.e2e.cloud import Cloud, problem
from tests.e2e.people import People, keyed
from tests.people import person, trouble


def test_staff_pause_and_resume_a_membership(cloud: Cloud, people: People) -> None:
    """No claim in between, and none lost: paused and resumed on one day the end stays where it was."""
    member, client = people.member()
    staff, path = people.staff(), f"/members/{member['id']}"
    assert client.post(f"{path}/pause", headers=keyed()).status_code == 403
    paused = staff.post(f"{path}/pause", headers=keyed())
    assert (paused.status_code, paused.json()["membership"]["state"]) == (200, "paused")
    refused = client.post("/claims", json=trouble(), headers=keyed())
    assert (refused.status_code, problem(refused)) == (403, "membership-required")
    assert problem(staff.post(f"{path}/renewals", headers=keyed())) == "membership-paused"
    resumed = staff.post(f"{path}/resume", headers=keyed())
    assert (resumed.status_code, resumed.json()["membership"]) == (200, member["membership"])
    assert client.post("/claims", json=trouble(), headers=keyed()).status_code == 201


def test_a_year_and_a_second_one_and_no_third(cloud: Cloud, people: People) -> None:
    """To the day before the anniversary; a cancellation is one, however often it is sent."""
    member, client = people.member()
    first, last = (date.fromisoformat(member["membership"][name]) for name in ("starts_on", "ends_on"))
    assert 365 <= (last - first).days + 1 <= 366
    path = f"/members/{member['id']}"
    renewed = [client.post(f"{path}/renewals", headers=keyed()) for _ in range(2)]
    assert [reply.status_code for reply in renewed] == [201, 409]
    assert problem(renewed[1]) == "renewal-too-early"
    cancelled = [client.post(f"{path}/cancellation", headers=keyed()) for _ in range(3)]
    assert [(reply.status_code, reply.json()["version"]) for reply in cancelled] == [(200, 3)] * 3
    templates = cloud.rows(
        "SELECT payload->>'template' AS name FROM outbox WHERE subject_id = %s AND kind = 'mail' ORDER BY id",
        member["id"],
    )
    assert [row["name"] for row in templates] == ["member-welcome", "membership-renewed", "membership-cancelled"]


def test_another_country_is_served_elsewhere(cloud: Cloud) -> None:
    """The deployed stack's own is Kosovo."""
    reply = cloud.client().post("/members", json=person(country="AL"), headers=keyed())
    assert (reply.status_code, reply.json()["errors"][0]["pointer"]) == (422, "/country")
