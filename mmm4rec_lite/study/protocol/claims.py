"""Each claim of the paper, weighed by what was measured here: ``claims_table`` gives a frame with a row per claim.

It reads frames alone, ``runs`` (``results.annotate_runs`` of all experiments) and ``pairs`` (``paired_differences``).
Cases are weighed in ``evidence``, verdicts given by the rule of ``verdict``. A claim over systems that are not all
measured, or on data that differ in more than what it is about, is at most partly supported.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from pandas.io.formats.style import Styler

from mmm4rec_lite import published
from mmm4rec_lite.models.registry import get_model
from mmm4rec_lite.study.protocol.evidence import Case, Evidence, together
from mmm4rec_lite.study.protocol.experiments import BASELINES, COLUMNS, FULL, VARIANTS, WITHOUT_PRETRAINING
from mmm4rec_lite.study.protocol.results import TITLES, Form, tidy
from mmm4rec_lite.study.protocol.verdict import INCONCLUSIVE, INKS, NOT_TESTED, verdict
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.viz.results import text_table

COMPETES, KEEPS = 0.10, 0.05  # margins, as shares of what it is compared with


@dataclass(frozen=True)
class Claim:
    """A claim of the paper."""

    text: str  # in own words
    place: str  # in the paper
    weigh: str = ""  # a method of ``Evidence``
    cases: Sequence[tuple] = ()  # the arguments of each of its calls
    whole: bool = False  # it is about all systems of its cases, also where some were not run
    table: int | None = None  # or: all that this table of the paper has
    data: tuple = ()  # datasets it is about
    pretrained: bool = False  # it is about pre-trained models
    but: str = ""  # why measured cases are not the whole claim
    below: str = ""  # on data with fewer test users than this dataset of the paper

    def evidence(self, runs: pd.DataFrame, pairs: pd.DataFrame) -> list[Case]:
        """The cases that were measured."""
        if self.below:
            users = published.paper(1, dataset=self.below, column="users")["value"].iloc[0]
            runs = runs[runs["n_test_rows"] < users]
        evidence = Evidence(runs, pairs, self.pretrained)
        return together([case for arguments in self.cases for case in getattr(evidence, self.weigh)(*arguments)])


WITH_ID, WITHOUT_ID = Form(FULL), Form("mmm4rec")
DEAR = Form("mmsrec"), Form("missrec+id")
TEXT = [("comparison", Form(f"{name}_t"), Form(name), COMPETES) for name in ("sasrec", "mamba4rec", "tim4rec")]
MAMBA = [("comparison", Form(a + end), Form("sasrec" + end)) for a in ("mamba4rec", "tim4rec") for end in ("", "_t")]
EPOCHS, SECONDS = ([(column, WITH_ID, rival) for rival in DEAR] for column in ("best_epoch", "seconds_per_step"))
LAYERS = [("table5", WITH_ID, Form(FULL, "2L"))]
ABLATIONS = [WITHOUT_PRETRAINING, *(name for name in VARIANTS if name.startswith("w/o"))]
TEXTS = [("comparison", Form(a), Form(b)) for a in ("unisrec", "vqrec") for b in ("fdsa", "s3rec", "zesrec")]
NEWER = [("comparison", Form("missrec"), Form(name)) for name in ("m3rec", "hm4sr", "athwe")]
CODES = [("comparison", Form("vqrec"), Form("missrec")), ("comparison", WITHOUT_ID, Form("vqrec"), KEEPS)]
ALL: dict[str, Any] = dict(whole=True, pretrained=True)
S42, T23, T4 = "section 4.2", "section 4.2, Tables 2 and 3", "section 4.3, Table 4"
T5, T6 = "section 4.4, Table 5", "appendix C, Table 6"

CLAIMS = (
    Claim(
        "SASRec with the latest 5 items kept has 97 % of what it has with 20 (here: loses less than 5 %)",
        "section 2, Figure 2",
        "quality",
        [("figure2", Form("sasrec", max_len=5), Form("sasrec", max_len=20), KEEPS)],
    ),
    Claim("MMM4Rec with ids ranks best of all", "Table 2", "best", [(2,)], table=2, pretrained=True),
    Claim("MMM4Rec without ids ranks best of those without", "Table 3", "best", [(3,)], table=3, pretrained=True),
    Claim("Text in place of ids competes with ids (here: loses less than 10 %)", T23, "quality", TEXT),
    Claim("Mamba-based systems outperform Transformer-based ones in general", T23, "quality", MAMBA),
    Claim("MMM4Rec needs the fewest epochs", f"{T4}, Figures 4 to 8", "cost", EPOCHS, **ALL),
    Claim(
        "MMM4Rec needs the fewest seconds per epoch (here: per step of as many rows)", T4, "cost", SECONDS, whole=True
    ),
    Claim(
        "MMSRec and MISSRec grow dearer than MMM4Rec as the catalogue grows",
        "appendix B",
        "growth",
        [(WITH_ID, rival) for rival in DEAR],
        but="the data sets differ in more than the catalogue, such as histories and kinds of pictures",
    ),
    *(
        Claim(f"Ablation: {name} loses", T5, "quality", [("table5", WITH_ID, Form(FULL, name))], pretrained=True)
        for name in ABLATIONS
    ),
    Claim("A second layer loses on small data", T5, "quality", LAYERS, pretrained=True, below="office"),
    Claim("A second layer gains on the larger Office", T5, data=("office",)),
    Claim(
        "Where every item has a picture, MMM4Rec without ids ranks best", T6, "best", [(6,)], table=6, pretrained=True
    ),
    Claim(
        "MMM4Rec's lead without ids is larger where every item has a picture",
        f"section 4.2, {T6}",
        "lead",
        [()],
        table=6,
        pretrained=True,
    ),
    Claim(
        "Without pictures MMM4Rec keeps more of its quality than other multi-modal systems",
        "section 5",
        "robustness",
        [(WITHOUT_ID, Form(name)) for name in ("mmsrec", "missrec")],
    ),
    Claim("UniSRec and VQRec, pre-trained, outperform FDSA, S3-Rec and ZESRec", S42, "quality", TEXTS, **ALL),
    Claim("M3Rec, HM4SR and ATHWE lag behind the transferable MISSRec", S42, "quality", NEWER, **ALL),
    Claim("MISSRec without ids falls behind VQRec, MMM4Rec does not", S42, "quality", CODES, **ALL),
    Claim("The same holds on Pantry, Arts and Office", "Tables 2 to 5", data=("pantry", "arts", "office")),
    Claim(
        "Pre-training on Food, CDs, Kindle, Movies and Home is what makes transfer effective",
        "sections 4.1, 4.2",
        data=("food", "cds", "kindle", "movies", "home"),
        pretrained=True,
    ),
)


def claims_table(runs: pd.DataFrame, pairs: pd.DataFrame | None = None) -> pd.DataFrame:
    """A row per claim of the paper: claim, place, verdict, numbers (of each case), why (what lacks)."""
    runs, pairs, out = tidy(runs), pd.DataFrame() if pairs is None else pairs, []
    for claim in CLAIMS:
        cases = claim.evidence(runs, pairs)
        lacking = "; ".join(filter(None, [_lacking(claim, runs), claim.but if cases else ""]))
        word = verdict([case.outcome for case in cases], complete=not lacking)
        numbers = ""
        if cases:
            seeds = " or ".join(str(n) for n in sorted({case.seeds for case in cases}))
            stages = _stages(runs[runs["where"].isin([case.where for case in cases])])
            numbers = f"{'; '.join(case.text for case in cases)}; {seeds} seed(s), {stages}"
        why = [*dict.fromkeys(reason for case in cases for reason in case.obstacles), *filter(None, [lacking])]
        if not why and word in (NOT_TESTED, INCONCLUSIVE):
            why = ["no difference is significant" if cases else "no such runs among these"]
        out.append((claim.text, claim.place, word, numbers, "; ".join(why)))
    return pd.DataFrame(out, columns=["claim", "place", "verdict", "numbers", "why"])


def claims_about(runs: pd.DataFrame, pairs: pd.DataFrame | None, *places: str) -> Styler:
    """The claims whose place in the paper contains one of ``places`` ("Table 5"), as a table to read."""
    table = claims_table(runs, pairs)
    own = table[[any(place in full for place in places) for full in table["place"]]]
    if own.empty:
        wanted, known = " or ".join(map(repr, places)) or "nothing", "; ".join(table["place"].unique())
        raise InputError(f"claims: no claim's place contains {wanted}; there are: {known}")
    own = own.reset_index(drop=True)[["claim", "verdict", "numbers", "why"]]
    own["numbers"] = own["numbers"].str.replace("; ", "\n")
    return text_table(own, "verdict", INKS, ["claim", "numbers"], "18em")


def _lacking(claim, runs):
    """Of the systems, datasets and stages that a claim is about, those without runs; "" where none lacks."""
    have, known = set(runs["system"].map(TITLES)), set(TITLES.values())
    forms = [form for case in claim.cases if claim.whole for form in case if isinstance(form, Form)]
    needs = [*dict.fromkeys(get_model(form.system).title for form in forms)]
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
    if claim.pretrained and "finetune" not in set(_elsewhere(runs)["stage"]):
        parts.append("no run was pre-trained")
    return "; ".join(parts)


def _stages(runs):
    names = {"scratch": "from scratch", "finetune": "pre-trained"}
    return " and ".join(names.get(stage, stage) for stage in _elsewhere(runs)["stage"].dropna().unique())


def _elsewhere(runs):
    """Without the systems whose first stage is on the data themselves (S3-Rec), which transfer nothing."""
    own = [name for name in runs["system"].unique() if name not in BASELINES and get_model(name).own_domain]
    return runs[~runs["system"].isin(own)]
