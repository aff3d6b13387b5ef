"""Whoever lacks an optional library is told in one line which extra brings it."""

import sys

import pytest

from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.optional import extra


@pytest.fixture
def without(monkeypatch):
    """A function that hides installed libraries from imports."""

    def hide(*names):
        for loaded in [module for module in sys.modules if module.partition(".")[0] in names]:
            monkeypatch.delitem(sys.modules, loaded)
        for name in names:
            monkeypatch.setitem(sys.modules, name, None)

    return hide


def test_the_library_and_its_extra_are_named(without):
    without("polars")
    with pytest.raises(InputError, match=r'^this needs polars, .* pip install "mmm4rec-lite\[data\]"$'):
        with extra("data"):
            import polars  # noqa: F401


def test_a_module_of_our_own_that_is_not_there_stays_what_it_is():
    with pytest.raises(ModuleNotFoundError):
        with extra("data"):
            import mmm4rec_lite.nowhere  # noqa: F401


@pytest.mark.parametrize(
    "module, library, name",
    [
        ("mmm4rec_lite.viz", "matplotlib", "viz"),
        ("mmm4rec_lite.viz.explorers", "ipywidgets", "notebooks"),
        ("mmm4rec_lite.data.amazon", "polars", "data"),
        ("mmm4rec_lite.data.download", "urllib3", "data"),
    ],
)
def test_rooms_with_optional_libraries_name_their_extra(module, library, name, without, monkeypatch):
    for loaded in [known for known in sys.modules if known == module or known.startswith(f"{module}.")]:
        monkeypatch.delitem(sys.modules, loaded)
    without(library)
    with pytest.raises(InputError, match=rf'needs {library}.*\[{name}\]"'):
        __import__(module)


def test_the_program_without_typer_says_so_in_one_line(without, monkeypatch, capsys):
    from mmm4rec_lite.study.cli import main

    for loaded in [known for known in sys.modules if ".cli" in known and known.startswith("mmm4rec_lite")]:
        monkeypatch.delitem(sys.modules, loaded)
    without("typer")
    monkeypatch.setattr(sys, "argv", ["mmm4rec-lite", "--help"])
    with pytest.raises(SystemExit) as end:
        main()
    out, err = capsys.readouterr()
    assert end.value.code == 2 and out == ""
    assert err == 'error: this needs typer, which is not installed: pip install "mmm4rec-lite[cli]"\n'
