"""Findings on the paper's tables: its own arithmetic, the authors' logs, and where other columns come from."""

import pandas as pd

from mmm4rec_lite import published
from mmm4rec_lite.study.audit.finding import Finding
from mmm4rec_lite.study.protocol.verdict import CONTRADICTED, SUPPORTED, graded

SHOWN = 1e-4  # tables print four decimals, some cut instead of rounded


def cells_and_logs():
    """Tables 2 and 3 and Table 4's seconds beside the authors' own logs."""
    ours = published.paper(column="MMM4Rec")
    scores = ours[ours["table"].isin([2, 3])].assign(with_id=lambda f: f["table"] == 2)
    logs = published.log_tests()
    logged = logs.melt(["dataset", "with_id"], list(published.METRICS), "row", "logged")
    table = scores.merge(logged, on=["dataset", "with_id", "row"])
    seconds = ours[(ours["table"] == 4) & (ours["row"] == "seconds_per_epoch")].assign(with_id=True)
    mean = logs.rename(columns={"mean_train_seconds": "logged"})[["dataset", "with_id", "logged"]]
    other = mean.rename(columns={"logged": "without_id"}).assign(with_id=~mean["with_id"])
    seconds = seconds.merge(mean, on=["dataset", "with_id"]).merge(other, on=["dataset", "with_id"])
    table["agrees"] = (table["value"] - table["logged"]).abs() < 1.01 * SHOWN
    seconds["agrees"] = (seconds["value"] / seconds["logged"] - 1).abs() < 0.05
    odd_cells, odd_seconds = table[~table["agrees"]], seconds[~seconds["agrees"]]
    cells = "; ".join(
        f"{r.dataset} {'with' if r.with_id else 'without'} ID, {r.row}: {r.value:.4f} printed, {r.logged:.4f} logged"
        for r in odd_cells.itertuples()
    )
    times = "; ".join(
        f"{r.dataset} {r.value:.2f} s per epoch printed, {r.logged:.2f} logged with ID, {r.without_id:.2f} without"
        for r in odd_seconds.itertuples()
    )
    columns = ["table", "dataset", "with_id", "row", "value", "logged", "without_id", "agrees"]
    return Finding(
        "cells-and-logs",
        "Tables 2 to 4 report what the published runs gave",
        f"{table['agrees'].sum()} of {len(table)} test metrics equal the logs to the printed digits, rounded or cut, "
        f"and {seconds['agrees'].sum()} of {len(seconds)} epoch times are within 5 % of the logs' mean. Not: {cells}; "
        f"{times}",
        graded(table["agrees"].sum() + seconds["agrees"].sum(), len(table) + len(seconds)),
        "published",
        pd.concat([table, seconds], ignore_index=True).reindex(columns=columns),
    )


def arithmetic():
    """Table 1 against itself: totals, average lengths, and Office's users in the log."""
    counts = published.paper(1).pivot(index="dataset", columns="column", values="value")
    sources = counts.drop("sources").drop(list(published.TARGETS))
    total = sources[["users", "items", "images", "interactions"]].sum()
    adds_up = (total == counts.loc["sources", total.index]).all()
    counts["recomputed length"] = counts["interactions"] / counts["users"]
    users = published.log_tests(with_id=True).set_index("dataset")["users"]
    counts["users in the logs"] = users
    counts["length with these"] = counts["interactions"] / users
    wrong = counts[(counts["recomputed length"] - counts["average_length"]).abs() > 0.0101]
    lengths = "; ".join(
        f"{r.Index} {r[counts.columns.get_loc('average_length') + 1]:.2f} printed, "
        f"{r[counts.columns.get_loc('recomputed length') + 1]:.2f} by its own counts"
        for r in wrong.itertuples()
    )
    office = counts.loc["office"]
    swapped = office["users"] != office["users in the logs"]
    return Finding(
        "arithmetic",
        "Table 1's counts are consistent",
        f"The five source domains {'add up' if adds_up else 'do not add up'} to the pre-training row. Average length: "
        f"{lengths or 'all agree'}. Office users: {office['users']:,.0f} printed, {office['users in the logs']:,.0f} "
        f"in the authors' log, and only the latter gives the printed length of {office['average_length']:.2f} "
        f"({office['length with these']:.2f}, not {office['recomputed length']:.2f})",
        graded(len(counts) - len(wrong) - swapped, len(counts)),
        "published",
        counts.reset_index(),
    )


def improvements():
    """The "Improv." columns, recomputed from their own rows."""
    rows = []
    for number in (2, 3, 6):
        for (dataset, row), cells in published.paper(number).groupby(["dataset", "row"], sort=False):
            values = cells.set_index("column")["value"]
            rivals = values.drop(["MMM4Rec", "improvement %"], errors="ignore")
            rows.append(
                {
                    "table": number,
                    "dataset": dataset,
                    "row": row,
                    "best rival": rivals.idxmax(),
                    "rival": rivals.max(),
                    "MMM4Rec": values["MMM4Rec"],
                    "printed %": values.get("improvement %"),
                    "recomputed %": 100 * (values["MMM4Rec"] / rivals.max() - 1),
                }
            )
    table = pd.DataFrame(rows)
    given = table.dropna(subset="printed %")
    off = given[(given["printed %"] - given["recomputed %"]).abs() > 0.05]
    hidden = table[table["printed %"].isna()]
    lost = hidden[hidden["recomputed %"] < 0]
    worst = lost.loc[lost["recomputed %"].idxmin()]
    differing = "; ".join(
        f"Table {r.table}, {r.dataset} {r.row}: {r[7]:.2f} % printed, {r[8]:.2f} % by its own cells"
        for r in off.itertuples()
    )
    return Finding(
        "improvements",
        "MMM4Rec is best, by the printed improvements (Tables 2, 3, 6)",
        f"{len(given) - len(off)} of {len(given)} printed improvements follow from their own cells"
        f"{' (not: ' + differing + ')' if differing else ''}. In {len(lost)} of {len(table)} rows another system is "
        f"ahead (shown as a dash), at most by {-worst['recomputed %']:.1f} % ({worst['dataset']} {worst['row']}, "
        f"{worst['best rival']})",
        graded(len(table) - len(lost) - len(off), len(table)),
        "published",
        table,
    )


def epochs_to_converge():
    """Table 4's epochs beside the same count without ID, and beside MISSRec without ID."""
    printed = published.paper(4, row="epochs").pivot(index="dataset", columns="column", values="value")
    best = published.log_tests().pivot(index="dataset", columns="with_id", values="best_epoch")
    ran = published.log_tests().pivot(index="dataset", columns="with_id", values="epochs_run")
    rival = published.elsewhere(system="MISSRec", row="epochs")
    rival = rival.pivot(index="dataset", columns="with_id", values="value")
    order = list(published.TARGETS)
    table = (
        printed.rename(columns=lambda name: f"{name} (printed)")
        .assign(
            **{
                "MMM4Rec with ID, best epoch": best[True],
                "with ID, epochs run": ran[True],
                "MMM4Rec without ID, best epoch": best[False],
                "without ID, epochs run": ran[False],
                "MISSRec with ID, log": rival[True],
                "MISSRec without ID, log": rival[False],
            }
        )
        .loc[order]
    )
    ours = {True: "MMM4Rec with ID, best epoch", False: "MMM4Rec without ID, best epoch"}
    rivals = {
        ("MMSRec", True): "MMSRec (printed)",
        ("MISSRec", True): "MISSRec with ID, log",
        ("MMSRec", False): "MMSRec (printed)",
        ("MISSRec", False): "MISSRec without ID, log",
    }
    ratio = {key: table[column] / table[ours[key[1]]] for key, column in rivals.items()}
    ahead = {key: int((values > 1).sum()) for key, values in ratio.items()}
    large = pd.concat([ratio["MMSRec", True], ratio["MISSRec", True]]).loc[["arts", "office"]]
    means_best = (table["MMM4Rec (printed)"] == table[ours[True]]).all()
    capped = table.index[table["without ID, epochs run"] == 100]
    return Finding(
        "epochs-to-converge",
        "MMM4Rec needs far fewer epochs, 10 times on the large domains (section 4.3, Table 4)",
        f"Table 4's epochs {'are' if means_best else 'are not all'} the best epoch of the runs with ID, found by "
        f"running on. With ID it is ahead of MMSRec on {ahead['MMSRec', True]} and of MISSRec on "
        f"{ahead['MISSRec', True]} of 5 domains, on Arts and Office {large.min():.0f} to {large.max():.0f} times. "
        f"Without ID it needs {', '.join(str(int(v)) for v in table[ours[False]])} epochs "
        f"(cap of 100 reached: {', '.join(capped)}): ahead of MISSRec's runs without "
        f"ID on {ahead['MISSRec', False]} of 5, of MMSRec, which has no ID at all, on "
        f"{ahead['MMSRec', False]} of 5",
        graded(sum(ahead.values()), 20),
        "published",
        table.reset_index(),
    )


def quoted_columns():
    """Cells of Tables 2 and 3 that equal another paper's own numbers, digit for digit."""
    cells = published.paper()
    cells = cells[cells["table"].isin([2, 3]) & ~cells["column"].isin(["MMM4Rec", "improvement %"])]
    cells = cells.assign(with_id=cells["table"] == 2)
    theirs = published.elsewhere().rename(columns={"system": "column", "value": "there", "source": "where"})
    both = cells.merge(theirs, on=["column", "dataset", "row", "with_id"], how="left")
    both["quoted"] = (both["value"] - both["there"]).abs() < 1e-9
    table = both.groupby(["table", "column"], sort=False).agg(
        cells=("value", "size"), compared=("there", "count"), equal=("quoted", "sum"), where=("where", "first")
    )
    known = table[table["compared"] > 0]
    return Finding(
        "quoted-columns",
        "Baselines were run at their reported settings, adjusted for fair comparison (section 4.1.4)",
        "; ".join(
            f"{r.Index[1]} (Table {r.Index[0]}): {r.equal} of {r.compared} cells equal its authors' README"
            for r in known.itertuples()
        )
        + f". Columns that agree in every digit were quoted, not run. The other {len(table) - len(known)} columns were "
        "not compared: their first publications were not at hand",
        CONTRADICTED if (known["equal"] == known["compared"]).any() else SUPPORTED,
        "published",
        table.reset_index(),
    )
