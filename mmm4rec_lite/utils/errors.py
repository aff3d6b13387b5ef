"""The one error that users see."""


class InputError(ValueError):
    """Bad input, told in one line: what is wrong, where, what to do.

    The command line prints the line and exits with 2; a notebook shows it as the error's message.
    """
