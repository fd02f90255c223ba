"""The error of an operators' command."""

from shared.background import BackgroundError


class CommandError(BackgroundError):
    """The command was not carried out, and the message says why; it quotes nothing of the command."""
