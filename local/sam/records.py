"""The records that events/*.json are about, in the database and the bucket of the running stack."""

import psycopg

from local import supervisor
from local.deploy import EmulatorClients
from local.postgres import SUPERUSER
from local.stack import Stack
from local.state_folder import StateFolder

RECORDS = "events/records.sql"
UPLOADED = "SELECT object_key FROM documents WHERE id = '00000000-0000-7000-8000-000000000051' AND state = 'pending'"
CONTENT = b"Boarding pass\n"


def write_records(state_folder: StateFolder, stack: Stack) -> None:
    """Write what is not there yet. What an event has changed since stays changed."""
    server, _ = supervisor.make_servers(state_folder, state_folder.read_state().ports)
    with psycopg.connect(server.build_dsn(SUPERUSER), autocommit=True) as connection:
        connection.execute((state_folder.root / RECORDS).read_bytes())
        uploaded = connection.execute(UPLOADED).fetchone()
    if uploaded:
        bucket = stack.outputs["EvidenceBucket"]
        s3 = EmulatorClients(stack.endpoint_url).get("s3")
        s3.put_object(Bucket=bucket, Key=uploaded[0], Body=CONTENT, ContentType="text/plain")
