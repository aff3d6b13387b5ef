"""What an audit says: a claim, the evidence for or against it, and a verdict that follows from the evidence."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import pandas as pd
from pandas.io.formats.style import Styler

from mmm4rec_lite.study.protocol.verdict import INKS
from mmm4rec_lite.viz.results import text_table


@dataclass(frozen=True, eq=False)
class Finding:
    """One claim, weighed."""

    name: str
    claim: str  # what the paper says or implies, with its place
    evidence: str  # one paragraph with the numbers
    verdict: str  # one of ``verdict.VERDICTS``, "-" where nothing was claimed
    kind: str  # "measured" or "published"
    table: pd.DataFrame | None = field(repr=False)  # the numbers in full
    data: str = ""  # what they were measured on, with seeds and device
    options: str = ""  # of the command line that measures it so

    @property
    def rerun(self) -> str:
        """The command that makes this finding anew."""
        return f"mmm4rec-lite audit --only {self.name}{self.options}"


def plus_minus(mean: float, standard_error: float) -> str:
    """A difference with its standard error, as evidence tells it: "+0.0012 +- 0.0004"."""
    return f"{mean:+.4f} +- {standard_error:.4f}"


def summary(findings: Iterable[Finding]) -> pd.DataFrame:
    """One line per finding: claim, evidence, verdict, kind, data, and how to re-run it."""
    columns = ("name", "claim", "evidence", "verdict", "kind", "data", "rerun")
    return pd.DataFrame([{column: getattr(f, column) for column in columns} for f in findings])


def short(findings: Iterable[Finding]) -> str:
    """The claims and verdicts alone, as a Markdown table."""
    lines = ["| claim | verdict | finding |", "| --- | --- | --- |"]
    return "\n".join([*lines, *(f"| {f.claim} | {f.verdict} | `{f.name}` |" for f in findings if f.verdict != "-")])


def page(findings: Iterable[Finding]) -> Styler:
    """The findings as a table to read: wrapped text, the verdict coloured."""
    table = summary(findings)
    again = (table["data"] + "\n\n" + table["rerun"]).str.strip()
    table = table[["name", "claim", "evidence", "verdict"]].rename(columns={"name": "finding"})
    return text_table(table.assign(**{"measured on, and again by": again}), "verdict", INKS, ["evidence"])
