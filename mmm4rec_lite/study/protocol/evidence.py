"""How the cases of a claim are weighed: which runs are compared, by what error, and whether they can tell at all.

The standard error of NDCG@10 has a part over users and a part over seeds: ``pairs`` has it of the same users. Without
them the users' part is an upper bound from the means, m(1 - m) / users for each form (a gain lies in [0, 1]): a small
difference is then more often inconclusive, never less. Epochs, seconds and shares have seeds alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from mmm4rec_lite.models.registry import get_model
from mmm4rec_lite.significance import detectable, holm
from mmm4rec_lite.study.protocol.experiments import BASELINES, COLUMNS, WITHOUT_PRETRAINING
from mmm4rec_lite.study.protocol.results import PLACE, Form, display_name, stopped_early, with_columns
from mmm4rec_lite.study.protocol.verdict import CONTRADICTED, INCONCLUSIVE, NOT_TESTED, SUPPORTED, case_outcome

CUT, ONE_SEED = "training was cut before its patience ran out", "one seed"
NOT_PRETRAINED = "without the pre-training that the claim is about"
NDCG = "{:+.4f} +- {:.4f}"


class Case(NamedTuple):
    """One difference: where, in words, and what decides its outcome."""

    where: str
    what: str
    difference: float
    error: float  # its standard error
    seeds: int
    margin: float = 0.0  # added to the difference first, where the claim allows a loss
    obstacles: tuple[str, ...] = ()
    significant: bool | None = None  # together with others (``together``); None: by itself
    decided: str = ""  # the outcome, where it comes from several differences

    @property
    def measured(self) -> str:
        """The outcome if there were no obstacles."""
        if self.significant is False and self.ratio == self.ratio:
            return INCONCLUSIVE
        return case_outcome(self.difference + self.margin, self.error)

    @property
    def outcome(self) -> str:
        """In the words of ``verdict``."""
        return self.decided or (NOT_TESTED if self.obstacles else self.measured)

    @property
    def ratio(self) -> float:
        """Of the difference and its standard error."""
        return (self.difference + self.margin) / self.error if self.error else float("nan")

    @property
    def text(self) -> str:
        """All of it in words; of an inconclusive case also what it would have shown."""
        if self.decided:
            return f"{self.where}: {self.what}"
        seen = self.outcome == INCONCLUSIVE and self.error == self.error
        power = f"; {detectable(self.error):.2g} would have shown" if seen else ""
        return f"{self.where}: {self.what} ({self.outcome}{power})"


def together(cases: Sequence[Case]) -> list[Case]:
    """The cases of a claim, each significant only if it is so among them all (``significance.holm``)."""
    own = [i for i, case in enumerate(cases) if not case.decided and case.ratio == case.ratio]
    passed = dict(zip(own, holm([cases[i].ratio for i in own])))
    return [case._replace(significant=passed.get(i)) for i, case in enumerate(cases)]


@dataclass(frozen=True)
class Evidence:
    """The runs and pairs that a claim is weighed by; ``pretrained``: it is about pre-trained models."""

    runs: pd.DataFrame
    pairs: pd.DataFrame
    pretrained: bool = False

    def quality(self, experiment: str, form: Form, against: Form, margin: float = 0.0) -> list[Case]:
        """``form`` is claimed to have a higher NDCG@10 than ``against``, or to lose less than a share of it."""
        cases = []
        for where, one, other in self._both(experiment, form, against):
            *numbers, bound = self._difference(experiment, form, against, one, other)
            a, b = (part["ndcg@10"].mean() for part in (one, other))
            ratio = a / b if b else float("nan")
            what = f"{display_name(*form)} {a:.4f}, {display_name(*against)} {b:.4f} ({ratio:.0%})"
            cases.append(_case(where, what, numbers, self._obstacles(one, other), NDCG + bound, margin * b))
        return cases

    def best(self, table: int) -> list[Case]:
        """MMM4Rec is claimed to have the highest NDCG@10 of a table: one case per dataset."""
        experiment, (*rivals, form), cases = "table6" if table == 6 else "comparison", map(Form, COLUMNS[table]), []
        found = [case for rival in rivals for case in self.quality(experiment, form, rival)]
        for where in dict.fromkeys(case.where for case in found):
            here = together([case for case in found if case.where == where])
            count = {word: sum(case.measured == word for case in here) for word in (SUPPORTED, CONTRADICTED)}
            outcomes = [case.outcome for case in here]
            whole = next((word for word in (CONTRADICTED, NOT_TESTED, INCONCLUSIVE) if word in outcomes), SUPPORTED)
            nearest = min(here, key=lambda case: case.difference)
            what = (
                f"better than {count[SUPPORTED]} of {len(here)} rivals, worse than {count[CONTRADICTED]} "
                f"({whole}); against the strongest, {nearest.text.removeprefix(f'{where}: ')}"
            )
            obstacles = tuple(dict.fromkeys(reason for case in here for reason in case.obstacles))
            cases.append(nearest._replace(decided=whole, what=what, obstacles=obstacles))
        return cases

    def cost(self, column: str, form: Form, against: Form) -> list[Case]:
        """``form`` is claimed to need less of ``column`` than ``against``; over seeds."""
        cases = []
        for where, one, other in self._both("table4", form, against, column):
            a, b = one[column].mean(), other[column].mean()
            what = f"{display_name(*form)} {a:.3g}, {display_name(*against)} {b:.3g}"
            obstacles = self._obstacles(one, other) if column == "best_epoch" else ()
            numbers = _over_seeds(other[column] - one[column])
            cases.append(_case(where, what, numbers, obstacles, "less by {:.3g} +- {:.2g} over seeds"))
        return cases

    def growth(self, form: Form, rival: Form) -> list[Case]:
        """The rival's seconds per step over those of ``form`` are claimed to grow from the smallest catalogue on."""
        ratios = {}
        for where, one, other in self._both("table4", form, rival, "seconds_per_step", "n_items"):
            ratios[one["n_items"].iloc[0]] = where, other["seconds_per_step"] / one["seconds_per_step"]
        if len(ratios) < 2:
            return []
        few, many = min(ratios), max(ratios)
        (_, low), (where, high) = ratios[few], ratios[many]
        a, b, error = high.mean(), low.mean(), (low.sem() ** 2 + high.sem() ** 2) ** 0.5
        what = f"{display_name(*rival)} takes {a:.2f} times MMM4Rec's seconds per step at {many:.0f} items, "
        numbers = a - b, error, min(len(low), len(high))
        return [_case(where, f"{what}{b:.2f} times at {few:.0f}", numbers, (), "{:+.2f} +- {:.2f} over seeds")]

    def lead(self) -> list[Case]:
        """MMM4Rec's lead over the strongest rival of Table 6, as a share of it, is claimed larger with images only."""
        everything, part = (
            self.runs[(self.runs["experiment"] == experiment) & (self.runs["subset"] == subset)]
            for experiment, subset in (("comparison", "all"), ("table6", "with_images"))
        )
        cases, same = [], ["dataset", "protocol", "scale"]
        for place, group in everything.groupby(same, sort=False, dropna=False):
            other = part[(part[same] == pd.Series(place, same)).all(axis=1)]
            (whole, used), (subset, also_used) = (_lead(rows) for rows in (group, other))
            if len(change := (subset - whole).dropna()):
                a, b = whole.mean(), subset.mean()
                what = f"lead over the strongest rival {a:+.1%}, with pictures throughout {b:+.1%}"
                obstacles = self._obstacles(used, also_used)
                cases.append(_case(group["where"].iloc[0], what, _over_seeds(change), obstacles))
        return cases

    def robustness(self, form: Form, against: Form) -> list[Case]:
        """``form`` is claimed to keep a larger share of its NDCG@10 than ``against`` without any images."""
        cases, share = [], "missing_share"
        for where, *parts in self._both("missing-modality", form, against, share, keys=[share]):
            tables = [rows["ndcg@10"].unstack(share) for rows in parts]
            one, other = (table[table.columns.max()] / table[table.columns.min()] for table in tables)
            what = f"{display_name(*form)} keeps {one.mean():.0%}, {display_name(*against)} {other.mean():.0%}"
            cases.append(_case(where, what, _over_seeds((one - other).dropna()), self._obstacles(*parts)))
        return cases

    def _both(self, experiment, form, against, *columns, keys=()):
        """(where, the rows of one, of the other), by the seeds that both have, wherever both were run."""
        runs = with_columns(self.runs, *columns)
        runs = runs[runs["experiment"] == experiment].dropna(subset=list(columns))
        for where, group in runs.groupby("where", sort=False):
            one, other = (
                group[side.rows(group)].drop_duplicates(["seed", *keys]).set_index(["seed", *keys])
                for side in (form, against)
            )
            if len(both := one.index.intersection(other.index)):
                yield where, one.loc[both], other.loc[both]

    def _difference(self, experiment, form, against, one, other):
        """Difference, its standard error, seeds, and a note where the users' part is only a bound."""
        about = {"experiment": experiment, "n_seeds": len(one), **one.iloc[0][PLACE]}
        for sign, a, b in ((1, form, against), (-1, against, form)) if len(self.pairs) else ():
            same = [self.pairs[name] == value for name, value in about.items() if name in self.pairs]
            own = self.pairs[np.logical_and.reduce([*same, a.rows(self.pairs), b.rows(self.pairs, "against_")])]
            if len(own):
                return sign * own["difference"].iloc[0], own["standard_error"].iloc[0], len(one), ""
        change, means = one["ndcg@10"] - other["ndcg@10"], [part["ndcg@10"].mean() for part in (one, other)]
        users = sum(mean * (1 - mean) / one["n_test_rows"].iloc[0] for mean in means)
        return change.mean(), (users + change.var() / len(change)) ** 0.5, len(one), " at most"

    def _obstacles(self, *parts):
        """Why these runs can neither support nor contradict a claim on quality; empty where they can."""
        reasons = [
            (NOT_PRETRAINED, self.pretrained and any(_lacks_pretraining(rows).any() for rows in parts)),
            (CUT, any(stopped_early(rows).any() for rows in parts)),
        ]
        return tuple(reason for reason, holds in reasons if holds)


def _lacks_pretraining(rows):
    """Which runs were not pre-trained though their system has that stage, the ablation of it apart."""
    able = rows["system"].map(lambda name: name not in BASELINES and "pretrain" in get_model(name).stages)
    return able & (rows["variant"] != WITHOUT_PRETRAINING) & (rows["stage"] != "finetune")


def _over_seeds(values):
    return values.mean(), values.sem(), len(values)


def _case(where, what, numbers, obstacles, form="{:+.3f} +- {:.3f} over seeds", margin=0.0):
    difference, error, seeds = numbers
    told = form.format(difference, error) if seeds > 1 else form.split(" +-")[0].format(difference)
    return Case(where, f"{what}, {told}", difference, error, seeds, margin, (ONE_SEED,) * (seeds < 2) + obstacles)


def _lead(rows):
    """By seed: MMM4Rec's NDCG@10 over that of the rival of Table 6 that is best in the mean, minus 1; the runs used."""
    *rivals, own = (rows[rows["system"] == name].set_index("seed") for name in COLUMNS[6])
    known = [rival for rival in rivals if len(rival)]
    if not known or own.empty:
        return pd.Series(dtype=float), rows.iloc[:0].set_index("seed")
    strongest = max(known, key=lambda rival: rival["ndcg@10"].mean())
    return own["ndcg@10"] / strongest["ndcg@10"] - 1, pd.concat([own, strongest])
