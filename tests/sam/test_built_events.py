"""Each event, answered by the function as `sam build` has made it, run without Docker by the local Lambda runtime."""

import platform
from collections.abc import Iterator
from dataclasses import replace

import pytest

from local.sam.build import LAYER, SamFiles
from local.sam.environment import CLIENT_ID
from local.stack import Stack
from tests.e2e.cloud import RunningCloud
from tests.local.gateways import RunningGateway, run_gateway
from tests.sam import answers
from tests.sam.builds import prepare
from tests.sam.docker.test_sam_local import OF_EACH_FUNCTION
from tests.sam.image import RUNTIME, read_lambda_python_version

pytestmark = [
    pytest.mark.skipif(read_lambda_python_version() != RUNTIME, reason="the layer's wheels are for Python 3.13"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the build that is run is for x86_64"),
]


@pytest.fixture(scope="module")
def built(cloud: RunningCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """The functions of the build on the cloud's stack, in an environment of this machine's own."""
    prepare(cloud.folder)
    stack, folder = Stack.load(cloud.folder / "stack.json"), SamFiles.make_below(cloud.folder).build
    own = {"USER_POOL_CLIENT_ID": CLIENT_ID, "MIGRATIONS_DIR": str(folder / LAYER / "migrations")}
    functions = [
        replace(
            function,
            code_dir=str(folder / function.logical_id),
            layer_dirs=[str(folder / LAYER)],
            environment={**function.environment, **own},
        )
        for function in stack.functions
    ]
    alone = replace(stack, functions=functions, schedules=[], queue_sources=[])
    with run_gateway(alone, tmp_path_factory.mktemp("built")) as gateway:
        yield gateway


def test_an_event_of_each_function_is_invoked_in_docker() -> None:
    """In CI; by hand and at night (INVOKE=all) every event is."""
    assert sorted(map(answers.find_function, OF_EACH_FUNCTION)) == sorted(answers.FUNCTIONS.values())


def test_no_job_of_the_messages_waits_yet(cloud: RunningCloud, built: RunningGateway) -> None:
    """Health calls a job late that has waited for two minutes, but an event may be sent at any time."""
    rows = cloud.query_rows(
        "SELECT count(*) AS jobs, min(created_at) > now() + interval '30 days' AS dated_ahead FROM outbox"
        " WHERE id::text BETWEEN %s AND %s",
        *answers.JOBS,
    )
    assert rows == [{"jobs": 5, "dated_ahead": True}]


@pytest.mark.parametrize("name", answers.list_names())
def test_an_event_is_answered_by_the_built_function(built: RunningGateway, name: str) -> None:
    """With the status, the schema and the fields that the table has."""
    reply = built.invoke(answers.find_function(name), answers.load_event(name))
    assert answers.find_faults(name, reply.read_json()) == []


def test_the_jobs_of_the_messages_are_done(cloud: RunningCloud, built: RunningGateway) -> None:
    """A worker answers that nothing failed for a job that it doesn't know too: the rows say what it did."""
    rows = cloud.query_rows("SELECT DISTINCT state FROM outbox WHERE id::text BETWEEN %s AND %s", *answers.JOBS)
    assert rows == [{"state": "done"}]
