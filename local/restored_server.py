"""`python -m local restore`: a database restored to a moment, to which the running cloud's functions are redirected."""

import contextlib
import json
import urllib.error
import urllib.request
from datetime import datetime

from local import backups, supervisor
from local.postgres import PostgresServer
from local.state_folder import StateFolder, choose_internal_ports

NAME = "restored"  # of its port in state.json, its folder and its log
CONTROL_SECONDS = 30.0


def run_restored(state_folder: StateFolder, to: datetime) -> None:
    """Restore the backup to a moment, redirect the functions to the restored server, and run it until asked to stop.

    Raise BackupMissing, RestoreFailed, ProcessCrashed. The former server goes on running, without clients.
    """
    ports = state_folder.read_state().ports
    if "database_proxy_control" not in ports:
        raise backups.RestoreFailed("the functions can't be led elsewhere: this cloud has no database proxy")
    server, _ = supervisor.make_servers(state_folder, ports)
    ports = {**ports, **choose_internal_ports(state_folder, [NAME])}
    log = state_folder.logs / f"{NAME}.log"
    restored = PostgresServer(server.folder / NAME, ports[NAME], log, server.user_switch)
    with supervisor.raise_on_signals(), contextlib.suppress(supervisor.StopRequested):
        child = backups.restore(server, restored, to)
        try:
            state_folder.update_state(ports=ports)
            redirect_clients(ports["database_proxy_control"], restored.port)
            print(f"restored  to {to.isoformat()}, port {restored.port}", flush=True)
            supervisor.watch([child])
        finally:
            child.stop()


def redirect_clients(control_port: int, port: int) -> None:
    """Let the database proxy use another server; its clients are disconnected. Raise RestoreFailed."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{control_port}/target", data=json.dumps({"port": port}).encode(), method="PUT"
    )
    try:
        with urllib.request.urlopen(request, timeout=CONTROL_SECONDS):  # noqa: S310
            return
    except urllib.error.URLError as error:
        raise backups.RestoreFailed(f"the database proxy could not be led to port {port}: {error}") from error
