"""The functions' environment for `sam local`: that of the running stack, but for what differs in a container."""

import json

from local.sam.build import AUTHORITY, WRAPPER, SamFiles
from local.stack import Stack

# The app client of the tokens in events/*.json (tools/events): a function takes no claims of another one.
CLIENT_ID = "events"
LAYER_FOLDER = "/opt"  # where a container has the layer
# Set where the functions run as processes of this machine.
NOT_IN_A_CONTAINER = frozenset({"MIGRATIONS_DIR"})


def write_environment(stack: Stack, files: SamFiles) -> None:
    """Write the file for `sam local … --env-vars`."""
    files.environment.write_text(json.dumps(build_environment(stack), indent=1, sort_keys=True), encoding="utf-8")


def build_environment(stack: Stack) -> dict[str, dict[str, str]]:
    """Return the variables of each function, by its logical id.

    The stack's ports stay on 127.0.0.1: the wrapper opens them in the container. It is in the layer, so a function
    without one, such as the hook of a release, has no way to the stack.
    """
    own = {"AWS_ENDPOINT_URL": stack.endpoint_url, "USER_POOL_CLIENT_ID": CLIENT_ID}
    in_layer = {
        "AWS_LAMBDA_EXEC_WRAPPER": f"{LAYER_FOLDER}/{WRAPPER}",
        "DB_SSLROOTCERT": f"{LAYER_FOLDER}/{AUTHORITY}",
    }
    return {
        function.logical_id: {
            name: value
            for name, value in {**function.environment, **own, **(in_layer if function.layer_dirs else {})}.items()
            if name not in NOT_IN_A_CONTAINER
        }
        for function in stack.functions
    }
