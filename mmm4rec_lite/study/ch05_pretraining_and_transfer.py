"""What moves to another catalogue, what the two losses see, what fine-tuning changes: what notebook 05 looks at.

The models are the quickstart's, pre-trained on its source domains; nothing is trained here.
"""

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mmm4rec_lite import published
from mmm4rec_lite.checkpoint import load_model
from mmm4rec_lite.data import batch, epoch
from mmm4rec_lite.evaluation import compare, counting, metrics, model_scorer, rank_rows
from mmm4rec_lite.models.losses import full_loss, in_batch_loss
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.stages import fit_gaps, split
from mmm4rec_lite.study.protocol import presets
from mmm4rec_lite.study.protocol.results import tidy
from mmm4rec_lite.viz.style import COLOURS, captioned, empty_figure, styled

PARTS = (  # beginnings of tensors' names -> what the paper calls it; the first that fits counts
    (r"adapter_text", "adapter, text (eq. 2)"),
    (r"adapter_image", "adapter, images (eq. 2)"),
    (r"bias_text", "item table E^t (section 3.2.3)"),
    (r"bias_image", "item table E^v (section 3.2.3)"),
    (r"fusion", "weights of the two scores (extension)"),
    (r"gap_", "gap vectors (extension)"),
    (r"request_", "request vectors (extension)"),
    (r"times", "scale of the log-gaps (not trained)"),
    (r"layers\.\d+\.\w+\.?\d*\.(core\.step|enhance)", "time branches (eq. 6, 9)"),
    (r"layers\.\d+\.tissd", "TiSSD (eq. 3 to 10)"),
    (r"layers\.\d+\.ticossd", "TiCoSSD (eq. 17, 18)"),
    (r"layers\.\d+\.filter", "Fourier filter (eq. 12 to 16)"),
    (r"layers\.\d+\.ffn", "feed-forward (eq. 11, 19)"),
    (r".*norm", "norms"),
)


def part_of(name):
    """The part that a tensor of MMM4Rec's state belongs to."""
    return next(title for pattern, title in PARTS if re.match(pattern, name))


def parts(source, target, features, config=presets.CONFIG):
    """What ``Recommender.transfer`` moves, found by doing it: part, its numbers in source and target, moves, why not.

    With every part that the model can have; ``source`` and ``target`` are datasets, ``features`` of all their items.
    """
    config = config.replace(fusion="item", query_time=True)
    one, other = (MMM4Rec(config, *features.align(data.items["item"])) for data in (source, target))
    state = {name: torch.randn_like(tensor) for name, tensor in one.state_dict().items()}
    other.transfer(state)
    lines = {}
    for name, tensor in other.state_dict().items():
        why = (
            "has a row per item"
            if name.startswith(other.item_specific)
            else "belongs to one domain"
            if name.startswith(other.reset_on_transfer)
            else ""
        )
        start = {"numbers, source": 0, "numbers, target": 0, "moves": True, "why not": why}
        line = lines.setdefault(part_of(name), start)
        line["numbers, source"] += state[name].numel()
        line["numbers, target"] += tensor.numel()
        line["moves"] &= state[name].shape == tensor.shape and torch.equal(state[name], tensor)
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("part").reset_index()


def zero_shot(start, target, features, config=presets.CONFIG):
    """The pre-trained model of run folder ``start`` over ``target``'s items, before any fine-tuning."""
    return load_model(
        Path(start) / "model.safetensors",
        features,
        target.items["item"],
        keep_items=False,
        item_bias=config.item_bias,
        query_time=config.query_time,
    )[0].eval()


def fresh(target, features, config=presets.CONFIG, seed=presets.FINETUNE.seed):
    """The random model from which ``quickstart.finetuned`` starts without pre-training."""
    torch.manual_seed(seed)
    model = MMM4Rec(config, *features.align(target.items["item"]))
    fit_gaps(model, split(target))
    return model.eval()


def negatives(rows, batch_size=presets.PRETRAIN.batch_size):
    """How often each item is a negative in one epoch under either loss: a row per item that is ever a target.

    ``rows``: a ``data.Split``; its training rows are used. Columns: item (index), popularity (training targets), and
    per loss for how many of 1,000 rows the item is a negative; several copies in a batch count as several.
    """
    targets, items = rows.sequences.items, rows.sequences.item_count + 1
    inside = torch.zeros(items, dtype=torch.float64)
    for chunk in epoch(rows.train, batch_size, 0, 0):
        copies = torch.bincount(targets[chunk], minlength=items).double()
        inside += copies * (len(chunk) - copies)  # own copies are no negatives
    count, n = torch.bincount(targets[rows.train], minlength=items).double(), len(rows.train)
    table = pd.DataFrame(
        {
            "item": range(items),
            "popularity": count,
            "in-batch (eq. 21)": 1000 * inside / n,
            "whole catalogue (eq. 22)": 1000 * (n - count) / n,
        }
    )
    return table[table["popularity"] > 0].reset_index(drop=True)


@torch.no_grad()
def candidate_losses(models, rows, sizes=(8, 32, 128, 512), sample=2048, seed=0):
    """Both losses of models (name -> model) on the same sample of training rows, by the number of candidates.

    Columns: model, loss ("in-batch" or "whole catalogue"), candidates, different (mean number of different items among
    them), nats, known (nats below the ln(candidates) of who knows nothing).
    """
    order = torch.randperm(len(rows.train), generator=torch.Generator().manual_seed(seed))
    picked, items = rows.train[order[:sample]], rows.sequences.item_count
    lines = []
    for name, model in models.items():
        model.eval()
        window, device = model.window, next(model.parameters()).device
        users = torch.cat([model.users(batch(rows.sequences, chunk, window).to(device)) for chunk in picked.split(512)])
        targets = rows.sequences.items[picked].to(device)
        whole = full_loss(model, users, targets).item()
        for size in sizes:
            chunks = [chunk for chunk in torch.arange(len(picked)).split(size) if len(chunk) == size]
            found = [in_batch_loss(model, users[chunk], targets[chunk]).item() for chunk in chunks]
            different = [len(targets[chunk].unique()) for chunk in chunks]
            lines.append(
                {
                    "model": name,
                    "loss": "in-batch",
                    "candidates": size,
                    "different": sum(different) / len(chunks),
                    "nats": sum(found) / len(chunks),
                }
            )
        lines.append({"model": name, "loss": "whole catalogue", "candidates": items, "different": items, "nats": whole})
    table = pd.DataFrame(lines)
    return table.assign(known=torch.tensor(table["candidates"]).log().numpy() - table["nats"])


def _popularity(rows):
    return torch.bincount(rows.sequences.items[rows.train], minlength=rows.sequences.item_count + 1)


@torch.no_grad()
def popularity_pull(models, rows, sample=512):
    """Mean place of every item in the rankings of models (name -> model), after a sample of the histories.

    Histories before test rows; where there are none (pre-training), before training rows. Columns: model, item (index),
    popularity (training targets), place (mean over histories, % of the catalogue: 0 is the top).
    """
    count, frames = _popularity(rows)[1:], []
    asked = rows.test if len(rows.test) else rows.train
    asked = asked[torch.randperm(len(asked), generator=torch.Generator().manual_seed(0))[:sample]]
    for name, model in models.items():
        one = batch(rows.sequences, asked, model.window)
        scores = model_scorer(model)(one)[:, 1:].cpu()
        places = 100 / len(count) * scores.argsort(dim=1, descending=True).argsort(dim=1).double().mean(0)
        frames.append(
            pd.DataFrame({"model": name, "item": range(1, len(count) + 1), "popularity": count, "place": places})
        )
    table = pd.concat(frames, ignore_index=True)
    return table[table["popularity"] > 0].reset_index(drop=True)


def with_popularity(model, rows, weight=1.0):
    """A scorer: the model's score plus ``weight`` times the log of how often the item is a training target (+ 1)."""
    score, pull = model_scorer(model), weight * torch.log1p(_popularity(rows).double()).float()
    return lambda one: (found := score(one)) + pull.to(found.device)


def zero_shot_table(target, models):
    """Test metrics of models (name -> model), each also with log-popularity added, beside the counting baselines."""
    rows = split(target)
    systems = {}
    for name, model in models.items():
        systems |= {name: model_scorer(model), f"{name}, + log popularity": with_popularity(model, rows)}
    return compare(counting(rows) | systems, rows.sequences, rows.test, presets.CONFIG.max_len, progress=False)


def curves(target, runs, pretraining):
    """Validation curves of fine-tuning, epoch 0 (nothing trained yet) included, as ``convergence`` has them.

    ``runs``: name -> (model before fine-tuning, history, was it pre-trained); ``pretraining``: the history of that.
    "seconds in all" has pre-training's seconds on top where there was one.
    """
    rows, frames = split(target), []
    spent = pretraining["train_seconds"].sum()
    for name, (model, history, pretrained) in runs.items():
        ranked = rank_rows(model_scorer(model), rows.sequences, rows.valid, model.window)
        begun = pd.DataFrame([{"epoch": 0, "train_seconds": 0.0, "best": False, **metrics(ranked)}])
        line = pd.concat([begun, history], ignore_index=True)
        seconds = line["train_seconds"].cumsum()
        frames.append(
            line.assign(
                panel=target.name,
                curve=name,
                numbers="measured",
                seed=presets.FINETUNE.seed,
                seconds=seconds,
                **{"seconds in all": seconds + spent * bool(pretrained)},
            )
        )
    return pd.concat(frames, ignore_index=True)


def until(table, level=None, metric="ndcg@10"):
    """Epochs and seconds until each curve of ``curves`` reaches ``level``; by default the lowest of their bests."""
    level = table.groupby("curve")[metric].max().min() if level is None else level
    over = table[table[metric] >= level].groupby("curve", sort=False)[["epoch", "seconds", "seconds in all"]].first()
    return over.reindex(table["curve"].unique()).assign(level=level)


def parameter_drift(target, before, after):
    """How far fine-tuning moved each part of a model, and what is left of its accuracy when that part is put back.

    ``before``, ``after``: the same model before and after. Columns: part, numbers, length (after), distance (moved,
    over the length before; nan where that was 0), put back (test NDCG@10 with this part as before);
    ``attrs["whole"]``: NDCG@10 as it is.
    """
    rows, old = split(target), {name: tensor.cpu() for name, tensor in before.state_dict().items()}
    new = {name: tensor.cpu().clone() for name, tensor in after.state_dict().items()}
    score = lambda: metrics(rank_rows(model_scorer(after), rows.sequences, rows.test, after.window))["ndcg@10"]
    length = lambda tensors: sum(tensor.double().square().sum() for tensor in tensors).sqrt().item()
    groups, lines, whole = {}, [], score()
    for name in new:
        groups.setdefault(part_of(name), []).append(name)
    for part, names in groups.items():
        first, last = [old[name] for name in names], [new[name] for name in names]
        moved = length([b - a for a, b in zip(first, last)])
        if not moved:
            continue
        after.load_state_dict(new | dict(zip(names, first)))
        lines.append(
            {
                "part": part,
                "numbers": sum(map(torch.numel, last)),
                "length": length(last),
                "distance": moved / length(first) if length(first) else float("nan"),
                "put back": score(),
            }
        )
    after.load_state_dict(new)
    table = pd.DataFrame(lines)
    table.attrs["whole"] = whole
    return table


def without_pretraining(runs, pairs=None):
    """Table 5's "w/o PT" beside the whole model, measured (``gathered.stored``) and as printed: a row per dataset.

    Columns: numbers, data, MMM4Rec, w/o PT, difference (w/o PT less the whole), standard error, seeds, note. Without
    measured runs there is a row that says so, and no number in it.
    """
    own = tidy(runs)
    own = own[own["experiment"] == "table5"]
    lines = [line for where, group in own.groupby("where", sort=False) if (line := _beside(where, group, pairs))]
    if not lines:
        lines = [{"numbers": "measured", "data": "-", "note": "no such runs are kept yet"}]
    for data, cells in published.paper(5, row="ndcg@10").groupby("dataset", sort=False):
        values = cells.set_index("column")["value"]
        lines.append(
            {
                "numbers": "published",
                "data": data,
                **values[["MMM4Rec", "w/o PT"]],
                "seeds": 1,
                "difference": values["w/o PT"] - values["MMM4Rec"],
                "note": "Table 5, one run as it seems",
            }
        )
    columns = ["numbers", "data", "MMM4Rec", "w/o PT", "difference", "standard_error", "seeds", "note"]
    return pd.DataFrame(lines, columns=columns)


def _beside(where, group, pairs):
    """One measured row of ``without_pretraining``; None where one of the two was not run."""
    table = group.pivot_table(index="seed", columns="label", values="ndcg@10")
    if not {"MMM4Rec", "w/o PT"} <= set(table) or not len(table := table[["MMM4Rec", "w/o PT"]].dropna()):
        return None
    line = {
        "numbers": "measured",
        "data": where,
        **table.mean(),
        "seeds": len(table),
        "difference": (table["w/o PT"] - table["MMM4Rec"]).mean(),
    }
    known = pairs if pairs is not None and len(pairs) else pd.DataFrame(columns=["experiment", "dataset", "form"])
    for column, value in {"experiment": "table5", "dataset": group["dataset"].iloc[0], "form": "w/o PT"}.items():
        known = known[known[column] == value]
    if len(known):
        line |= {name: known[name].iloc[0] for name in ("difference", "standard_error")}
    note = "one seed: nothing follows" if len(table) == 1 else "error over users and seeds" if len(known) else ""
    return {**line, "note": note}


@styled
def plot_candidate_losses(table, title=""):
    """Loss by number of candidates; a frame of ``experiments.transfer.candidate_losses``."""
    figure = empty_figure(6.5, 3)
    axis = figure.subplots()
    inside = table[table["loss"] != "whole catalogue"]
    for i, (name, rows) in enumerate(inside.groupby("model", sort=False)):
        axis.plot(rows["candidates"], rows["nats"], marker="os^"[i], color=COLOURS[i], label=f"{name}, in-batch")
        whole = table[(table["loss"] == "whole catalogue") & (table["model"] == name)]
        axis.plot(
            whole["candidates"],
            whole["nats"],
            marker="*",
            ms=14,
            color=COLOURS[i],
            ls="",
            label=f"{name}, whole catalogue",
        )
    sizes = table["candidates"].drop_duplicates().sort_values()
    axis.plot(sizes, np.log(sizes), color="black", ls=":", label="knows nothing: ln(candidates)")
    axis.set(xscale="log", xlabel="candidates, the right one among them", ylabel="cross-entropy (nats)")
    axis.set_xticks(sizes, [f"{size}" for size in sizes])
    axis.minorticks_off()
    axis.legend(frameon=False, fontsize=8, bbox_to_anchor=(1, 1), loc="upper left")
    return captioned(figure, title)


@styled
def plot_negative_counts(table):
    """How often each item is a negative under both losses, by its popularity; ``experiments.transfer.negatives``."""
    figure = empty_figure(6.5, 2.8)
    axis = figure.subplots()
    for i, name in enumerate(("in-batch (eq. 21)", "whole catalogue (eq. 22)")):
        axis.plot(table["popularity"], table[name], "os"[i], ms=3, alpha=0.6, color=COLOURS[i], label=name)
    axis.set(
        xscale="log", xlabel="how often the item is a training target", ylabel="how often a negative,\nin 1,000 rows"
    )
    axis.legend(frameon=False, fontsize=8, bbox_to_anchor=(1, 1), loc="upper left", markerscale=2)
    return figure


@styled
def plot_popularity_pull(table, title=""):
    """Mean place of items in the rankings by their popularity, a panel per model; ``transfer.popularity_pull``."""
    names = list(table["model"].unique())
    figure = empty_figure(0.8 + 2.6 * len(names), 2.7)
    axes = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for axis, (name, rows) in zip(axes, table.groupby("model", sort=False)):
        axis.plot(rows["popularity"], rows["place"], "o", ms=3, alpha=0.7, color=COLOURS[0])
        rho = rows["popularity"].rank().corr(-rows["place"].rank())
        axis.set(xscale="log", xlabel="ratings in the training part")
        axis.set_title(f"{name}\nrank correlation {rho:+.2f}", fontsize=9, loc="left")
    axes[0].invert_yaxis()
    axes[0].set_ylabel("mean place in the ranking\n(% of the catalogue, 0: top)")
    return captioned(figure, title)


@styled
def plot_travel_bars(table, title=""):
    """How far each part moved, and what is left when it is put back; a frame of ``parameter_drift``."""
    figure = empty_figure(9.5, 1.0 + 0.3 * len(table) + (0.3 if title else 0))
    left, right = figure.subplots(1, 2, sharey=True)
    places = range(len(table))
    left.barh(places, table["distance"].fillna(0), color=COLOURS[0])
    for place, (distance, length) in enumerate(zip(table["distance"], table["length"])):
        text = f" began at 0, now of length {length:.2g}" if math.isnan(distance) else f" {distance:.2f}"
        left.text(0 if math.isnan(distance) else distance, place, text, va="center", fontsize=8)
    left.set(xlabel="distance moved over length before (no unit)")
    left.set_xlim(0, max(table["distance"].max() * 1.15, 1e-9))
    whole = table.attrs["whole"]
    right.hlines(places, table["put back"], whole, color="#bbbbbb", lw=2)
    right.plot(table["put back"], places, "o", color=COLOURS[1], label="this part as before")
    right.axvline(whole, color="black", ls=":", lw=1, label="nothing put back")
    right.set(xlabel="test NDCG@10")
    right.xaxis.get_major_locator().set_params(nbins=5)
    right.legend(frameon=False, fontsize=8, bbox_to_anchor=(1, 1), loc="upper left")
    left.set_yticks(places, table["part"], fontsize=8)
    left.invert_yaxis()
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    return figure
