"""One hash: the same content, the same digest, whatever device, layout or order of keys it comes with."""

import hashlib
from dataclasses import asdict

import pytest
import torch

from mmm4rec_lite.models.config import ModelConfig
from mmm4rec_lite.utils.digest import digest


@pytest.mark.parametrize(
    "part, counted",
    [
        (b"\x00\xff", b"\x00\xff"),
        ("né", "né".encode()),
        (["a", None, 1.5], b'["a", null, 1.5]'),
        ({"b": 1, "a": torch.device("cpu")}, b'{"a": "cpu", "b": 1}'),
        (torch.arange(4).reshape(2, 2).T, torch.tensor([0, 2, 1, 3]).numpy().tobytes()),
        (torch.ones(2, dtype=torch.bfloat16, requires_grad=True), b"\x80\x3f" * 2),
        (torch.zeros(0, 3), b""),
    ],
)
def test_what_counts_of_a_part(part, counted):
    assert digest(part) == hashlib.sha256(counted).hexdigest()


def test_parts_follow_one_another():
    assert digest("ab", b"c", [1]) == digest("a", "bc[1]") != digest("ab", [1], b"c")
    assert digest() == hashlib.sha256().hexdigest()


def test_a_config_is_its_fields():
    config = ModelConfig(d_model=32)
    assert digest([config]) == digest([asdict(config)]) != digest([ModelConfig()])
