"""Reasons of other errors, as an InputError's one line gives them."""

import pytest

from mmm4rec_lite.utils.errors import InputError, first_line


@pytest.mark.parametrize(
    "error, line",
    [(OSError("disk full\nmore"), "disk full"), (KeyError(), "KeyError"), (ValueError("x" * 500), "x" * 160)],
)
def test_the_first_line_of_an_error(error, line):
    assert first_line(error) == line


def test_an_input_error_is_one_line_whatever_names_it_repeats():
    assert str(InputError("items.csv: no column 'ti\ntle'")) == "items.csv: no column 'ti tle'"
