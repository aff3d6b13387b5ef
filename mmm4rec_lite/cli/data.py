"""Commands on data: datasets and their features."""

import json
import sys
import warnings
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

import mmm4rec_lite as m4r
from mmm4rec_lite.cli.common import Dataset, Devices, Json, Nodes, Out, Posters, Seed, show
from mmm4rec_lite.utils.errors import InputError, printable, refuse
from mmm4rec_lite.utils.names import names

Ties = Annotated[str, typer.Option(help="Order inside one second: line or shuffle.")]
TEXT = "What the text is made of: also description, features, main_category."
AMAZON = "The paper's domains (Scientific, Food...), or categories as Amazon's files name them (Gift_Cards)."
VECTORS = "Vectors: npz, parquet or csv with item ids; or npy, its rows in the order of the dataset's items.parquet."
data_app = typer.Typer(no_args_is_help=True, help="Get, check and describe dataset folders.")


@data_app.command("movielens")
def data_movielens(
    out: Out, posters: Posters = None, ties: Ties = "line", seed: Seed = 0, as_json: Json = False
) -> None:
    """Fetch MovieLens-100K (5-core, genre groups as domains) into a dataset folder."""
    m4r.movielens_100k(posters, ties, seed).save(out)
    data_table([out], as_json)


@data_app.command("amazon")
def data_amazon(
    categories: Annotated[list[str], typer.Argument(metavar="NAME...", help=AMAZON)],
    raw: Annotated[Path, typer.Option(help="Folder of the published files, or of folders NAME with them.")],
    out: Out,
    fields: Annotated[str, typer.Option(help=TEXT)] = "title,categories,brand",
    images: Annotated[bool, typer.Option("--images", help="Fetch the pictures, too (as `data images`).")] = False,
    union: Annotated[str, typer.Option(help="Also all NAMEs in one dataset of this name, users kept apart.")] = "",
    as_json: Json = False,
) -> None:
    """Amazon Reviews 2018 or 2023 (5-core) into OUT, or OUT/NAME for several, with the paper's Table 1 beside."""
    from mmm4rec_lite.data.amazon import amazon, differences, domain, table_1, union_domains
    from mmm4rec_lite.data.download import fetch_images, read_urls, save_with_urls

    folders = {name: out / name if union or len(categories) > 1 else out for name in map(domain, categories)}
    refuse(union in folders, f"--union {union}: a domain of it has this name; take another")
    chosen = tuple(names(fields))
    for name, folder in folders.items():
        save_with_urls(*amazon(name, raw, chosen, progress=not as_json), folder)
        if images:
            fetch_images(folder, progress=not as_json)
    datasets = [m4r.load_dataset(folder) for folder in folders.values()]
    if union:
        parts = [(dataset, read_urls(folder)) for dataset, folder in zip(datasets, folders.values())]
        save_with_urls(*union_domains(parts, union), out / union)
        datasets.append(m4r.load_dataset(out / union))
    words = [sentence for dataset in datasets for sentence in differences(dataset)]
    show(table_1(datasets), as_json, notes=words, info={dataset.name: dataset.info for dataset in datasets})
    if not as_json:
        print("", *words, sep="\n")


@data_app.command("images")
def data_images(
    folder: Path,
    again: Annotated[bool, typer.Option("--again", help="Ask again for what was found gone or bad.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="Requests at once.")] = 16,
    as_json: Json = False,
) -> None:
    """Fetch the pictures that a dataset folder has URLs for; what is there or known to be gone is not asked again."""
    from mmm4rec_lite.data.download import PASSING, REPORT, fetch_images

    report = fetch_images(folder, again, workers, progress=not as_json)
    asked = report[report["asked"] & (report["tries"] > 0)]
    if len(asked) and asked["status"].isin(["connection", "timeout"]).all():
        told = f"none of {len(asked)} requests got an answer, the network could not be reached"
        raise InputError(f"{folder}: {told}; repeat the call when it can, nothing is lost")
    counts = report["status"].value_counts().rename_axis("status").reset_index(name="items")
    show(counts, as_json, report=str(folder / REPORT))
    if not as_json:
        came, later = report["status"].eq("ok").sum(), report["status"].isin(PASSING).sum()
        told = f"{came} of {len(report)} pictures are here, another call asks again for {later}"
        print(f"\n{told}; the report on each: {folder / REPORT}")


@data_app.command("import")
def data_import(
    interactions: Annotated[Path, typer.Argument(help="csv, jsonl, parquet..., or a folder: users, items, times.")],
    items: Annotated[Path, typer.Argument(help="The same for items: ids, titles, texts, domains, images.")],
    out: Out,
    images: Annotated[Path | None, typer.Option(help="Pictures: <item id>.jpg, .png...; or see --image.")] = None,
    k: Annotated[int, typer.Option(min=1, help="The k-core; 1 keeps everybody.")] = 5,
    user: Annotated[str | None, typer.Option(help="Column of users. (Usual names of all columns are known.)")] = None,
    item: Annotated[str | None, typer.Option(help="Column of items' ids, of either table or both.")] = None,
    items_id: Annotated[str | None, typer.Option(help="Column of ids in the items' table, if not --item.")] = None,
    time: Annotated[str | None, typer.Option(help="Column of times; DATE,CLOCK where they are apart.")] = None,
    time_format: Annotated[
        str | None, typer.Option(help="s, ms, us, ns, days, excel, iso or '%d/%m/%Y %H:%M'.")
    ] = None,
    years: Annotated[str | None, typer.Option(help="FROM-TO, of times; 1990 to next year by default.")] = None,
    order: Annotated[str | None, typer.Option(help="No times: a column with the order, or `file`: the lines'.")] = None,
    title: Annotated[str | None, typer.Option(help="Column of titles.")] = None,
    text: Annotated[str | None, typer.Option(help="Columns of the text, with commas between.")] = None,
    domain: Annotated[str | None, typer.Option(help="Column of domains; one domain without it.")] = None,
    category: Annotated[str | None, typer.Option(help="Column of categories, with | , ; or > between.")] = None,
    image: Annotated[str | None, typer.Option(help="Column of paths below --images, or beside the items.")] = None,
    rating: Annotated[str | None, typer.Option(help="Column of ratings, for --min-rating.")] = None,
    min_rating: Annotated[float | None, typer.Option(help="Drop interactions with a lower rating.")] = None,
    encoding: Annotated[str | None, typer.Option(help="Of text that is not UTF-8: latin-1, cp1252...")] = None,
    quotes: Annotated[str | None, typer.Option(help="none: belong to the text; csv: hold a value together.")] = None,
    missing: Annotated[str, typer.Option(help="Words that stand for nothing, commas between: NULL,NA.")] = "",
    need_text: Annotated[bool, typer.Option("--need-text", help="Leave out items without text.")] = False,
    as_json: Json = False,
) -> None:
    """Your own tables as a dataset folder, with a report of what was dropped and why."""
    from mmm4rec_lite.data.tabular import report

    refuse(quotes not in (None, "none", "csv"), f"--quotes {quotes} is not known; take none or csv")
    columns: dict[str, Any] = dict(user=user, item=item, time=time, order=order, title=title, text=text, domain=domain)
    columns |= dict(category=category, image=image, items_id=items_id, rating=rating)
    form: dict[str, Any] = dict(
        time_format=time_format, years=years, min_rating=min_rating, encoding=encoding, missing=names(missing)
    )
    form |= dict(need_text=need_text, quotes=None if quotes is None else quotes == "csv")
    with warnings.catch_warnings(action="ignore"):  # the report has them
        dataset = m4r.import_tables(interactions, items, images, out.absolute().name, k, **columns, **form)
    dataset.save(out)
    if warning := dataset.info["import"]["interactions"]["notes"].get("warning"):
        print(f"warning: {printable(warning)}", file=sys.stderr)
    if not as_json:
        print(printable("\n".join(report(dataset))), end="\n\n")
    show(m4r.data.dataset_statistics([dataset]), as_json, **{"import": dataset.info["import"]})


@data_app.command("union")
def data_union(
    folders: Annotated[list[Path], typer.Argument(help="Dataset folders; their names must differ.")],
    out: Out,
    k: Annotated[int, typer.Option(min=1, help="First the k-core of each; 1 takes all.")] = 1,
    share: Annotated[float, typer.Option(help="Of the users of each, drawn by --seed.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the draw of users.")] = 0,
    as_json: Json = False,
) -> None:
    """Dataset folders as one, with their domains, users kept apart; an item id that two have becomes NAME/ID."""
    from mmm4rec_lite.data.dataset import distinct_ids, k_core, some_users

    parts = [m4r.load_dataset(folder) for folder in folders]
    parts = [k_core(part, k) if k > 1 else part for part in parts]
    parts = [some_users(part, share, seed) if share != 1 else part for part in parts]
    m4r.data.union(distinct_ids(parts), out.absolute().name).save(out)
    data_table([out], as_json)


class _StoreCommand(TyperCommand):
    """Its help alone needs the store's parameters, and with them torch."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from mmm4rec_lite.data.synthetic import StoreConfig

        known = ", ".join(f"{one.name}={one.default}" for one in fields(StoreConfig))
        told = f"Such as users=1000 gap_effect=0. All, as they are by default: {known}"
        listed: Any = next(parameter for parameter in self.params if parameter.name == "parameters")
        listed.help = f"{told}; `StoreConfig` in data/synthetic.py explains them."
        super().format_help(ctx, formatter)


@data_app.command("store", cls=_StoreCommand)
def data_store(
    out: Out,
    parameters: Annotated[list[str] | None, typer.Argument(metavar="[NAME=VALUE]...")] = None,
    domain: Annotated[str, typer.Option(help="Some of its ten domains, commas between; all by default.")] = "",
    seed: Annotated[int | None, typer.Option(help="Of the whole store; 0 by default.")] = None,
    as_json: Json = False,
) -> None:
    """Make the demo store, a small shop whose truth is known, with drawn pictures, as a dataset folder."""
    from mmm4rec_lite.data.synthetic import DOMAINS, read_parameters, save_store

    words = list(parameters or [])
    twice = seed is not None and any(word.startswith("seed=") for word in words)
    refuse(twice, "store: both --seed and the parameter seed=; give one of them")
    words += [] if seed is None else [f"seed={seed}"]
    save_store(out, read_parameters(words), names(domain) or DOMAINS)
    data_table([out], as_json)


@data_app.command("check", help="Check dataset folders and describe them.")
@data_app.command("table")
def data_table(folders: list[Path], as_json: Json = False) -> None:
    """Statistics of dataset folders and of their domains, as in the paper's Table 1."""
    datasets = []
    for dataset in map(m4r.load_dataset, folders):
        datasets.append(dataset)
        for domain in dataset.domains if len(dataset.domains) > 1 else ():
            try:
                datasets.append(dataset.select(domain))
            except InputError as error:  # a domain without a 5-core of its own is told and left out
                print(f"note: {error}", file=sys.stderr)
    show(m4r.data.dataset_statistics(datasets), as_json)


def features_command(
    data: Dataset,
    out: Out,
    encoder: Annotated[str, typer.Option(help="packaged, siglip (the paper's), random, or an open_clip folder.")],
    missing: Annotated[str, typer.Option(help="Items without a picture: zeros or white.")] = "zeros",
    bad_images: Annotated[str, typer.Option(help="Pictures that cannot be read: missing or error.")] = "missing",
    batch_size: Annotated[int, typer.Option(min=1, help="Texts or pictures encoded at once.")] = 32,
    augment: Annotated[bool, typer.Option("--augmented-text", help="Of texts that lost 15 % of their words.")] = False,
    devices: Devices = 1,
    nodes: Nodes = 1,
    as_json: Json = False,
) -> None:
    """Extract item features with a frozen encoder; goes on where an interrupted call stopped."""
    from mmm4rec_lite.utils.devices import fabric

    dataset, processes = m4r.load_dataset(data), fabric(devices, nodes)
    dataset = m4r.data.augmented_text(dataset) if augment else dataset
    frozen = m4r.load_encoder(encoder, processes.device)
    features = m4r.extract(dataset, frozen, out, missing, batch_size, bad_images=bad_images, fabric=processes)
    if processes.global_rank == 0:
        about = {"path": str(out), "items": len(features.items), "bad_images": features.bad_images}
        print(json.dumps({**about, **features.encoder}) if as_json else features)


def features_table_command(
    table: Annotated[Path, typer.Argument(help=VECTORS)],
    data: Dataset,
    out: Out,
    name: Annotated[str, typer.Option(help="Of the modality, such as audio.")],
    item: Annotated[str | None, typer.Option(help="Column of item ids.")] = None,
    source: Annotated[str | None, typer.Option(help="What made the vectors; the file's name by default.")] = None,
    codes: Annotated[str | None, typer.Option(help="Make the vectors from this column of codes, <A_1> <B_7>.")] = None,
    replace: Annotated[Path | None, typer.Option(help="A feature file: its image or text (--name) to replace.")] = None,
    as_json: Json = False,
) -> None:
    """A feature table from a file of vectors: a further modality, or in the place of image or text features."""
    import pandas as pd

    from mmm4rec_lite.data.columns import find_column
    from mmm4rec_lite.data.reading import as_text, read_any

    ids = m4r.load_dataset(data).items["item"]
    if codes is None:
        made = m4r.features.read_table(table, name, item, ids, source)
    else:
        frame = read_any(table, named=True)
        key, column = find_column(frame, "item", item, table.name), find_column(frame, "codes", codes, table.name)
        source = source or f"{table.name}, {codes}"
        made = m4r.features.codes_table(as_text(frame[key]), as_text(frame[column]), name, source)
    made.align(ids)
    (made if replace is None else m4r.features.with_table(m4r.load_features(replace), name, made)).save(out)
    show(pd.DataFrame([made.coverage(ids)]), as_json, path=str(out))
