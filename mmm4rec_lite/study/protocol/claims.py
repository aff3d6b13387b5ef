"""Each claim of the paper, weighed by what was measured here: ``verdicts`` gives a tidy frame, a line per claim.

It reads frames alone: ``runs`` (``gathered.lines`` of each experiment, one under the other) and ``pairs``
(``gathered.compared``), so the verdicts can be had again from csv files, without training.

The rule. A claim is a list of cases (two systems on one dataset), each claiming the sign of a difference:

* A case goes *as claimed* or *against* the claim when the difference lies at least two standard errors on that side;
  otherwise, and always with one seed, it *cannot be told*.
* The standard error of NDCG@10 has a part over users and a part over seeds: ``pairs`` has it of the same users.
  Without them the users' part is an upper bound from the means, m(1 - m) / users for each system (a gain lies in
  [0, 1]): a small difference is then more often "cannot be told", never less. Epochs, seconds and shares have seeds
  alone.
* "Best of all": as claimed on a dataset when every rival is beaten, against when one rival is better.
* "Competes", "keeps 97 %": as claimed when the loss is told to be smaller than a stated margin, against when it is told
  to be larger: the margin is added to the difference before it is held against its error.
* reproduced: every case as claimed. partly: some. not reproduced: none, and at least one against. not testable here:
  no case was measured, or none can be told. A claim over systems that are not all measured, or on data that differ in
  more than what it is about, is at most "partly".
"""

from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from mmm4rec_lite import published
from mmm4rec_lite.study.protocol.experiments import COLUMNS, FULL, VARIANTS
from mmm4rec_lite.study.protocol.results import TITLES, cut, tidy
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.viz.tables import text_table

REPRODUCED, PARTLY, NOT, UNTESTABLE = "reproduced", "partly", "not reproduced", "not testable here"
AS, AGAINST, UNSURE = "as claimed", "against", "cannot be told"
ERRORS = 2  # standard errors from which on a difference counts
COMPETES, KEEPS = 0.10, 0.05  # margins, as shares of what it is compared with
BEST = TITLES[FULL]

Case = namedtuple("Case", "where outcome text difference seeds")


def _case(where, what, difference, error, seeds, margin=0.0, form="{:+.4f} +- {:.4f}"):
    beyond = difference + margin
    told = seeds > 1 and beyond != 0 and abs(beyond) >= ERRORS * error
    outcome = UNSURE if not told else AS if beyond > 0 else AGAINST
    how = form.format(difference, error) if seeds > 1 else form.split(" +-")[0].format(difference) + ", one seed"
    return Case(where, outcome, f"{where}: {what}, {how} ({outcome})", difference, seeds)


def _both(runs, experiment, form, against):
    """(where, the seeds' lines of one, of the other) wherever both were run."""
    rows = runs[runs["experiment"] == experiment]
    for where, group in rows.groupby("where", sort=False):
        one, other = (
            group[group["label"] == label].drop_duplicates("seed").set_index("seed") for label in (form, against)
        )
        seeds = one.index.intersection(other.index)
        if len(seeds):
            yield where, one.loc[seeds], other.loc[seeds]


def _quality(runs, pairs, experiment, form, against, margin=0.0):
    """``form`` is claimed to have a higher NDCG@10 than ``against``, or to lose less than a share ``margin`` of it."""
    cases = []
    for where, one, other in _both(runs, experiment, form, against):
        difference, error, bound = _measured(pairs, experiment, one, other, form, against)
        a, b = (part["ndcg@10"].mean() for part in (one, other))
        cases.append(
            _case(
                where,
                f"{form} {a:.4f}, {against} {b:.4f} ({a / b if b else float('nan'):.0%})",
                difference,
                error,
                len(one),
                margin * b,
                "{:+.4f} +- {:.4f}" + bound,
            )
        )
    return cases


def _measured(pairs, experiment, one, other, form, against):
    """Difference, its standard error, and a note where the users' part is only a bound."""
    first = one.iloc[0]
    for sign, a, b in ((1, form, against), (-1, against, form)):
        row = pairs
        for column, value in {
            "experiment": experiment,
            "form": a,
            "against": b,
            "seeds": len(one),
            **{key: first[key] for key in ("dataset", "setting", "scale") if key in first},
        }.items():
            row = row[row[column] == value] if len(row) else row
        if len(row):
            return sign * row["difference"].iloc[0], row["standard_error"].iloc[0], ""
    change = one["ndcg@10"] - other["ndcg@10"]
    users = sum(part["ndcg@10"].mean() * (1 - part["ndcg@10"].mean()) / first["n_test_rows"] for part in (one, other))
    return change.mean(), (users + change.var() / len(change)) ** 0.5, " at most"


def _cost(runs, pairs, column, form, against):
    """``form`` is claimed to need less of ``column`` than ``against``; over seeds."""
    cases = []
    for where, one, other in _both(runs.reindex(columns=list({*runs, column})), "table4", form, against):
        saved = other[column] - one[column]
        means = f"{form} {one[column].mean():.3g}, {against} {other[column].mean():.3g}"
        if saved.isna().any():
            continue
        case = _case(where, means, saved.mean(), saved.sem(), len(one), form="less by {:.3g} +- {:.2g} over seeds")
        if column == "best_epoch" and (cut(one).any() or cut(other).any()):
            text = f"{where}: {means}, but training was cut before its patience ran out ({UNSURE})"
            case = Case(where, UNSURE, text, case.difference, case.seeds)
        cases.append(case)
    return cases


def _best(runs, pairs, experiment, form, rivals):
    """``form`` is claimed to be better than every rival: one case per dataset."""
    found = [(case, rival) for rival in rivals for case in _quality(runs, pairs, experiment, form, rival)]
    cases = []
    for where in dict.fromkeys(case.where for case, _ in found):
        here = [(case, rival) for case, rival in found if case.where == where]
        count = {outcome: sum(case.outcome == outcome for case, _ in here) for outcome in (AS, AGAINST, UNSURE)}
        whole = AGAINST if count[AGAINST] else AS if count[AS] == len(here) else UNSURE
        near = min(here, key=lambda pair: pair[0].difference)[0]
        text = (
            f"{where}: better than {count[AS]} of {len(here)} rivals, worse than {count[AGAINST]}, not told apart "
            f"from {count[UNSURE]} ({whole}); against the strongest, {near.text.partition(': ')[2]}"
        )
        cases.append(Case(where, whole, text, near.difference, near.seeds))
    return cases


def _dearer(runs, pairs, rival):
    """The rival's seconds per step over MMM4Rec's are claimed to grow with the catalogue: largest against smallest."""
    runs = runs.reindex(columns=list({*runs, "items", "seconds_per_step"}))
    sizes = [
        (one["items"].iloc[0], where, other["seconds_per_step"] / one["seconds_per_step"])
        for where, one, other in _both(runs, "table4", BEST, rival)
    ]
    sizes = sorted((size for size in sizes if pd.notna(size[0])), key=lambda size: size[0])
    if len(sizes) < 2 or sizes[0][0] == sizes[-1][0]:
        return []
    (few, _, low), (many, where, high) = sizes[0], sizes[-1]
    error = (low.sem() ** 2 + high.sem() ** 2) ** 0.5
    return [
        _case(
            where,
            f"{rival} takes {high.mean():.2f} times MMM4Rec's seconds per step at {many:.0f} items, "
            f"{low.mean():.2f} times at {few:.0f}",
            high.mean() - low.mean(),
            error,
            min(len(low), len(high)),
            form="{:+.2f} +- {:.2f} over seeds",
        )
    ]


def _lead(runs, pairs, rivals):
    """MMM4Rec's lead over the strongest rival, as a share of it, is claimed larger where every item has a picture."""
    cases = []
    for where, group in runs[runs["experiment"] == "comparison"].groupby("where", sort=False):
        name = group["dataset"].iloc[0]
        pictured = runs["where"] == where.replace(name, f"{name}-pictured", 1)
        leads = [_leads(part, rivals) for part in (group, runs[pictured & (runs["experiment"] == "table6")])]
        change = (leads[1] - leads[0]).dropna()
        if len(change):
            cases.append(
                _case(
                    where,
                    f"lead over the strongest rival {leads[0].mean():+.1%}, with pictures throughout "
                    f"{leads[1].mean():+.1%}",
                    change.mean(),
                    change.sem(),
                    len(change),
                    form="{:+.3f} +- {:.3f} over seeds",
                )
            )
    return cases


def _leads(rows, rivals):
    """By seed: MMM4Rec's NDCG@10 over that of the rival that is best in the mean, minus 1."""
    table = rows.pivot_table(index="seed", columns="label", values="ndcg@10")
    known = [name for name in rivals if name in table]
    if not known or "MMM4Rec" not in table:
        return pd.Series(dtype=float)
    return table["MMM4Rec"] / table[table[known].mean().idxmax()] - 1


def _robust(runs, pairs, form, against):
    """``form`` is claimed to keep a larger share of its NDCG@10 than ``against`` when all pictures are taken away."""
    cases = []
    rows = runs[(runs["experiment"] == "missing-modality")] if "missing" in runs else runs.iloc[:0]
    for where, group in rows.groupby("where", sort=False):
        table = group.pivot_table(index=["label", "seed"], columns="missing", values="ndcg@10")
        kept = (table.iloc[:, -1] / table.iloc[:, 0]).unstack("label")
        if {form, against} <= set(kept):
            change = (kept[form] - kept[against]).dropna()
            cases.append(
                _case(
                    where,
                    f"{form} keeps {kept[form].mean():.0%}, {against} {kept[against].mean():.0%}",
                    change.mean(),
                    change.sem(),
                    len(change),
                    form="{:+.3f} +- {:.3f} over seeds",
                )
            )
    return cases


def _many(weigh, *sets):
    return lambda runs, pairs: [case for args in sets for case in weigh(runs, pairs, *args)]


def _small(runs, pairs):
    """Two layers are claimed to lose on data smaller than Office, where the paper has them win."""
    office = published.paper(1, dataset="office", column="users")["value"].iloc[0]
    return _quality(runs[runs["n_test_rows"] < office], pairs, "table5", "MMM4Rec", "2L")


@dataclass(frozen=True)
class Claim:
    """text, in own words; place in the paper; weigh(runs, pairs) -> cases; needs: titles of the systems it is about,
    or ``table``, all that this table of the paper has; data: datasets it is about; but: why measured cases are not
    the whole claim, which is then at most "partly"."""

    text: str
    place: str
    weigh: Callable = lambda runs, pairs: []
    needs: tuple = ()
    table: int | None = None
    data: tuple = ()
    pretraining: bool = False
    but: str = ""


def _rivals(table):
    return [TITLES[name] for name in COLUMNS[table] if not name.startswith("mmm4rec")]


def _against(form, labels, experiment):
    return [(experiment, form, label) for label in labels]


DEAR = ("MMSRec", "MISSRec + ID")
CLAIMS = (
    Claim(
        "SASRec with the latest 5 items kept has 97 % of what it has with 20 (here: loses less than 5 %)",
        "section 2, Figure 2",
        _many(_quality, ("figure2", "SASRec, 5 kept", "SASRec, 20 kept", KEEPS)),
    ),
    Claim("MMM4Rec with ids ranks best of all", "Table 2", _many(_best, ("comparison", BEST, _rivals(2))), table=2),
    Claim(
        "MMM4Rec without ids ranks best of those without",
        "Table 3",
        _many(_best, ("comparison", "MMM4Rec", _rivals(3))),
        table=3,
    ),
    Claim(
        "Text in place of ids competes with ids (here: loses less than 10 %)",
        "section 4.2, Tables 2 and 3",
        _many(_quality, *(("comparison", f"{name}_T", name, COMPETES) for name in ("SASRec", "Mamba4Rec", "TiM4Rec"))),
    ),
    Claim(
        "Mamba-based systems outperform Transformer-based ones in general",
        "section 4.2, Tables 2 and 3",
        _many(
            _quality,
            *(
                ("comparison", f"{name}{form}", f"SASRec{form}")
                for name in ("Mamba4Rec", "TiM4Rec")
                for form in ("", "_T")
            ),
        ),
    ),
    Claim(
        "MMM4Rec needs the fewest epochs",
        "section 4.3, Table 4, Figures 4 to 8",
        _many(_cost, *(("best_epoch", BEST, name) for name in DEAR)),
    ),
    Claim(
        "MMM4Rec needs the fewest seconds per epoch (here: per step of as many rows)",
        "section 4.3, Table 4",
        _many(_cost, *(("seconds_per_step", BEST, name) for name in DEAR)),
    ),
    Claim(
        "MMSRec and MISSRec grow dearer than MMM4Rec as the catalogue grows",
        "appendix B",
        _many(_dearer, *((name,) for name in DEAR)),
        but="the data sets differ in more than the catalogue, such as histories and kinds of pictures",
    ),
    *(
        Claim(
            f"Ablation: {what} loses", "section 4.4, Table 5", _many(_quality, *_against("MMM4Rec", [what], "table5"))
        )
        for what in ("w/o PT", *(name for name in VARIANTS if name.startswith("w/o")))
    ),
    Claim("A second layer loses on small data", "section 4.4, Table 5", _small),
    Claim("A second layer gains on the larger Office", "section 4.4, Table 5", data=("office",)),
    Claim(
        "Where every item has a picture, MMM4Rec without ids ranks best",
        "appendix C, Table 6",
        _many(_best, ("table6", "MMM4Rec", _rivals(6))),
        table=6,
    ),
    Claim(
        "MMM4Rec's lead without ids is larger where every item has a picture",
        "section 4.2, appendix C, Table 6",
        _many(_lead, (_rivals(6),)),
        table=6,
    ),
    Claim(
        "Without pictures MMM4Rec keeps more of its quality than other multi-modal systems",
        "section 5",
        _many(_robust, *(("MMM4Rec", name) for name in ("MMSRec", "MISSRec"))),
    ),
    Claim(
        "UniSRec and VQRec, pre-trained, outperform FDSA, S3-Rec and ZESRec",
        "section 4.2",
        needs=("UniSRec", "VQRec", "FDSA", "S3-Rec", "ZESRec"),
        pretraining=True,
    ),
    Claim(
        "M3Rec, HM4SR and ATHWE lag behind transferable systems",
        "section 4.2",
        needs=("M3Rec", "HM4SR", "ATHWE", "MISSRec"),
        pretraining=True,
    ),
    Claim("MISSRec without ids falls behind VQRec, MMM4Rec does not", "section 4.2", needs=("VQRec", "MISSRec")),
    Claim("The same holds on Pantry, Arts and Office", "Tables 2 to 5", data=("pantry", "arts", "office")),
    Claim(
        "Pre-training on Food, CDs, Kindle, Movies and Home is what makes transfer effective",
        "sections 4.1, 4.2",
        data=("food", "cds", "kindle", "movies", "home"),
        pretraining=True,
    ),
)


def weighed(cases, complete=True):
    """The verdict on a list of cases, by the rule above."""
    outcomes = {case.outcome for case in cases}
    if outcomes <= {UNSURE}:
        return UNTESTABLE
    if outcomes == {AS}:
        return REPRODUCED if complete else PARTLY
    return PARTLY if AS in outcomes else NOT


def verdicts(runs, pairs=None, claims=CLAIMS):
    """claim, place, verdict, numbers, why; a line per claim of the paper."""
    runs, pairs = tidy(runs), pd.DataFrame() if pairs is None else pairs
    if len(pairs):
        pairs = pairs.assign(**{side: pairs[side].replace(TITLES) for side in ("form", "against")})
    out = []
    for claim in claims:
        cases = claim.weigh(runs, pairs)
        lacking = "; ".join(filter(None, [_lacking(claim, runs), claim.but if cases else ""]))
        verdict = weighed(cases, complete=not lacking)
        seeds = sorted({case.seeds for case in cases})
        numbers = "; ".join(case.text for case in cases)
        if numbers:
            stages = _stages(runs[runs["where"].isin([case.where for case in cases])])
            numbers += f"; {' or '.join(map(str, seeds))} seed(s), {stages}"
        why = lacking
        if verdict == UNTESTABLE and cases:
            why = "; ".join(filter(None, [lacking, "no difference can be told, see the numbers"]))
        elif verdict == UNTESTABLE:
            why = lacking or "no such runs among these"
        out.append({"claim": claim.text, "place": claim.place, "verdict": verdict, "numbers": numbers, "why": why})
    return pd.DataFrame(out)


def about(runs, pairs, *places):
    """The lines of ``verdicts`` whose place in the paper contains one of ``places`` ("Table 5"), as a table to read.

    A Styler with the columns claim, verdict, numbers (a line per case) and why; its frame is ``.data``.
    """
    table = verdicts(runs, pairs)
    own = table[[any(place in full for place in places) for full in table["place"]]]
    if own.empty:
        raise InputError(
            f"verdicts: no claim's place contains {' or '.join(map(repr, places)) or 'nothing'}; there are: "
            f"{'; '.join(table['place'].unique())}"
        )
    own = own.reset_index(drop=True)[["claim", "verdict", "numbers", "why"]]
    own["numbers"] = own["numbers"].str.replace("; ", "\n")
    inks = {REPRODUCED: "#1b7837", PARTLY: "#8a5a00", NOT: "#b2182b", UNTESTABLE: "#555555"}
    return text_table(own, "verdict", inks, ["claim", "numbers"], "18em")


def _lacking(claim, runs):
    """Of the systems, datasets and stages that a claim is about, those without runs; "" where none lacks."""
    have, known = set(runs["system"].map(TITLES)), set(TITLES.values())
    needs = claim.needs
    if claim.table:
        named = published.paper(claim.table)["column"].unique()
        built = {title: TITLES[name] for name, title in COLUMNS[claim.table].items()}
        needs = [built.get(name, name) for name in named if name != "improvement %"]
    parts = []
    if unbuilt := [name for name in needs if name not in known]:
        parts.append(f"not built here: {', '.join(unbuilt)}")
    if unrun := [name for name in needs if name in known - have]:
        parts.append(f"no runs of {', '.join(unrun)}")
    if unseen := [name for name in claim.data if name not in set(runs["dataset"])]:
        parts.append(f"no runs on {', '.join(unseen)}")
    if claim.pretraining and "finetune" not in set(runs.get("stage", ())):
        parts.append("no run was pre-trained")
    return "; ".join(parts)


def _stages(runs):
    names = {"scratch": "from scratch", "finetune": "pre-trained"}
    return " and ".join(names.get(stage, stage) for stage in runs.get("stage", pd.Series(dtype=str)).dropna().unique())
