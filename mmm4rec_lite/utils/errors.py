"""The one error that users see."""


class InputError(ValueError):
    """Bad input, told in one line: what is wrong, where, what to do. (The command line prints it and exits with 2.)

    Examples
    --------
    >>> raise InputError("shop: no such dataset folder")
    Traceback (most recent call last):
    mmm4rec_lite.utils.errors.InputError: shop: no such dataset folder
    """

    def __init__(self, why: str):
        super().__init__(" ".join(why.splitlines()))  # names from strangers' files may hold line ends


def refuse(wrong: object, why: str) -> None:
    """`InputError` where something is ``wrong``."""
    if wrong:
        raise InputError(why)


def first_line(error: Exception) -> str:
    """The first line of another error's message, cut, or else its kind."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]
