"""The one exception for input that the user can put right."""


class BadInputError(ValueError):
    """Bad input: its message is one line that names the culprit and what would be right.

    The command line prints the line and exits with status 2; from Python it is a ``ValueError``.
    """
