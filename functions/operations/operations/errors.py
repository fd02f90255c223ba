"""The error of an operators' command."""

from shared.background import BackgroundError


class CommandError(BackgroundError):
    """The command was not carried out, and its words say why; they quote nothing that was sent."""
