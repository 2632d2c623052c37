"""The one exception for input that the user can put right, and what other exceptions say."""


class BadInputError(ValueError):
    """Bad input: its message is one line that names the culprit and what would be right.

    The command line prints the line and exits with status 2; from Python it is a ``ValueError``.
    """


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message that is not empty; its type without one."""
    lines = (line.strip() for line in str(error).splitlines())
    return next(filter(None, lines), type(error).__name__)
