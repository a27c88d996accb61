"""Errors that a user can act on: one line that says what is wrong and what to do."""


class TtsMetaError(Exception):
    """The work could not be done. The message is one line; the command line prints it and exits with status 1."""

    exit_status = 1


class UsageError(TtsMetaError):
    """The call itself is wrong (an option, a name, a combination); the command line exits with status 2."""

    exit_status = 2
