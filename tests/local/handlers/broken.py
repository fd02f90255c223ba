"""A module that can't be imported, as after a bad deployment."""

import a_module_that_does_not_exist  # type: ignore[import-not-found]  # noqa: F401


def handler(event: object, context: object) -> None:
    """Never reached."""
