"""The one error that users see."""


class InputError(ValueError):
    """Bad input, told in one line: what is wrong, where, what to do.

    The command line prints the line and exits with 2; a notebook shows it as the error's message.
    """


def first_line(error: Exception) -> str:
    """The first line of another error's message, cut, or its kind: for an `InputError` that gives it as the reason."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]
