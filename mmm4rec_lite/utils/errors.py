"""The one error that users see, and faults in words."""

import re
from collections.abc import Mapping


class InputError(ValueError):
    """Bad input, told in one line: what is wrong, where, what to do. (The command line prints it and exits with 2.)

    Examples
    --------
    >>> raise InputError("shop: no such dataset folder")
    Traceback (most recent call last):
    mmm4rec_lite.utils.errors.InputError: shop: no such dataset folder
    """

    def __init__(self, why: str):
        super().__init__(printable(" ".join(why.splitlines())))  # names from strangers' files may hold line ends


def printable(text: str) -> str:
    """Without signs that a terminal obeys or that turn text around, which strangers' files may hold; lines stay."""
    return re.sub("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]", "\ufffd", text)


def refuse(wrong: object, why: str) -> None:
    """`InputError` where something is ``wrong``."""
    if wrong:
        raise InputError(why)


def first_line(error: Exception) -> str:
    """The first line of another error's message, cut, or else its kind."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]


def reasons(faults: Mapping[str, str], most: int = 5) -> str:
    """Of each of the commonest reasons, but for numbers in them, how often and an example; ``faults``: name -> reason.

    Examples
    --------
    >>> reasons({"a": "3 bytes too many", "b": "no picture", "c": "7 bytes too many"})
    '2, such as a: 3 bytes too many; 1, such as b: no picture'
    """
    kinds: dict[str, list[str]] = {}
    for name, reason in faults.items():
        kinds.setdefault(re.sub(r"\d[\d,]*", "N", reason), []).append(f"such as {name}: {reason}")
    shown = sorted(kinds.values(), key=len, reverse=True)
    return "; ".join([f"{len(kind)}, {kind[0]}" for kind in shown[:most]] + ["..."] * (len(shown) > most))
