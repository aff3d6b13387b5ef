"""Tensor files: what was saved comes back; cut, changed and foreign files are refused and never unpickled."""

import json
import re

import pytest
import torch
from safetensors.torch import save_file

from mmm4rec_lite.utils import tensorfile
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.tensorfile import TEXTS, load_tensors, pack, save_tensors, unpack
from tests.support.mapping import is_mapped


def refused(path, message=None, kind="thing"):
    with pytest.raises(InputError, match=message and re.escape(message)) as error:
        load_tensors(path, kind, "make it again")
    assert str(error.value).startswith(str(path)) and str(error.value).endswith("; make it again")
    assert "\n" not in str(error.value)


@pytest.fixture
def file(tmp_path):
    save_tensors(tmp_path / "t", "thing", {"x": torch.ones(3), "y": torch.arange(3)}, note="n", more={"size": 1.5})
    return tmp_path / "t"


def test_tensors_and_notes_come_back_from_any_layout_and_type(tmp_path):
    x = torch.arange(12).reshape(3, 4)
    tensors = {
        "x": x.T,
        "y": x[:, 1],
        "one": torch.tensor(2.5, dtype=torch.float64),
        "none": torch.zeros(0, 3),
        "bool": x > 5,
        "half": x.to(torch.bfloat16),
        "grad": torch.ones(2, requires_grad=True),
    }
    save_tensors(tmp_path / "new" / "t", "thing", tensors, a=[1, {"b": None}], é="ü")
    found, notes = load_tensors(tmp_path / "new" / "t", "thing", "")
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(found[name], tensor) and found[name].dtype == tensor.dtype, name
    notes.pop("checksum", None)  # whether it is told does not matter
    assert notes == {"kind": "thing", "a": [1, {"b": None}], "é": "ü"}


def test_a_file_is_as_open_to_others_as_any(file, tmp_path):
    (tmp_path / "plain").touch()
    assert file.stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plain", "t"]


def test_a_missing_file_a_folder_and_foreign_files_are_refused(tmp_path):
    path = tmp_path / "f"
    refused(path, f"{path}: there is no such thing file")
    refused(tmp_path, "there is no such thing file")
    save_file({"x": torch.zeros(2)}, path)
    refused(path, "is no thing file but something else")
    save_tensors(path, "other", {"x": torch.zeros(2)})
    refused(path, "is no thing file but other")


@pytest.mark.parametrize("notes", ["", "[]", "1", '"thing"', "null", "{}", '{"kind": "thing"}'])
def test_files_with_strange_notes_are_refused(tmp_path, notes):
    save_file({"x": torch.zeros(2)}, tmp_path / "f", {"mmm4rec_lite": notes})
    refused(tmp_path / "f")


def test_a_cut_file_is_refused_wherever_it_is_cut(file):
    whole = file.read_bytes()
    for size in (0, 7, 8, 60, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:size])
        refused(file, "is no thing file or is damaged")


def test_a_changed_byte_is_noticed_in_a_tensor(file):
    whole = file.read_bytes()
    for place in range(1, 37):  # three float32 and three int64
        file.write_bytes(whole[:-place] + bytes([whole[-place] ^ 1]) + whole[len(whole) - place + 1 :])
        refused(file, "is damaged (its checksum differs)")


def test_a_changed_byte_is_noticed_in_notes_names_types_and_shapes(file):
    whole = file.read_bytes()
    for place in range(len(whole) - 36):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        refused(file)


def test_tensors_are_mapped_privately(file):
    found, _ = load_tensors(file, "thing", "")
    assert all(is_mapped(tensor, file) for tensor in found.values())
    found["x"][:] = 0
    assert load_tensors(file, "thing", "")[0]["x"].tolist() == [1, 1, 1]
    save_tensors(file, "thing", {"x": torch.zeros(9)})  # a new file takes the name, the old one stays mapped
    assert found["y"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("piece", [1, 7, 2**20])
def test_checksums_do_not_depend_on_the_pieces_that_are_read(file, monkeypatch, piece):
    monkeypatch.setattr(tensorfile, "_PIECE", piece)
    assert load_tensors(file, "thing", "")[0]["y"].tolist() == [0, 1, 2]


def test_json_values_as_tensors():
    for value in (["a", "é", ""], [], {"n": None}):
        assert unpack(pack(value)) == value


# --- what strangers write ---


def crafted(path, tensors, **notes):
    """A file whose checksum is right."""
    notes = {"kind": "thing", **notes}
    checksum = tensorfile._checksum(tensors, notes, (tensorfile.raw(tensors[name]) for name in sorted(tensors)))
    save_file(tensors, path, {"mmm4rec_lite": json.dumps(notes | {"checksum": checksum})})


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_numbers_that_are_not_finite_are_neither_saved_nor_read(tmp_path, value, dtype):
    x = torch.ones(5, 3, dtype=dtype)
    x[3, 1] = value
    with pytest.raises(InputError, match="t: x holds numbers that are not finite, so nothing is saved there"):
        save_tensors(tmp_path / "t", "thing", {"x": x})
    assert list(tmp_path.iterdir()) == []
    crafted(tmp_path / "t", {"x": x})
    refused(tmp_path / "t", "t: x is not finite")
    crafted(tmp_path / "t", {"x": x, "names": pack(list("abcde"))})
    with pytest.raises(InputError, match="t: the x of item 'd' is not finite; again"):
        load_tensors(tmp_path / "t", "thing", "again", {"names": TEXTS})


FORM = {"x": (torch.float32, 1), "names": TEXTS, "size": int}
RIGHT = dict(tensors={"x": torch.ones(2), "names": pack(["a", "b"])}, size=1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"tensors": {"names": pack(["a"])}},
        {"tensors": {"x": torch.ones(2, 2), "names": pack(["a"])}},
        {"tensors": {"x": torch.ones(2).double(), "names": pack(["a"])}},
        {"tensors": {"x": torch.ones(2)}},
        {"tensors": {"x": torch.ones(2), "names": pack({"a": 1})}},
        {"tensors": {"x": torch.ones(2), "names": pack(["a", 1])}},
        {"tensors": {"x": torch.ones(2), "names": torch.frombuffer(bytearray(b"[" * 100_000), dtype=torch.uint8)}},
        {"tensors": {"x": torch.ones(2), "names": torch.frombuffer(bytearray(b"\xff["), dtype=torch.uint8)}},
        {"tensors": {"x": torch.ones(2), "names": torch.ones(2)}},
        {"size": "1"},
        {"size": None},
    ],
    ids=range(11),
)
def test_what_is_missing_or_of_another_form_is_told(tmp_path, wrong):
    given = {**RIGHT, **wrong}
    crafted(tmp_path / "f", given.pop("tensors"), **given)
    with pytest.raises(InputError, match=r"f is no thing file of this library \((x|names|size) is missing or of"):
        load_tensors(tmp_path / "f", "thing", "again", FORM)
    crafted(tmp_path / "f", RIGHT["tensors"], size=1)
    assert load_tensors(tmp_path / "f", "thing", "again", FORM)[1]["names"] == ["a", "b"]


@pytest.mark.parametrize(
    "notes", ["[" * 100_000, '{"kind": "thing", "x": NaN}', '{"kind": "thing", "x": 1' + 5000 * "0"]
)
def test_hostile_notes_are_refused(tmp_path, notes):
    save_file({"x": torch.zeros(2)}, tmp_path / "f", {"mmm4rec_lite": notes})
    refused(tmp_path / "f")


@pytest.mark.parametrize(
    "about",
    [
        {"x": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 8]}},
        {"x": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}},
        {"x": {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 8]}},
        {
            "x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
            "y": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
        },
        {"x": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}},
        {"x": {"dtype": "F8_E4M3", "shape": [8], "data_offsets": [0, 8]}},
        {"x": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}},
    ],
    ids=range(7),
)
def test_headers_that_claim_what_is_not_there_are_refused_before_anything_is_allocated(tmp_path, about):
    header = json.dumps(about | {"__metadata__": {"mmm4rec_lite": '{"kind": "thing"}'}}).encode()
    (tmp_path / "f").write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    refused(tmp_path / "f")
    (tmp_path / "f").write_bytes((2**63).to_bytes(8, "little") + header)
    refused(tmp_path / "f")
