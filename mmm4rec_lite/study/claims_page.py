"""The claims on one page: what is claimed, what is published, what was measured, at which scale, and the verdict."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import nbformat
import pandas as pd

from mmm4rec_lite import published
from mmm4rec_lite.study.protocol.claims import CLAIMS, T5, Claim, claims_table
from mmm4rec_lite.study.protocol.experiments import COLUMNS, FULL
from mmm4rec_lite.study.protocol.results import Form, listed, tidy

IN_WORDS = "in words only"
OURS = "MMM4Rec"


def claim_rows(runs: pd.DataFrame, pairs: pd.DataFrame | None, cells: Mapping[str, str] | None = None) -> pd.DataFrame:
    """A row per claim: claim, place, published, measured, scale, seeds, verdict, why, link.

    ``cells``: place in the paper -> address of the cell that shows it, as ``claim_cells`` finds them.
    """
    table, own, lines = claims_table(runs, pairs), tidy(runs), []
    for claim, verdict, numbers, why in zip(CLAIMS, table["verdict"], table["numbers"], table["why"]):
        cases = claim.evidence(own, pd.DataFrame() if pairs is None else pairs)
        used = own[own["where"].isin([case.where for case in cases])]
        scale = (
            f"{listed(used, 'scale')}, {listed(used, 'protocol')}, width {listed(used, 'd_model')}" if cases else "-"
        )
        seeds = ", ".join(str(n) for n in sorted({case.seeds for case in cases})) or "-"
        link = next((address for place, address in (cells or {}).items() if place in claim.place), "")
        measured = numbers or "no runs"
        lines.append((claim.text, claim.place, printed(claim), measured, scale, seeds, verdict, why, link))
    return pd.DataFrame(lines, columns="claim place published measured scale seeds verdict why link".split())


def claim_cells(notebooks: Iterable[Path | str]) -> dict[str, str]:
    """Place in the paper -> page and cell of the notebook that weighs the claims made there."""
    found: dict[str, str] = {}
    for path in notebooks:
        for cell in nbformat.read(path, 4).cells:
            for call in re.findall(r"claims_about\((.*)\)", cell.source if cell.cell_type == "code" else ""):
                found |= {place: f"{Path(path).stem}.html#cell-id={cell.id}" for place in re.findall(r'"(.+?)"', call)}
    return found


def printed(claim: Claim) -> str:
    """What the paper prints for a claim: NDCG@10 by dataset, or epochs and seconds."""
    if claim.weigh == "best":
        return "; ".join(_against_best(claim.cases[0][0]))
    if claim.weigh == "quality":
        return "; ".join(filter(None, (_pair(*case[:3]) for case in claim.cases)))
    if claim.weigh == "cost":
        row = {"best_epoch": "epochs", "seconds_per_step": "seconds_per_epoch"}[claim.cases[0][0]]
        by = published.paper(4, row=row).groupby("column", sort=False)["value"]
        return f"{row.replace('_', ' ')}, five datasets: " + ", ".join(f"{k} {v.min():g} to {v.max():g}" for k, v in by)
    if claim.weigh == "lead":
        return f"Table 6: {_against_best(6)[0]}; Table 3: {_against_best(3)[-1]}"
    return _pair("table5", Form(FULL), Form(FULL, "2L"), claim.data) if claim.place == T5 else IN_WORDS


def _against_best(table):
    """By dataset: MMM4Rec against its strongest rival of a table."""
    cells = published.paper(table, row="ndcg@10").pivot(index="dataset", columns="column", values="value")
    rivals = cells.drop(columns=[OURS, "improvement %"])
    order = published.paper(table)["dataset"].unique()
    best = {d: f"best rival {rivals.loc[d].idxmax()} {rivals.loc[d].max():.4f}" for d in order}
    return [f"{d}: {OURS} {cells.loc[d, OURS]:.4f}, {rival}" for d, rival in best.items()]


def _pair(experiment, form, other, data=()):
    """Two forms beside each other; over more than two datasets as the range of their ratio."""
    if experiment == "figure2":
        return "97 % with 5 of 20 items (SASRec, Kindle)"
    tables = (5,) if experiment == "table5" else (2, 3)
    cells = pd.concat([published.paper(table, row="ndcg@10") for table in tables])
    names = [one.variant or OURS if tables == (5,) else _title(one.system) for one in (form, other)]
    a, b = (cells[cells["column"] == name].set_index("dataset")["value"] for name in names)
    if tables == (5,):
        return "; ".join(f"{d} {names[0]} {a[d]:.4f}, {names[1]} {b[d]:.4f}" for d in a.index if not data or d in data)
    ratio = a / b
    return f"{names[0]} / {names[1]}: {ratio.min():.0%} to {ratio.max():.0%} over {len(ratio)} datasets"


def _title(system):
    return next(COLUMNS[table][system] for table in (2, 3) if system in COLUMNS[table])
