"""Makes tests/models/golden_official.safetensors: ``python -m tests.support.golden``. Only where test_interop.py's
tests against the public code's own numbers hold, since it writes down what this library computes.

A tiny model under the public names and with every quirk, random weights, inputs with all kinds of times, and the
float64 users, scores, losses and gradients, for those who lack the public numbers.
"""

from pathlib import Path

import torch

from mmm4rec_lite import MMM4Rec
from mmm4rec_lite.interop import load_official, official_config, to_official
from mmm4rec_lite.models.losses import LOSSES
from mmm4rec_lite.utils.tensorfile import save_tensors

FILE = Path(__file__).parents[1] / "models" / "golden_official.safetensors"
CONFIG = dict(
    hidden_size=8,
    inner_size=12,
    num_layers=1,
    dropout_prob=0.4,
    time_dropout_prob=0.4,
    d_state=4,
    n_groups=8,
    d_conv=4,
    expand=2,
    head_dim=2,
    norm_eps=1e-12,
    is_ffn=True,
    is_time=True,
    p2p_residual=False,
    is_modality_bias=True,
    item_mm_fusion="static",
    max_len=6,
    temperature=0.8,
)
ITEMS = 20


def computed(model, given):
    """All that is compared, of a float64 model."""
    result, model = {}, model.double()
    result["users"] = model(given["items"], given["lengths"], given["times"])
    result["scores"] = model.score(result["users"])
    for name, loss in LOSSES.items():
        model.zero_grad()
        value = loss(model, model(given["items"], given["lengths"], given["times"]), given["targets"])
        value.backward()
        result[name] = value
        result[f"{name} gradients"] = torch.stack([p.grad.norm() for _, p in sorted(model.named_parameters())])
    return result


def main():
    torch.manual_seed(0)
    features = torch.randn(ITEMS + 1, 5), torch.randn(ITEMS + 1, 4)
    model = MMM4Rec(official_config(CONFIG), *features)
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.4)
    lengths = torch.tensor([1, 2, 4, 5, 6, 6])
    real = torch.arange(6) < lengths.unsqueeze(1)
    gaps = (torch.rand(6, 6) * 16).exp().long() * (torch.rand(6, 6) > 0.3)  # zero to months
    given = {
        "items": torch.randint(1, ITEMS + 1, (6, 6)) * real,
        "lengths": lengths,
        "times": (10**9 + gaps.cumsum(1)) * real,
        "targets": torch.tensor([3, 3, 7, 1, 20, 9]),
    }
    state = to_official(model)
    # two names share each tensor of the shared TiSSD; the file keeps one of them
    kept = {name: t for name, t in state.items() if not name.startswith("decoder_ssd_layers.0.ssd.")}
    made = computed(load_official(state, CONFIG, *features), given)
    save_tensors(
        FILE,
        "golden",
        {
            "image": features[0],
            "text": features[1],
            **{f"given.{k}": v for k, v in given.items()},
            **{f"state.{k}": v for k, v in kept.items()},
            **{f"made.{k}": v for k, v in made.items()},
        },
    )


if __name__ == "__main__":
    main()
