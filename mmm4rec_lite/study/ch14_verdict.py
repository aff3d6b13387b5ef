"""Chapter 14: does MMM4Rec deserve its name? What the runs that were trained to their end say."""

import pandas as pd

from mmm4rec_lite.significance import detectable, significant
from mmm4rec_lite.study.protocol.evidence import Evidence
from mmm4rec_lite.study.protocol.experiments import BASELINES, FULL
from mmm4rec_lite.study.protocol.results import Form, display_name, stopped_early, tidy

OURS = "mmm4rec", FULL
USUAL = Form("sasrec")  # what it is compared with besides the strongest


def finished(runs: pd.DataFrame, experiment: str = "comparison") -> pd.DataFrame:
    """The runs of an experiment on those data where MMM4Rec took part and all of them ended by their patience."""
    own = tidy(runs[runs["experiment"] == experiment])
    trained = own[own["seed"].notna()]
    cut = trained.loc[stopped_early(trained), "dataset"]
    there = trained.loc[trained["system"].isin(OURS), "dataset"]
    return own[own["dataset"].isin(set(there) - set(cut))]


def standing(runs: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """MMM4Rec, with and without ids, against the strongest other system of ``finished`` runs, and against SASRec.

    Columns: data, name, ndcg@10, against, against_ndcg@10, difference, standard_error (over users and seeds; an upper
    bound where no users are paired), n_seeds, significant, would_have_shown (``significance.detectable``), form (for
    figures).
    """
    own, lines = finished(runs), []
    trained = own[~own["system"].isin(BASELINES)]
    for data, rows in trained.groupby("dataset", sort=False):
        forms = [Form(*pair) for pair in rows[["system", "variant"]].drop_duplicates().itertuples(index=False)]
        means = {form: rows.loc[form.rows(rows), "ndcg@10"].mean() for form in forms}
        others = [form for form in forms if form.system not in OURS]
        for form in [form for form in forms if form.system in OURS]:
            for rival in dict.fromkeys([max(others, key=means.__getitem__), USUAL]):
                for case in Evidence(rows, pairs).quality("comparison", form, rival):
                    names = display_name(*form), display_name(*rival)
                    about = data, names[0], means[form], names[1], means[rival], case.difference, case.error
                    lines.append((*about, case.seeds, f"{data}: {names[0]} against {names[1]}"))
    columns = ["data", "name", "ndcg@10", "against", "against_ndcg@10", "difference", "standard_error", "n_seeds"]
    table = pd.DataFrame(lines, columns=[*columns, "form"])
    sure = significant(table["difference"], table["standard_error"])
    return table.assign(significant=sure, would_have_shown=table["standard_error"].map(detectable))
