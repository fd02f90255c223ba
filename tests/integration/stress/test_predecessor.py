"""The predecessor in miniature as a full run starts it: beside a system's PostgreSQL, Cognito and SES."""

import asyncio
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import boto3
import pytest

from shared.database.migrate import migrate
from stress.aws_access import AwsAccess
from stress.call_factory import CallFactory
from stress.faults import FaultLog
from stress.fixtures import SignedInUser
from stress.ledger import CallLedger
from stress.load_generator import LoadGenerator, RunClock
from stress.local_target import PREDECESSORS_SENDER, CloudOptions, LocalCloud
from stress.processes import find_free_port
from stress.profiles import SHORT
from stress.scenario_context import LocalScenarioContext
from stress.scenarios.compared_systems import ComparedSystem
from stress.scenarios.mixed_load import MIXED_CALLS, run_with_dead_mail, run_with_restart, run_with_slow_mail
from stress.scenarios.predecessor import start_predecessor
from tests.databases import MIGRATIONS, PostgresHandle, start_postgres
from tests.integration.stress.servers import run_mail_proxy
from tests.services import ROOT, EmulatorHandle

DOMAIN = "interdomestik.test"
MEMBERS = 15
MIXED_MAILS = MIXED_CALLS + 15  # a claim sends two
ADD_MEMBER = """
WITH a AS (INSERT INTO accounts (id, role, identity_sub, email, full_name, phone, language)
           VALUES (%(id)s, 'member', %(sub)s, %(email)s, 'Besa Hoxha', '+38344123456', 'sq')),
     m AS (INSERT INTO members (id, country, registered_on) VALUES (%(id)s, 'XK', current_date))
INSERT INTO subscriptions (id, member_id, plan, state, starts_on, ends_on, price, currency)
VALUES (gen_random_uuid(), %(id)s, 'family', 'active', current_date, current_date + 300, 35, 'EUR')
"""
Try = Callable[[LocalScenarioContext, ComparedSystem], Awaitable[Any]]


@dataclass(frozen=True)
class PredecessorsSite:
    """The surroundings of the predecessor: a cloud of which only PostgreSQL and AWS are there, and members in it."""

    cloud: LocalCloud
    members: list[SignedInUser]
    folder: Path

    def try_out(self, attempt: Try) -> Any:
        """Return what an attempt on a running predecessor returns."""
        return asyncio.run(self._try_out(attempt))

    async def _try_out(self, attempt: Try) -> Any:
        context = self._make_context()
        try:
            async with start_predecessor(context, self.members, self.members) as before:
                return await attempt(context, before)
        finally:
            await context.generator.close()
            await self.cloud.http.close()

    def _make_context(self) -> LocalScenarioContext:
        ledger, clock, unused = CallLedger(), RunClock(), cast("Any", SimpleNamespace())
        generator = LoadGenerator("http://127.0.0.1:9", ledger, clock, lambda _: None).copy_for_scenario("capacity")
        return LocalScenarioContext(
            key="capacity",
            title="",
            promise="",
            profile=replace(SHORT, user_count=MEMBERS),
            generator=generator,
            call_factory=CallFactory(1),
            ledger=ledger,
            progress=cast("Any", SimpleNamespace(note_step=lambda *_: None)),
            target=self.cloud,
            fixtures=unused,
            monitor=unused,
            faults=FaultLog(clock),
            root=ROOT,
            state=self.folder,
        )


def make_user_pool(emulator: EmulatorHandle) -> AwsAccess:
    """Return the access to a new user pool, as a deployed stack has one."""
    access: dict[str, Any] = {
        "region_name": "eu-central-1",
        "aws_access_key_id": "local",
        "aws_secret_access_key": "local",
    }
    cognito: Any = boto3.client("cognito-idp", endpoint_url=emulator.url, **access)
    pool = cognito.create_user_pool(PoolName=f"pool-{secrets.token_hex(4)}")["UserPool"]["Id"]
    flows = ["ALLOW_ADMIN_USER_PASSWORD_AUTH"]
    made = cognito.create_user_pool_client(UserPoolId=pool, ClientName="app", ExplicitAuthFlows=flows)
    boto3.client("sesv2", endpoint_url=emulator.url, **access).create_email_identity(EmailIdentity=DOMAIN)
    found = AwsAccess.__new__(AwsAccess)  # without a stack, whose outputs it would read
    found.outputs = {"UserPoolId": pool, "UserPoolClientId": made["UserPoolClient"]["ClientId"]}
    found._cognito = cognito
    return found


async def add_member(cloud: LocalCloud, number: int) -> SignedInUser:
    """Add a member who can sign in; return them signed in."""
    member_id, email = str(uuid4()), f"besa.{number}@example.test"
    user = cloud.aws._cognito.admin_create_user(UserPoolId=cloud.aws.outputs["UserPoolId"], Username=email)["User"]
    sub = next((each["Value"] for each in user["Attributes"] if each["Name"] == "sub"), user["Username"])
    await cloud.query_rows(ADD_MEMBER, {"id": member_id, "sub": sub, "email": email})
    return SignedInUser(member_id, email, cloud.aws.sign_in(email), f"127.0.2.{number + 1}", {})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresHandle]:
    """Yield a server of the module's own, since it will be crashed."""
    folder = tmp_path_factory.mktemp("postgres")
    running = start_postgres(folder)
    with closing(SimpleNamespace(close=running.child.stop)):
        migrate(running.build_conninfo(), MIGRATIONS)
        yield running


@pytest.fixture
def site(server: PostgresHandle, emulator: EmulatorHandle, tmp_path: Path) -> Iterator[PredecessorsSite]:
    with run_mail_proxy(emulator.url) as ports:
        cloud = LocalCloud(ROOT, tmp_path, CloudOptions())
        cloud._mail_port, cloud._mail_control_port = ports
        cloud.writer_port = "standby"  # as after the failover that a run has made by then
        cloud.ports = {
            "postgres": find_free_port(),  # nobody listens there
            cloud.writer_port: server.server.port,
            "emulator": int(emulator.url.rpartition(":")[2]),
        }
        cloud.aws = make_user_pool(emulator)
        members = [asyncio.run(add_member(cloud, number)) for number in range(MEMBERS)]
        yield PredecessorsSite(cloud, members, tmp_path)


async def read_senders(cloud: LocalCloud) -> Counter[str]:
    """Return how many mails in the emulator's inbox each sender has sent."""
    inbox = await cloud.http("GET", f"{cloud.emulator}/_ministack/ses/messages")
    return Counter(mail["Source"] for account in inbox["messages"].values() for mail in account)


def test_the_predecessor_serves_the_same_members_and_fails_where_its_facts_say_so(site: PredecessorsSite) -> None:
    """With the service's own tokens, through the same mail service, on a database of the same server."""

    async def attempt(context: LocalScenarioContext, before: ComparedSystem) -> dict[str, Any]:
        sent = (await read_senders(site.cloud))[PREDECESSORS_SENDER]
        reads = await before.generator.send_burst(list(before.make_stream(3)))
        slow = await run_with_slow_mail(context, before)
        mails = (await read_senders(site.cloud))[PREDECESSORS_SENDER] - sent
        dead = await run_with_dead_mail(context, before)
        restart = await run_with_restart(context, before)
        return {"reads": reads, "slow": slow, "mails": mails, "dead": dead, "restart": restart}

    found = site.try_out(attempt)
    assert [sample.status for sample in found["reads"]] == [200, 200, 200]
    # Slow mail costs time, and nothing else; each mail has gone through the line.
    assert Counter(sample.status for sample in found["slow"].samples) == {201: MIXED_CALLS}
    assert min(s.latency_ms for s in found["slow"].samples) >= 200
    assert found["mails"] == MIXED_MAILS
    # Without mail no write succeeds, and each is refused once: nobody tries again.
    assert Counter(sample.status for sample in found["dead"].samples) == {503: MIXED_CALLS}
    assert found["dead"].refused_mails == MIXED_CALLS
    # Nobody tries again what has met the restart; who waited for a connection of the pool gets one afterwards.
    assert found["restart"].in_progress > 0
    assert 0 < len(found["restart"].accepted) < MIXED_CALLS
