"""Names with commas between, in options."""

import pytest

from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.names import names


@pytest.mark.parametrize("words", ["a,b", " a , b ", "a,,b", ",a,b,", "a,b,a", "a,b, a,"])
def test_one_rule_for_blanks_gaps_and_repeats(words):
    assert names(words) == ["a", "b"]


@pytest.mark.parametrize("words", [",", " ", " , ,"])
def test_what_names_nothing_is_refused(words):
    assert names("") == []
    with pytest.raises(InputError, match="names nothing; give names with commas between, or leave the option out"):
        names(words)
