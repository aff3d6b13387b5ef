"""Every model against golden numbers: those of its public class (tests/support/goldens), and our own small ones.

The files of the public classes are those of $MMM4REC_GOLDENS, else the shared ones where they lie beside the checkout;
our own are in the folder ``goldens`` (tests/support/own_goldens.py writes them).
"""

import os

import pytest
import torch

from mmm4rec_lite.models.registry import MODELS
from tests.support import goldens, own_goldens
from tests.support.models import NAMES

COMPARED = [name for name in MODELS if name != "mmm4rec"]


def cases():
    """(file, check) for all files and all checks of the file's system; a skip with its reason for what has none."""
    found = [goldens.load(path) for path in goldens.files()]
    for golden in found:
        stem, module = golden.path.stem, goldens.adapter(golden.system)
        if module is None:
            yield absent(stem, f"{golden.path.name}: no module of tests/support/goldens is for {golden.system!r}")
            continue
        checks = [name for name in vars(module) if name.startswith("check_") and name not in vars(goldens)]
        yield from (pytest.param(golden, getattr(module, name), id=f"{stem}-{name[6:]}") for name in checks)
    for name in COMPARED:
        if not any(golden.system.startswith(name) for golden in found):
            yield absent(name, f"no golden file of {name} in {goldens.folder().name}, which $MMM4REC_GOLDENS can name")


def absent(name, why):
    return pytest.param(None, None, id=name, marks=pytest.mark.skip(reason=why))


@pytest.mark.parametrize("golden,check", list(cases()))
def test_it_equals_the_public_class(golden, check, double):
    torch.manual_seed(0)
    check(golden)


@pytest.mark.parametrize("name", COMPARED)
def test_every_compared_system_has_checks_against_a_public_class(name):
    module = goldens.adapter(name)
    assert module, f"write tests/support/goldens/{name}.py: how its public class calls weights and settings, and checks"
    assert [check for check in vars(module) if check.startswith("check_") and check not in vars(goldens)]


def test_a_folder_is_read_whole_and_what_is_not_known_is_told(tmp_path, monkeypatch):
    torch.save({"config": {}}, tmp_path / "sasrec_again.pt")
    torch.save({"config": {}}, tmp_path / "new.pt")
    monkeypatch.setenv("MMM4REC_GOLDENS", str(tmp_path))
    reasons = {case.id: case.marks[0].kwargs["reason"] for case in cases() if case.marks}
    run = [case.id for case in cases() if not case.marks]
    assert "no module of tests/support/goldens is for 'new'" in reasons["new"] and "bsarec" in reasons
    assert "sasrec" not in reasons and run == ["sasrec_again-ranks_as_released"]


def test_a_folder_that_is_asked_for_has_files():
    assert goldens.files() or "MMM4REC_GOLDENS" not in os.environ, f"no *.pt in {goldens.folder()}"


def test_the_list_says_how_exact_that_is():
    assert goldens.TOLERANCE == 1e-9 and all(
        "1e-9" in spec.exact or "no public" in spec.exact for spec in MODELS.values()
    )
    for golden in map(goldens.load, goldens.files()):
        if spec := MODELS.get(golden.system):
            assert golden.values["made_from"].startswith("no public class") == (spec.exact == "no public class")


def test_every_model_has_a_golden_file_of_our_own_and_they_are_small():
    written = {path.stem: path.stat().st_size for path in own_goldens.FOLDER.iterdir()}
    assert [name for name in NAMES if name not in written] == [], "python -m tests.support.own_goldens NAME"
    assert [name for name in written if name not in NAMES] == [], "of no model in the list"
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
