"""Every model against golden numbers: those of its public class (tests/support/goldens), and our own small ones.

The files of the public classes are those of $MMM4REC_GOLDENS, else the shared ones where they lie beside the checkout;
our own are in the folder ``goldens`` (tests/support/own_goldens.py writes them).
"""

import pytest
import torch

from mmm4rec_lite.models.registry import MODELS
from tests.support import goldens, own_goldens
from tests.support.models import NAMES


def cases():
    """(file, check) for all files and all checks of the file's system."""
    for golden in filter(lambda golden: golden.adapter, map(goldens.load, goldens.files())):
        checks = [name for name in vars(golden.adapter) if name.startswith("check_") and name not in vars(goldens)]
        yield from (pytest.param(golden, name, id=f"{golden.path.stem}-{name[6:]}") for name in checks)


@pytest.mark.parametrize("golden,check", list(cases()))
def test_it_equals_the_public_class(golden, check, double):
    torch.manual_seed(0)
    getattr(golden.adapter, check)(golden)


def test_every_compared_system_is_held_against_a_public_class():
    known = lambda name: goldens.Golden(None, {"system": name}).adapter
    assert [name for name in MODELS if name != "mmm4rec" and not known(name)] == []


def test_the_list_says_how_exact_that_is():
    assert goldens.TOLERANCE == 1e-9 and all(
        "1e-9" in spec.exact or "no public" in spec.exact for spec in MODELS.values()
    )
    for golden in map(goldens.load, goldens.files()):
        if spec := MODELS.get(golden.values["system"]):
            assert golden.values["made_from"].startswith("no public class") == (spec.exact == "no public class")


def test_every_model_has_a_golden_file_of_our_own_and_they_are_small():
    written = {path.stem: path.stat().st_size for path in own_goldens.FOLDER.iterdir()}
    assert [name for name in NAMES if name not in written] == [], "python -m tests.support.own_goldens NAME"
    assert sum(written.values()) < 1e6


@pytest.mark.parametrize("name", NAMES)
def test_it_computes_what_it_did(name, double):
    """Candidates, users, scores and losses, as meant and with every switch of what is released."""
    values = own_goldens.load(name)
    for as_released in (False, True):
        known = values["as_released"] if as_released else values
        if len(known) > 1:  # more than no weights
            found = own_goldens.flat(
                own_goldens.numbers(own_goldens.build(name, values, as_released), values["batches"])
            )
            wanted = {key: known[key] for key in ("candidates", "users", "scores", "losses")}
            torch.testing.assert_close(found, own_goldens.flat(wanted), rtol=1e-9, atol=1e-9)
