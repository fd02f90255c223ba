"""A membership's ways besides renewal, through the gateway, with the clock of the machine."""

from datetime import date

from tests.e2e.cloud import RunningCloud, read_problem
from tests.e2e.cloud_users import CloudUsers, add_key
from tests.sample_people import make_claim_body, make_person


def test_staff_pause_and_resume_a_membership(cloud: RunningCloud, users: CloudUsers) -> None:
    """No claim can be filed in between; if both happen on one day, the end stays the same."""
    member, client = users.make_member()
    staff, path = users.make_staff(), f"/members/{member['id']}"
    assert client.post(f"{path}/pause", headers=add_key()).status_code == 403
    paused = staff.post(f"{path}/pause", headers=add_key())
    assert (paused.status_code, paused.json()["membership"]["state"]) == (200, "paused")
    refused = client.post("/claims", json=make_claim_body(), headers=add_key())
    assert (refused.status_code, read_problem(refused)) == (403, "membership-required")
    assert read_problem(staff.post(f"{path}/renewals", headers=add_key())) == "membership-paused"
    resumed = staff.post(f"{path}/resume", headers=add_key())
    assert (resumed.status_code, resumed.json()["membership"]) == (200, member["membership"])
    assert client.post("/claims", json=make_claim_body(), headers=add_key()).status_code == 201


def test_a_year_and_a_second_one_and_no_third(cloud: RunningCloud, users: CloudUsers) -> None:
    """Each ends on the day before its anniversary; a repeated cancellation counts once."""
    member, client = users.make_member()
    first, last = (date.fromisoformat(member["membership"][name]) for name in ("starts_on", "ends_on"))
    assert 365 <= (last - first).days + 1 <= 366
    path = f"/members/{member['id']}"
    renewed = [client.post(f"{path}/renewals", headers=add_key()) for _ in range(2)]
    assert [reply.status_code for reply in renewed] == [201, 409]
    assert read_problem(renewed[1]) == "renewal-too-early"
    cancelled = [client.post(f"{path}/cancellation", headers=add_key()) for _ in range(3)]
    assert [(reply.status_code, reply.json()["version"]) for reply in cancelled] == [(200, 3)] * 3
    templates = cloud.query_rows(
        "SELECT payload->>'template' AS name FROM outbox WHERE subject_id = %s AND kind = 'mail' ORDER BY id",
        member["id"],
    )
    assert [row["name"] for row in templates] == ["member-welcome", "membership-renewed", "membership-cancelled"]


def test_another_country_is_served_elsewhere(cloud: RunningCloud) -> None:
    """The deployed stack serves Kosovo."""
    reply = cloud.make_client().post("/members", json=make_person(country="AL"), headers=add_key())
    assert (reply.status_code, reply.json()["errors"][0]["pointer"]) == (422, "/country")
