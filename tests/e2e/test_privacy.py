"""What is logged of a whole run: ids, states, figures, and nobody's name, address, phone or case."""

import re

import pytest

from tests.e2e.cloud import Cloud, eventually
from tests.e2e.people import People, keyed
from tests.people import trouble


@pytest.mark.writes
def test_no_log_line_holds_personal_data(cloud: Cloud, people: People) -> None:
    """Run after everything else in this folder (see conftest): all that the people of these tests have sent."""
    member, client = people.member(full_name="Teuta Unmistakable-Name", phone="+38349777123")
    case = trouble(title="Unmistakable title", description="Unmistakable case text, " * 3 + "told.")
    claim = client.post("/claims", json=case, headers=keyed())
    assert claim.status_code == 201
    eventually(lambda: len(cloud.mails(member["email"])) == 2, "both mails")
    client.post("/members", content=b'{"full_name": "Teuta Unmistakable-Name', headers=keyed())

    logged = cloud.logs()
    assert claim.headers["x-request-id"] in logged, "the log is the one of this run"
    assert cloud.rows("SELECT FROM accounts WHERE full_name = 'Teuta Unmistakable-Name'") != []
    assert cloud.told() == []
    assert re.findall(r"[\w.+-]+@example\.test", logged) == []
