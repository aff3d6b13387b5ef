"""The command `audit`."""

import json
import textwrap
from pathlib import Path
from typing import Annotated

import typer

from mmm4rec_lite.cli.common import Domains, Json, load_task
from mmm4rec_lite.utils.errors import refuse
from mmm4rec_lite.utils.names import names


def audit_command(
    only: Annotated[str, typer.Option(help="Names of findings, separated by commas; all by default.")] = "",
    data: Annotated[Path | None, typer.Option(help="A dataset folder with times; MovieLens-100K by default.")] = None,
    features: Annotated[Path | None, typer.Option(help="Its feature file.")] = None,
    domain: Domains = "",
    scale: Annotated[str, typer.Option(help="quick (about a minute, one seed) or full.")] = "quick",
    seeds: Annotated[int | None, typer.Option(min=1, help="How many seeds, instead of the scale's.")] = None,
    out: Annotated[Path | None, typer.Option(help="Keep findings and tables in this JSON file.")] = None,
    as_json: Json = False,
) -> None:
    """Claims of the paper, evidence by running code and the authors' own logs, and a verdict on each."""
    from mmm4rec_lite.study.audit import ON_DATA, audit, bench, chosen, save, summary

    refuse((data is None) != (features is None), "audit: --data and --features go together")
    refuse(out is not None and out.is_dir(), f"{out}: a folder; --out wants a file")
    wanted, where = chosen(names(only)), None  # before data are fetched
    if set(wanted) & ON_DATA.keys():
        task = options = None
        if data is not None and features is not None:
            task, options = load_task(data, domain, features), f" --data {data.name} --features {features.name}"
        where = bench(task, scale, seeds, (options or "") + (f" --domain {domain}" if domain else ""))
    findings = audit(where, wanted, not as_json)
    if out is not None:
        save(findings, out)
    if as_json:
        print(json.dumps({"findings": summary(findings).to_dict(orient="records")}))
        return
    for f in findings:
        print(f"\n{f.name}: {f.verdict.upper()}" if f.verdict != "-" else f"\n{f.name}")
        for label, text in (("Claim", f.claim), ("Evidence", f.evidence), ("Measured on", f.data), ("Again", f.rerun)):
            if text:
                print(textwrap.fill(text, 112, initial_indent=f"  {label + ':':<13}", subsequent_indent=" " * 15))
