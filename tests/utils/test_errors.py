"""Reasons of other errors, as an InputError's one line gives them."""

import pytest

from mmm4rec_lite.utils.errors import InputError, first_line, printable, reasons


@pytest.mark.parametrize(
    "error, line",
    [(OSError("disk full\nmore"), "disk full"), (KeyError(), "KeyError"), (ValueError("x" * 500), "x" * 160)],
)
def test_the_first_line_of_an_error(error, line):
    assert first_line(error) == line


def test_an_input_error_is_one_line_whatever_names_it_repeats():
    assert str(InputError("items.csv: no column 'ti\ntle'")) == "items.csv: no column 'ti tle'"


def test_nothing_is_printed_that_a_terminal_obeys():
    crafted = "a\x1b[31mb\x9b2Jc\u202ed\re\x00\ttab\nline é 茶 🙂"
    assert printable(crafted) == "a\ufffd[31mb\ufffd2Jc\ufffdd\ufffde\ufffd\ttab\nline é 茶 🙂"
    assert str(InputError("items.csv: 'a\x1b]0;x\x07'")) == "items.csv: 'a\ufffd]0;x\ufffd'"


def test_reasons_are_counted_whatever_their_numbers():
    faults = {"a": "cut (3 bytes)", "b": "no picture", "c": "cut (1,007 bytes)"}
    assert reasons(faults) == "2, such as a: cut (3 bytes); 1, such as b: no picture"
    assert reasons(faults, 1) == "2, such as a: cut (3 bytes); ..."
