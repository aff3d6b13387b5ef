"""Chapter 5: what moves to another catalogue, what the two losses see, and what fine-tuning changes.

The models are the quickstart's, pre-trained on its source domains; nothing is trained here.
"""

import math
import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from mmm4rec_lite import published
from mmm4rec_lite.data import Dataset, Split, batch, epoch, leave_one_out, sample_rows
from mmm4rec_lite.evaluation import Scorer, compare, counting, metrics, model_scorer, rank_rows
from mmm4rec_lite.features import Features
from mmm4rec_lite.models.config import ModelConfig
from mmm4rec_lite.models.losses import full_loss, in_batch_loss
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.study.protocol import presets
from mmm4rec_lite.study.protocol.experiments import WITHOUT_PRETRAINING
from mmm4rec_lite.study.protocol.results import tidy
from mmm4rec_lite.viz.style import COLOURS, captioned, legend_beside, panel, panel_row, panels, styled

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
LOSSES = {"in_batch": "in-batch (eq. 21)", "catalogue": "whole catalogue (eq. 22)"}


def part_of(name: str) -> str:
    """The part that a tensor of MMM4Rec's state belongs to."""
    return next(title for pattern, title in PARTS if re.match(pattern, name))


def parts(source: Dataset, target: Dataset, features: Features, config: ModelConfig | None = None) -> pd.DataFrame:
    """What a transfer moves, found by doing it: part, source_parameters, target_parameters, moves, why_not."""
    config, rows = (config or presets.settings()[0]).replace(fusion="item", query_time=True), []
    one, other = (MMM4Rec.from_catalogue(config, features.catalogue(data.items["item"])) for data in (source, target))
    state = {name: torch.randn_like(tensor) for name, tensor in one.state_dict().items()}
    other.transfer(state)
    reasons = {"has a row per item": other.item_specific, "belongs to one domain": other.reset_on_transfer}
    for name, tensor in other.state_dict().items():
        why = next((why for why, beginnings in reasons.items() if name.startswith(beginnings)), "")
        moves = state[name].shape == tensor.shape and torch.equal(state[name], tensor)
        rows.append((part_of(name), state[name].numel(), tensor.numel(), moves, why))
    table = pd.DataFrame(rows, columns=["part", "source_parameters", "target_parameters", "moves", "why_not"])
    sums = dict(source_parameters="sum", target_parameters="sum", moves="all", why_not="first")
    return table.groupby("part", sort=False).agg(sums).reset_index()


def negatives(rows: Split, batch_size: int | None = None) -> pd.DataFrame:
    """How often each item that is ever a target is a negative in an epoch: item, popularity, in_batch, catalogue.

    Both losses' in 1,000 rows; several copies in a batch count as several. Popularity: training targets.
    """
    targets, items, n = rows.sequences.items, rows.sequences.item_count + 1, len(rows.train)
    batch_size = batch_size or presets.settings("pretrain")[1].batch_size
    inside = torch.zeros(items, dtype=torch.float64)
    for chunk in epoch(rows.train, batch_size, 0, 0):
        copies = torch.bincount(targets[chunk], minlength=items).double()
        inside += copies * (len(chunk) - copies)  # own copies are no negatives
    count = _popularity(rows).double()
    counts = dict(popularity=count, in_batch=1000 * inside / n, catalogue=1000 * (n - count) / n)
    table = pd.DataFrame({"item": range(items), **counts})
    return table[table["popularity"] > 0].reset_index(drop=True)


@torch.no_grad()
def candidate_losses(
    models: dict[str, MMM4Rec], rows: Split, sizes: Sequence[int] = (8, 32, 128, 512), sample: int = 2048, seed: int = 0
) -> pd.DataFrame:
    """Both losses on the same sample of training rows: model, loss, candidates, distinct (of them), nats, known_nats.

    known_nats: how far below the ln(candidates) of a model that knows nothing.
    """
    picked, items, lines = sample_rows(rows.train, sample, seed), rows.sequences.item_count, []
    for name, model in models.items():
        model.eval()
        window, device = model.window, next(model.parameters()).device
        users = torch.cat([model.users(batch(rows.sequences, chunk, window).to(device)) for chunk in picked.split(512)])
        targets = rows.sequences.items[picked].to(device)
        for size in sizes:
            chunks = [chunk for chunk in torch.arange(len(picked)).split(size) if len(chunk) == size]
            nats = sum(in_batch_loss(model, users[chunk], targets[chunk]).item() for chunk in chunks)
            distinct = sum(len(targets[chunk].unique()) for chunk in chunks)
            lines.append((name, "in_batch", size, distinct / len(chunks), nats / len(chunks)))
        lines.append((name, "catalogue", items, items, full_loss(model, users, targets).item()))
    table = pd.DataFrame(lines, columns=["model", "loss", "candidates", "distinct", "nats"])
    return table.assign(known_nats=torch.tensor(table["candidates"]).log().numpy() - table["nats"])


def _popularity(rows):
    return torch.bincount(rows.sequences.items[rows.train], minlength=rows.sequences.item_count + 1)


@torch.no_grad()
def popularity_pull(models: dict[str, MMM4Rec], rows: Split, sample: int = 512) -> pd.DataFrame:
    """Mean place of every item in rankings after a sample of histories: model, item, popularity, place_share (0: top).

    Histories before test rows; where there are none (pre-training), before training rows.
    """
    count, frames = _popularity(rows)[1:], []
    asked = sample_rows(rows.test if len(rows.test) else rows.train, sample)
    for name, model in models.items():
        scores = model_scorer(model)(batch(rows.sequences, asked, model.window))[:, 1:].cpu()
        places = 1 / len(count) * scores.argsort(dim=1, descending=True).argsort(dim=1).double().mean(0)
        items = range(1, len(count) + 1)
        frames.append(pd.DataFrame(dict(model=name, item=items, popularity=count, place_share=places)))
    table = pd.concat(frames, ignore_index=True)
    return table[table["popularity"] > 0].reset_index(drop=True)


def with_popularity(model: MMM4Rec, rows: Split, weight: float = 1.0) -> Scorer:
    """A scorer: the model's score plus ``weight`` times the log of how often the item is a training target (+ 1)."""
    score, pull = model_scorer(model), weight * torch.log1p(_popularity(rows).double()).float()
    return lambda one: (found := score(one)) + pull.to(found.device)


def zero_shot_table(target: Dataset, models: dict[str, MMM4Rec]) -> pd.DataFrame:
    """Test metrics of models (by name), each also with log-popularity added, beside the counting baselines."""
    rows = leave_one_out(target)
    systems = counting(rows)
    for name, model in models.items():
        systems |= {name: model_scorer(model), f"{name}, + log popularity": with_popularity(model, rows)}
    return compare(systems, rows.sequences, rows.test, next(iter(models.values())).window, progress=False)


def curves(
    target: Dataset, runs: dict[str, tuple[MMM4Rec, pd.DataFrame, bool]], pretraining: pd.DataFrame
) -> pd.DataFrame:
    """Validation curves of fine-tuning as ``viz.convergence_curves`` draws them, epoch 0 (nothing trained) included.

    ``runs``: name -> (model before fine-tuning, history, was it pre-trained); ``pretraining``: the history of that.
    """
    rows, frames = leave_one_out(target), []
    for name, (model, history, pretrained) in runs.items():
        ranked = rank_rows(model_scorer(model), rows.sequences, rows.valid, model.window)
        begun = pd.DataFrame([{"epoch": 0, "train_seconds": 0.0, "best": False, **metrics(ranked)}])
        line = pd.concat([begun, history], ignore_index=True)
        seconds, before = line["train_seconds"].cumsum(), pretraining["train_seconds"].sum() * pretrained
        line = line.assign(panel=target.name, curve=name, numbers="measured", seed=0)
        frames.append(line.assign(seconds=seconds, seconds_with_pretraining=seconds + before))
    return pd.concat(frames, ignore_index=True)


def until(table: pd.DataFrame, level: float | None = None, metric: str = "ndcg@10") -> pd.DataFrame:
    """Epochs and seconds until each curve of ``curves`` reaches ``level``; by default the lowest of their bests."""
    level = table.groupby("curve")[metric].max().min() if level is None else level
    reached = table[table[metric] >= level].groupby("curve")[["epoch", "seconds", "seconds_with_pretraining"]].first()
    return reached.reindex(table["curve"].unique()).assign(level=level)


def parameter_drift(target: Dataset, before: MMM4Rec, after: MMM4Rec) -> pd.DataFrame:
    """How far fine-tuning moved each part of a model, and what is left of its accuracy when that part is put back.

    Columns: part (those that moved), parameters, length (after), relative_distance (over the length before; nan where
    that was 0), put_back_ndcg@10 (on test rows, with this part as before), ndcg@10 (as it is).
    """
    rows, old = leave_one_out(target), {name: tensor.cpu() for name, tensor in before.state_dict().items()}
    new = {name: tensor.cpu().clone() for name, tensor in after.state_dict().items()}
    score = lambda: metrics(rank_rows(model_scorer(after), rows.sequences, rows.test, after.window))["ndcg@10"]
    length = lambda tensors: sum(tensor.double().square().sum() for tensor in tensors).sqrt().item()
    groups, lines, whole = pd.Series(list(new)).groupby([part_of(name) for name in new], sort=False), [], score()
    for part, names in groups:
        first, last = [old[name] for name in names], [new[name] for name in names]
        if moved := length([b - a for a, b in zip(first, last)]):
            after.load_state_dict(new | dict(zip(names, first)))
            relative = moved / length(first) if length(first) else math.nan
            lines.append((part, sum(map(torch.numel, last)), length(last), relative, score(), whole))
    after.load_state_dict(new)
    columns = ["part", "parameters", "length", "relative_distance", "put_back_ndcg@10", "ndcg@10"]
    return pd.DataFrame(lines, columns=columns)


def without_pretraining(runs: pd.DataFrame, pairs: pd.DataFrame | None = None) -> pd.DataFrame:
    """Table 5's "w/o PT" beside the whole model, measured (stored runs; a row says so without) and printed.

    Columns: numbers, data, ndcg@10, without_pretraining_ndcg@10, difference (paired where ``pairs`` has it),
    standard_error, n_seeds, note.
    """
    whole, without, lines = "", WITHOUT_PRETRAINING, []
    for (dataset, where), rows in tidy(runs).query("experiment == 'table5'").groupby(["dataset", "where"], sort=False):
        seeds = rows.pivot_table(index="seed", columns="variant", values="ndcg@10")
        table = seeds.reindex(columns=[whole, without]).dropna()
        if not len(table):
            continue
        change, note = [(table[without] - table[whole]).mean(), None], ""
        if pairs is not None:
            own = pairs[(pairs[["experiment", "dataset", "variant"]] == ["table5", dataset, without]).all(axis=1)]
            if len(own):
                change, note = own[["difference", "standard_error"]].iloc[0], "error over users and seeds"
        note = "one seed: nothing follows" if len(table) == 1 else note
        lines.append(("measured", where, *table.mean(), *change, len(table), note))
    lines = lines or [("measured", "-", *[None] * 5, "no such runs are kept yet")]
    for data, cells in published.paper(5, row="ndcg@10").groupby("dataset", sort=False):
        first, second = cells.set_index("column")["value"][["MMM4Rec", "w/o PT"]]
        lines.append(("published", data, first, second, second - first, None, 1, "Table 5, one run as it seems"))
    values = ["ndcg@10", "without_pretraining_ndcg@10", "difference", "standard_error", "n_seeds"]
    return pd.DataFrame(lines, columns=["numbers", "data", *values, "note"])


@styled
def plot_candidate_losses(table: pd.DataFrame, title: str = "") -> Figure:
    """Loss by number of candidates; a frame of ``candidate_losses``."""
    figure, axis = panel(6.5, 3)
    for i, (name, rows) in enumerate(table.groupby("model", sort=False)):
        inside, whole = (rows[rows["loss"] == loss] for loss in LOSSES)
        axis.plot(inside["candidates"], inside["nats"], marker="os^"[i], color=COLOURS[i], label=f"{name}, in-batch")
        star = dict(marker="*", ms=14, ls="", color=COLOURS[i])
        axis.plot(whole["candidates"], whole["nats"], **star, label=f"{name}, whole catalogue")
    sizes = table["candidates"].drop_duplicates().sort_values()
    axis.plot(sizes, np.log(sizes), color="black", ls=":", label="knows nothing: ln(candidates)")
    axis.set(xscale="log", xlabel="candidates, the right one among them", ylabel="cross-entropy (nats)")
    axis.set_xticks(sizes, [f"{size}" for size in sizes])
    axis.minorticks_off()
    legend_beside(axis)
    return captioned(figure, title)


@styled
def plot_negative_counts(table: pd.DataFrame) -> Figure:
    """How often each item is a negative under both losses, by its popularity; a frame of ``negatives``."""
    figure, axis = panel(6.5, 2.8)
    for (column, label), colour, marker in zip(LOSSES.items(), COLOURS, "os"):
        axis.plot(table["popularity"], table[column], marker, ms=3, alpha=0.6, color=colour, label=label)
    axis.set(xscale="log", xlabel="how often the item is a training target")
    axis.set_ylabel("how often a negative,\nin 1,000 rows")
    legend_beside(axis, markerscale=2)
    return figure


@styled
def plot_popularity_pull(table: pd.DataFrame, title: str = "") -> Figure:
    """Mean place of items in the rankings by their popularity, a panel per model; a frame of ``popularity_pull``."""
    figure, drawn = panels(table, "model", 0.8, 2.7, each=2.6)
    for axis, name, rows in drawn:
        axis.plot(rows["popularity"], 100 * rows["place_share"], "o", ms=3, alpha=0.7, color=COLOURS[0])
        rho = rows["popularity"].rank().corr(-rows["place_share"].rank())
        axis.set(xscale="log", xlabel="ratings in the training part")
        axis.set_title(f"{name}\nrank correlation {rho:+.2f}", fontsize=9, loc="left")
    drawn[0][0].invert_yaxis()
    drawn[0][0].set_ylabel("mean place in the ranking\n(% of the catalogue, 0: top)")
    return captioned(figure, title)


@styled
def plot_parameter_drift(table: pd.DataFrame, title: str = "") -> Figure:
    """How far each part moved, and what is left when it is put back; a frame of ``parameter_drift``."""
    figure, (left, right) = panel_row(2, 9.5, 1.0 + 0.3 * len(table) + (0.3 if title else 0))
    places, distance = range(len(table)), table["relative_distance"]
    left.barh(places, distance.fillna(0), color=COLOURS[0])
    for place, moved, length in zip(places, distance, table["length"]):
        text = f" began at 0, now of length {length:.2g}" if math.isnan(moved) else f" {moved:.2f}"
        left.text(0 if math.isnan(moved) else moved, place, text, va="center", fontsize=8)
    left.set(xlabel="distance moved over length before (no unit)", xlim=(0, max(distance.max() * 1.15, 1e-9)))
    left.set_yticks(places, table["part"], fontsize=8)
    left.invert_yaxis()
    right.hlines(places, table["put_back_ndcg@10"], table["ndcg@10"], color="#bbbbbb", lw=2)
    right.plot(table["put_back_ndcg@10"], places, "o", color=COLOURS[1], label="this part as before")
    right.axvline(table["ndcg@10"].max(), color="black", ls=":", lw=1, label="nothing put back")
    right.set(xlabel="test NDCG@10")
    right.locator_params(axis="x", nbins=5)
    legend_beside(right)
    return captioned(figure, title)
