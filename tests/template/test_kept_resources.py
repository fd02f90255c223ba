"""What outlives the stack, or a resource that is replaced: each resource with such a policy is stated here."""

from tests.template.translation import load_template

KEPT = ("Retain", "Retain")  # when it is deleted, when it is replaced
POLICIES = {
    "UserPool": KEPT,
    "EvidenceBucket": KEPT,
    # A setting of the account, by which other stacks write their logs too.
    "GatewayLogging": KEPT,
    "GatewayLoggingRole": KEPT,
    # The nested stack with the database. What a first deployment made before it failed is deleted again.
    "Database": ("RetainExceptOnCreate", "Retain"),
    # Limits, copies of answers and circuits: all of it may be lost.
    "StateTable": ("Delete", "Delete"),
}


def test_what_cannot_be_made_again_outlives_the_stack() -> None:
    """People's sign-ins, their documents, the database and every log."""
    resources = load_template()["Resources"]
    found = {
        name: (each.get("DeletionPolicy"), each.get("UpdateReplacePolicy"))
        for name, each in resources.items()
        if {"DeletionPolicy", "UpdateReplacePolicy"} & each.keys()
    }
    logs = {name: KEPT for name, each in resources.items() if each["Type"] == "AWS::Logs::LogGroup"}

    assert found == POLICIES | logs
    assert len(logs) > 10
