"""The demo store's frames (`shop`) over seeds, in tables and in words."""

import pandas as pd

from mmm4rec_lite.significance import STANDARD_ERRORS
from mmm4rec_lite.study.protocol.report import markdown
from mmm4rec_lite.study.protocol.verdict import INCONCLUSIVE, case_outcome
from mmm4rec_lite.study.shop import FORMS

KEYS = ["part", "world", "system", "kept", "against", "against_kept"]
DEAD = (
    ": the branch is dead. Its scale starts as the Tanhshrink of almost nothing, which has no gradient to speak "
    "of, and weight decay keeps it there."
)
MEANS = ("expected_ndcg@10", "ndcg@10", "difference", "drawn_difference", "closed", "relative_change", "seconds")


def pooled(frame: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds per part, world, system and items kept; ``seeds``: how many.

    ``standard_error``: over the users of all seeds; ``seed_standard_error``: over seeds; ``error``: the larger of both;
    ``least`` and ``most``: the seeds' smallest and largest difference.
    """
    frame = frame.reindex(columns=frame.columns.union(["relative_change"], sort=False))  # not every part has it
    groups = frame.groupby(KEYS, sort=False)
    root = lambda errors: (errors.pow(2).sum() ** 0.5) / len(errors)
    columns = {name: (name, "mean") for name in MEANS} | {
        "seeds": ("seed", "nunique"),
        "standard_error": ("standard_error", root),
        "seed_standard_error": ("difference", "sem"),
        "least": ("difference", "min"),
        "most": ("difference", "max"),
        "drawn_standard_error": ("drawn_standard_error", root),
    }
    table = groups.agg(**columns).reset_index()
    return table.assign(error=table[["standard_error", "seed_standard_error"]].max(axis=1))


def report(frame: pd.DataFrame) -> str:
    """The frame in words and tables (Markdown), every figure and verdict computed from it."""
    first, trained = frame.iloc[0], frame.dropna(subset="run_id").drop_duplicates("run_id")
    parts = [
        "# What the model finds of the demo store's truth",
        f"Made by `mmm4rec-lite experiment store` on {', '.join(frame['date'].unique())}: {first['machine']}, "
        f"{', '.join(frame['device'].dropna().unique())}, {first['threads']} thread(s), torch {first['torch']}; "
        f"{len(trained)} trained runs, {trained['seconds'].sum() / 60:.0f} minutes of training and validation in all. "
        "Item features are the attributes shown, not an encoder's. Figures are expected NDCG@10 (the mean over "
        "what a user could have bought next), the mean over seeds; differences are paired over users, with the "
        f"standard error over the users of all seeds. In the sentences a difference counts from {STANDARD_ERRORS} "
        "standard errors on, over users or over seeds, whichever is larger. Closed: the share of the way from the "
        "system compared with to the best. Moved: the mean relative distance that user vectors move when the gaps "
        "change places.",
    ]
    for part, lines in pooled(frame).groupby("part", sort=False):
        parts.append(f"## {part.capitalize()}")
        for world, rows in lines.groupby("world", sort=False):
            sentences = "\n".join(f"- {sentence}" for sentence in SENTENCES[part](rows))
            parts += [f"**{world.capitalize()}** ({rows['seeds'].iloc[0]} seeds):", _table(rows), sentences]
    return "\n\n".join(parts) + "\n"


def _table(rows):
    several = rows["kept"].nunique() > 1
    named = lambda system, kept: f"{system}, {kept} kept" if several else system
    signed, plain = "{:+.4f}".format, "{:.4f}".format
    columns = {
        "system": map(named, rows["system"], rows["kept"]),
        "expected NDCG@10": rows["expected_ndcg@10"].map(plain),
        "NDCG@10": rows["ndcg@10"].map(plain),
        "against": map(named, rows["against"], rows["against_kept"]),
        "difference": rows["difference"].map(signed) + rows["standard_error"].map(" +- {:.4f}".format),
        "least to most of seeds": rows["least"].map(signed) + " to " + rows["most"].map(signed),
        # far below, it is no distance closed
        "closed": rows["closed"].map(lambda share: f"{share:.0%}" if share > -0.5 else ""),
        "moved": rows["relative_change"].map(lambda moved: "" if pd.isna(moved) else f"{moved:.2g}"),
    }
    return markdown(pd.DataFrame({name: list(values) for name, values in columns.items()}))


def _verdict(row):
    if case_outcome(row["difference"], row["error"]) == INCONCLUSIVE:
        return f"{INCONCLUSIVE} against {row['against']}"
    return f"{'better' if row['difference'] > 0 else 'worse'} than {row['against']}"


def _gap_sentences(rows):
    rows = rows.set_index("system")
    for name in (name for name in FORMS if name in rows.index and not name.startswith("no time")):
        r = rows.loc[name]
        yield (
            f"{name}: {_verdict(r)} ({r['difference']:+.4f} +- {r['standard_error']:.4f}), closes {r['closed']:.0%} "
            f"of the way to the best; other gaps move a trained user vector by {r['relative_change']:.1g} of its length"
            + (DEAD if r["relative_change"] < 1e-4 else ".")
        )
    bound = rows.loc["best", "expected_ndcg@10"] - rows.loc["best without gaps", "expected_ndcg@10"]
    yield f"knowing the gaps is worth {bound:.4f} to the best that any model could reach."


def _modality_sentences(rows):
    off = rows.set_index("system").loc[["image off", "text off"]]
    yield from (f"{r.Index}: {r.difference:+.4f} +- {r.standard_error:.4f} against both." for r in off.itertuples())
    yield f"the one that loses more: {off['difference'].idxmin()}."


def _memory_sentences(rows):
    for system, own in rows.groupby("system", sort=False):
        curve = own.set_index("kept")["expected_ndcg@10"]
        needed = curve.index[curve >= curve.iloc[0] + 0.95 * (curve.iloc[-1] - curve.iloc[0])][0]
        yield (
            f"{system}: {curve.iloc[0]:.4f} with {curve.index[0]} item kept, {curve.iloc[-1]:.4f} with "
            f"{curve.index[-1]}; 95 % of that gain is reached with {needed}."
        )


SENTENCES = {"gaps": _gap_sentences, "modality": _modality_sentences, "memory": _memory_sentences}
