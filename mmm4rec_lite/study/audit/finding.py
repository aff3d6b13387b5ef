"""What an audit says: a claim, the evidence for or against it, and a verdict that follows from the evidence."""

from dataclasses import dataclass, field

import pandas as pd

from mmm4rec_lite.study.protocol.verdict import INKS
from mmm4rec_lite.viz.tables import text_table


@dataclass(frozen=True, eq=False)
class Finding:
    """One claim, weighed.

    claim: what the paper says or implies, with its place. evidence: one paragraph with the numbers. verdict: one of
    ``verdict.VERDICTS``, "-" where nothing was claimed. kind: "measured" or "published". table: the numbers in full.
    data: what they were measured on, with seeds and device. options: of the command line that measures it so.
    """

    name: str
    claim: str
    evidence: str
    verdict: str
    kind: str
    table: pd.DataFrame | None = field(repr=False)
    data: str = ""
    options: str = ""

    @property
    def rerun(self):
        """The command that makes this finding anew."""
        return f"mmm4rec-lite audit --only {self.name}{self.options}"


def summary(findings):
    """One line per finding: claim, evidence, verdict, kind, data, and how to re-run it."""
    columns = ("name", "claim", "evidence", "verdict", "kind", "data", "rerun")
    return pd.DataFrame([{column: getattr(f, column) for column in columns} for f in findings])


def short(findings):
    """The claims and verdicts alone, as a Markdown table."""
    lines = ["| claim | verdict | finding |", "| --- | --- | --- |"]
    return "\n".join([*lines, *(f"| {f.claim} | {f.verdict} | `{f.name}` |" for f in findings if f.verdict != "-")])


def page(findings):
    """The findings as a table to read: wrapped text, the verdict coloured. A pandas Styler."""
    table = summary(findings)
    table["data"] = (table["data"] + "\n\n" + table["rerun"]).str.strip()
    table = table[["name", "claim", "evidence", "verdict", "data"]].set_axis(
        ["finding", "claim", "evidence", "verdict", "measured on, and again by"], axis=1
    )
    return text_table(table, "verdict", INKS, ["evidence"])
