"""All commands of the program ``mmm4rec-lite``: the library's, and those of the study on top."""

from pathlib import Path

from mmm4rec_lite.cli import app
from mmm4rec_lite.cli.common import Posters
from mmm4rec_lite.study.cli.audit import audit_command
from mmm4rec_lite.study.cli.experiments import experiment_app, figures_command, report_command, reproduce_command

app.add_typer(experiment_app, name="experiment")
app.command("audit")(audit_command)
app.command("reproduce")(reproduce_command)
app.command("report")(report_command)
app.command("figures")(figures_command)


@app.command("tour")
def tour_command(posters: Posters = None) -> None:
    """Everything once, on MovieLens-100K: data, features, both stages, evaluation, notebooks, site."""
    from mmm4rec_lite.study.tour import tour

    tour(posters)


@app.command("site")
def site_command() -> None:
    """The site from stored outputs and results, the page of claims among it; computes nothing, half a minute."""
    from mmm4rec_lite.study.tour import stored_site

    print(stored_site())


@app.command("slides")
def slides_command(notebook: Path = Path("notebooks/teaching/lecture.ipynb"), out: Path = Path("slides.html")) -> None:
    """A notebook's slides as one HTML file, for any browser, without network (`nbconvert` makes the pages)."""
    from mmm4rec_lite.study.site import slides

    slides(notebook, out)
    print(out)


@app.command("notebooks")
def notebooks_command(paths: list[Path]) -> None:
    """Execute notebooks in place, outputs included (for those who change them)."""
    from mmm4rec_lite.study.site import execute, write

    for path in paths:
        write(execute(path), path)


@app.command("drawings")
def drawings_command(out: Path = Path("docs/drawings")) -> None:
    """Write the series' drawings as SVG files."""
    from mmm4rec_lite.study.drawings import write_drawings

    print(*write_drawings(out), sep="\n")
