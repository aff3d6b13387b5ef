"""Findings on the model's own mechanics: no training, any weights show them."""

from dataclasses import replace

import pandas as pd
import torch

from mmm4rec_lite import published
from mmm4rec_lite.analysis import relative_change
from mmm4rec_lite.models.config import ModelConfig, Quirks
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.study.audit.finding import Finding
from mmm4rec_lite.study.protocol.verdict import CONTRADICTED, SUPPORTED, graded


def dual_channel():
    """The two time signals that eq. 12 transforms, compared bit by bit, and the two filters exchanged."""
    lines = []
    live = ModelConfig.official(quirks=replace(Quirks.all(), published_init=False))
    for name, config in {
        "public code's form, 1 layer": live,
        "public code's form, 2 layers": live.replace(n_layers=2),
        "this kit's default": ModelConfig(),
        "w/o Shared": ModelConfig(shared=False),
    }.items():
        model, given = _random(config)
        with torch.no_grad():
            signals, users = _signals(model.eval(), given)
            noisy, _ = _signals(model.train(), given)
            model.eval()
            for layer in model.layers:
                text, image = layer.filter.text.state_dict(), layer.filter.image.state_dict()
                text = {k: v.clone() for k, v in text.items()}
                layer.filter.text.load_state_dict(image)
                layer.filter.image.load_state_dict(text)
            _, exchanged = _signals(model, given)
        same = all(torch.equal(t, v) for t, v in signals)
        lines.append(
            {
                "model": name,
                "signals bit-equal in evaluation": same,
                "largest difference in evaluation": max((t - v).abs().max().item() for t, v in signals),
                "largest difference in training": max((t - v).abs().max().item() for t, v in noisy),
                "users moved by exchanging the filters": relative_change(users, exchanged),
            }
        )
    table = pd.DataFrame(lines)
    one, apart = table[table["model"] != "w/o Shared"], table[table["model"] == "w/o Shared"]
    same = int(one["signals bit-equal in evaluation"].sum())
    return Finding(
        "dual-channel",
        "Two modality-specific time signals are filtered and fused (section 3.4.1, eq. 12-16)",
        f"With a weight-shared TiSSD the two signals are one tensor, bit for bit, in {same} of {len(one)} models: the "
        f"enhanced D-hat does not depend on X. Exchanging the two filters then moves user vectors by "
        f"{one['users moved by exchanging the filters'].max():.1g} of their length, so K^v and K^t act as one filter. "
        f"Only drop-out tells them apart, in training; w/o Shared they differ "
        f"(exchange: {apart['users moved by exchanging the filters'].max():.1g})",
        graded(len(one) - same, len(one)),
        "measured",
        table,
        "random weights and histories, float32, CPU",
    )


def shared_weights():
    """What the weight-sharing constraint of eq. 10 shares, in parameters at the paper's sizes."""
    count = lambda *modules: sum(p.numel() for m in modules for p in m.parameters())
    lines = []
    for name, config in (("paper", ModelConfig.paper()), ("public code", ModelConfig.official())):
        model, _ = _random(config.replace(item_bias=False), dims=768)
        layer = model.layers[0]
        time = count(
            layer.tissd[0].core.step.scale,
            layer.tissd[0].core.step.conv1,
            layer.tissd[0].core.step.conv2,
            layer.tissd[0].enhance,
        )
        lines += [
            {
                "form": name,
                "part": "TiSSD: maps, scan, gate, output",
                "for": "both, shared",
                "parameters": count(layer.tissd) - time,
            },
            {"form": name, "part": "TiSSD's time branch", "for": "both, shared", "parameters": time},
            {
                "form": name,
                "part": "adapters",
                "for": "each its own",
                "parameters": count(model.adapter_image, model.adapter_text),
            },
            {
                "form": name,
                "part": "LayerNorms before and after TiSSD",
                "for": "each its own",
                "parameters": count(model.norm_image, model.norm_text, layer.norm_image, layer.norm_text),
            },
            {"form": name, "part": "feed-forward of eq. 11, text", "for": "text", "parameters": count(layer.ffn_text)},
            {
                "form": name,
                "part": "feed-forward of eq. 11, image",
                "for": "image",
                "parameters": count(layer.ffn_image),
            },
            {
                "form": name,
                "part": "filter and TiCoSSD",
                "for": "fusion",
                "parameters": count(layer.filter, layer.ticossd, layer.norm_fused, layer.ffn_fused),
            },
            {"form": name, "part": "whole model without item tables", "for": "", "parameters": count(model)},
        ]
    table = pd.DataFrame(lines)
    of = lambda part, form="public code": table.query("part == @part and form == @form")["parameters"].item()
    shared = of("TiSSD: maps, scan, gate, output") + of("TiSSD's time branch")
    whole = count(layer.tissd[0])  # one block, or two would be counted above
    cells = published.paper(5, row="ndcg@10").pivot(index="column", columns="dataset", values="value")
    drop = cells.loc["MMM4Rec"] - cells.loc["w/o Shared"]
    return Finding(
        "shared-weights",
        "Both modalities pass through one weight-shared TiSSD (section 3.3.2, eq. 10)",
        f"One TiSSD serves both: {shared:,} of {of('whole model without item tables'):,} parameters. Adapters, "
        f"LayerNorms and the feed-forward of eq. 11 are each modality's own, and in the public code the image has no "
        f"feed-forward at all ({of('feed-forward of eq. 11, image'):,} parameters). Sharing also makes the two time "
        f"signals one (see dual-channel). The paper's own gain in NDCG@10: {drop['scientific']:.4f} on Scientific, "
        f"{drop['office']:.4f} on Office, one run each",
        SUPPORTED if shared == whole else CONTRADICTED,
        "measured",
        table,
        "parameter counts at the paper's sizes, 768-d features; Table 5 as published",
    )


def _random(config, items=60, rows=32, dims=16):
    """A model with live time branch and its input: items, lengths, times."""
    torch.manual_seed(0)
    model = MMM4Rec(config, torch.randn(items + 1, dims), torch.randn(items + 1, dims))
    L = config.max_len
    lengths = torch.randint(2, L + 1, (rows,))
    mask = torch.arange(L) < lengths.unsqueeze(1)
    times = 1_500_000_000 + torch.exp(11.4 + 1.5 * torch.randn(rows, L)).long().cumsum(1)
    with torch.no_grad():
        for module in (m for layer in model.layers for m in (layer.filter,) if m):
            for p in module.parameters():
                p.add_(0.3 * torch.randn_like(p))
    return model, (torch.randint(1, items + 1, (rows, L)) * mask, lengths, times * mask)


def _signals(model, given):
    """The pair of signals that enters every layer's filter, and the user vectors."""
    pairs = []
    hooks = [layer.filter.register_forward_hook(lambda _, signals, __: pairs.append(signals)) for layer in model.layers]
    torch.manual_seed(1)
    users = model(*given)
    for hook in hooks:
        hook.remove()
    return pairs, users
