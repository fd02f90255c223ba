"""The log of a whole run has ids, states and figures, but nobody's name, address, phone or case."""

import re

import pytest

from tests.e2e.cloud import RunningCloud, wait_until
from tests.e2e.cloud_users import CloudUsers, add_key
from tests.sample_people import make_claim_body


@pytest.mark.writes
def test_no_log_line_holds_personal_data(cloud: RunningCloud, users: CloudUsers) -> None:
    """It runs last in this folder (see conftest) and looks for everything that the people of these tests have sent."""
    member, client = users.make_member(full_name="Teuta Unmistakable-Name", phone="+38349777123")
    case = make_claim_body(title="Unmistakable title", description="Unmistakable case text, " * 3 + "told.")
    claim = client.post("/claims", json=case, headers=add_key())
    assert claim.status_code == 201
    wait_until(lambda: len(cloud.list_mails(member["email"])) == 2, "both mails")
    client.post("/members", content=b'{"full_name": "Teuta Unmistakable-Name', headers=add_key())

    logged = cloud.read_logs()
    assert claim.headers["x-request-id"] in logged, "the log is the one of this run"
    assert cloud.query_rows("SELECT FROM accounts WHERE full_name = 'Teuta Unmistakable-Name'") != []
    assert cloud.find_personal_data_in_logs() == []
    assert re.findall(r"[\w.+-]+@example\.test", logged) == []
