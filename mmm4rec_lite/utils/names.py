"""The names in an option's text."""

from mmm4rec_lite.utils.errors import refuse


def names(words: str) -> list[str]:
    """What commas separate: without the blanks around, empty ones left out, each once; InputError where none is left.

    Examples
    --------
    >>> names("lamps, mugs,,lamps"), names("")
    (['lamps', 'mugs'], [])
    """
    found = list(dict.fromkeys(filter(None, map(str.strip, words.split(",")))))
    refuse(words and not found, f"{words!r} names nothing; give names with commas between, or leave the option out")
    return found
