"""The exchange of blocks: one part of a system in the place of another's, and what that is worth."""

import numpy as np
import pandas as pd

from mmm4rec_lite.significance import STANDARD_ERRORS
from mmm4rec_lite.viz.explorers.explorer import Explorer, choice
from mmm4rec_lite.viz.style import COLOURS, empty_figure, styled


def block_exchange(table: pd.DataFrame) -> Explorer:
    """An explorer of hybrids: one part chosen of each kind; beside each, the others in its place."""
    kinds = {"sequence": "sequence block", "items": "item encoder"}
    rows = [{kind: choice(name, list(table[kind].unique()), table[kind].iloc[0]) for kind, name in kinds.items()}]
    figure, draw = _exchange_view(table)

    def redraw(explorer):
        chosen = {kind: rows[0][kind].value for kind in kinds}
        draw(chosen)
        own = table[(table[list(chosen)] == list(chosen.values())).all(axis=1)].iloc[0]
        difference, error = own["difference"], own["standard_error"]
        against = f"{difference:+.4f} against SASRec, standard error {error:.4f}"
        verdict = "significant" if own["significant"] else "inconclusive"
        worth = "SASRec itself" if own.equals(table.iloc[0]) else f"{against}: {verdict}"
        told = [f"<b>{chosen['sequence']} over {chosen['items']}</b>: test NDCG@10 {own['ndcg@10']:.4f}, {worth}"]
        for kind, other in (("sequence", "items"), ("items", "sequence")):
            bars = table[table[other] == chosen[other]]
            values = (f"{name} {value:.3f}" for name, value in zip(bars[kind], bars["ndcg@10"]))
            told.append(f"{kinds[kind]} exchanged: {', '.join(values)}")
        return "<br>".join(told)

    return Explorer("a block of one system in the place of another's", figure, rows, redraw, {})


@styled
def _exchange_view(table):
    """The figure, and a function that draws the forms that differ from the chosen one in one part."""
    figure, lines = empty_figure(9.6, 3.0, "none"), {}
    reach = STANDARD_ERRORS * table["standard_error"]
    ends = (table["ndcg@10"] - reach).min() - 0.003, (table["ndcg@10"] + reach).max() + 0.003
    for x, kind in ((0.19, "sequence"), (0.69, "items")):
        axis, names = figure.add_axes((x, 0.17, 0.29, 0.68)), table[kind].unique()
        axis.set(xlim=ends, ylim=(len(names) - 0.5, -0.5), xlabel="test NDCG@10")
        axis.set_yticks(range(len(names)), names, fontsize=8)
        axis.axvline(table["ndcg@10"].iloc[0], color="black", lw=1, ls=":")
        looks = dict(lw=1.5), dict(ls="", marker="o", ms=6), dict(ls="", marker="o", ms=10)
        colours = COLOURS[0], COLOURS[0], COLOURS[1]
        lines[kind] = axis, [axis.plot([], [], color=c, animated=True, **look)[0] for c, look in zip(colours, looks)]

    def draw(chosen):
        for (kind, (axis, (bars, points, mark))), other in zip(lines.items(), ("items", "sequence")):
            own = table[table[other] == chosen[other]].reset_index(drop=True)
            value, error = own["ndcg@10"], STANDARD_ERRORS * own["standard_error"]
            spans = [(v - e, v + e, np.nan) for v, e in zip(value, error)]
            bars.set_data(np.ravel(spans), np.repeat(own.index, 3))
            points.set_data(value, own.index)
            mark.set_data(value[own[kind] == chosen[kind]], own.index[own[kind] == chosen[kind]])
            axis.set_title(f"over {chosen[other]}" if kind == "sequence" else chosen[other], fontsize=9, loc="left")

    return figure, draw
