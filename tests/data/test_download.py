"""The downloader against a server on 127.0.0.1 that fails in every usual way."""

import io
import json
import os
import socket
import threading
import time
from collections import Counter, defaultdict
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from mmm4rec_lite import InputError
from mmm4rec_lite.data import Dataset, load_dataset
from mmm4rec_lite.data.download import REPORT, download, fetch_images, read_urls, save_with_urls
from mmm4rec_lite.data.pictures import PIXELS
from mmm4rec_lite.study.cli.commands import app

QUICK = {"progress": False, "pause": 0.01, "timeout": 0.5, "slowest": 0.8, "attempts": 3, "largest": 100_000}
PATIENT = QUICK | {"timeout": 30.0, "slowest": 60.0}  # where nothing is slow but, perhaps, this machine


def picture(format="JPEG", size=(60, 40)):
    content = io.BytesIO()
    Image.radial_gradient("L").resize(size).convert("RGB").save(content, format)
    return content.getvalue()


JPEG = picture()


class Faults(BaseHTTPRequestHandler):
    """``/<kind>/<anything>``; ``server.asked`` counts the requests by path, ``server.ended`` tells slow ones to end."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked[self.path] += 1
        self.server.times[self.path].append(time.monotonic())
        kind, nth = self.path.split("/")[1], self.server.asked[self.path]
        if kind.isdigit():
            self.answer(b"no", int(kind))
        elif kind == "recovers":
            self.answer(*((b"", 500) if nth < 3 else (JPEG,)))
        elif kind == "wait":
            self.answer(*((b"", 429, {"Retry-After": "1"}) if nth == 1 else (JPEG,)))
        elif kind == "silent":
            self.server.ended.wait(3)
        elif kind == "drip":
            self.head(len(JPEG))
            for byte in JPEG:
                if self.server.ended.wait(0.05):
                    break
                self.wfile.write(bytes([byte]))
        elif kind in ("cut", "cut-once"):
            if kind == "cut-once" and nth > 1:
                return self.answer(JPEG)
            self.head(len(JPEG))
            self.wfile.write(JPEG[:300])
            self.close_connection = True
        elif kind == "half":  # cut before it was served: the length is right, the picture is not
            self.answer(JPEG[: len(JPEG) // 2])
        elif kind == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            os.close(self.connection.detach())
            self.close_connection = True
        elif kind == "html":
            self.answer(b"<html>Are you a robot?</html>", type="text/html")
        elif kind == "svg":
            self.answer(b"<svg xmlns='http://www.w3.org/2000/svg'/>")
        elif kind == "empty":
            self.answer(b"")
        elif kind == "huge":
            self.answer(JPEG + b"\0" * 200_000)
        elif kind == "endless":  # no length told
            self.send_response(200)
            self.end_headers()
            self.close_connection = True
            while not self.server.ended.is_set():
                self.wfile.write(b"\0" * 10_000)
        elif kind == "bomb":
            self.answer(self.server.bomb)
        elif kind == "moved":
            self.answer(b"", 302, {"Location": "/jpeg/moved"})
        elif kind == "loop":
            self.answer(b"", 302, {"Location": self.path})
        else:
            self.answer(picture(kind.upper()))

    def answer(self, body, status=200, headers=None, type="image/jpeg"):
        self.head(len(body), status, {"Content-Type": type, **(headers or {})})
        self.wfile.write(body)

    def head(self, length, status=200, headers=None):
        self.send_response(status)
        for name, value in {"Content-Length": str(length), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # of connections not yet accepted; the 5 by default drop some of 16 workers'

    def handle_error(self, *_):
        pass  # clients leave


@pytest.fixture(scope="module")
def server():
    with Server(("127.0.0.1", 0), Faults) as server:
        server.asked, server.times, server.ended = Counter(), defaultdict(list), threading.Event()
        server.bomb = _bomb()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.ended.set()
        server.shutdown()


@pytest.fixture
def urls(server):
    """A function (kinds) -> frame [item, url] with a path of its own for every item."""
    server.asked.clear()
    server.times.clear()

    def make(*kinds):
        base = f"http://127.0.0.1:{server.server_port}"
        return pd.DataFrame({"item": kinds, "url": [f"{base}/{kind}/{n}" for n, kind in enumerate(kinds)]})

    return make


def _bomb():
    content = io.BytesIO()
    Image.new("1", (PIXELS // 5000 + 1, 5000)).save(content, "PNG")
    return content.getvalue()


@pytest.mark.slow
def test_every_usual_fault(urls, server, tmp_path):
    wanted = {  # kind -> status, tries
        "jpeg": ("ok", 1),
        "png": ("ok", 1),
        "gif": ("ok", 1),
        "webp": ("ok", 1),
        "moved": ("ok", 1),
        "recovers": ("ok", 3),
        "wait": ("ok", 2),
        "cut-once": ("ok", 2),
        "404": ("gone", 1),
        "410": ("gone", 1),
        "403": ("refused", 1),
        "401": ("refused", 1),
        "500": ("busy", 3),
        "503": ("busy", 3),
        "429": ("busy", 3),
        "silent": ("timeout", 3),
        "drip": ("timeout", 3),
        "cut": ("connection", 3),
        "reset": ("connection", 3),
        "loop": ("connection", 3),
        "half": ("bad", 1),
        "html": ("bad", 1),
        "svg": ("bad", 1),
        "empty": ("bad", 1),
        "bomb": ("bad", 1),
        "bmp": ("bad", 1),
        "huge": ("large", 1),
        "endless": ("large", 1),
    }
    report = download(urls(*wanted), tmp_path, **QUICK)
    found = {item: (status, tries) for item, status, tries in zip(report["item"], report["status"], report["tries"])}
    assert found == wanted
    files = dict(report.dropna(subset="file")[["item", "file"]].to_numpy())
    assert files["png"] == "images/png.png" and files["moved"] == "images/moved.jpg"
    assert {str(path.relative_to(tmp_path)) for path in (tmp_path / "images").iterdir()} == set(files.values())
    assert (tmp_path / "images/cut-once.jpg").read_bytes() == JPEG
    first, second = next(times for path, times in server.times.items() if path.startswith("/wait/"))
    assert second - first >= 1  # what Retry-After asked for: never less, whatever the machine does

    server.asked.clear()  # a second call: only what may pass
    again = download(urls(*wanted), tmp_path, **{**QUICK, "attempts": 1})
    passing = {kind for kind, (status, _) in wanted.items() if status in ("busy", "timeout", "connection")}
    assert {path.split("/")[1] for path in server.asked} == passing
    assert dict(zip(again["item"], again["status"])) == {kind: status for kind, (status, _) in wanted.items()}


def test_what_is_settled_is_asked_again_only_if_told(urls, server, tmp_path):
    table = urls("jpeg", "404", "html")
    download(table, tmp_path, **PATIENT)
    download(table, tmp_path, **PATIENT)
    assert sum(server.asked.values()) == 3
    download(table, tmp_path, again=True, **PATIENT)
    assert [server.asked[path] for path in sorted(server.asked)] == [2, 2, 1]  # 404, html, jpeg
    (tmp_path / "images/jpeg.jpg").unlink()
    assert download(table, tmp_path, **PATIENT)["status"].tolist() == ["ok", "gone", "bad"]
    assert (tmp_path / "images/jpeg.jpg").exists()
    moved = table.assign(url=table["url"].str.replace("404", "png"))  # another address is another question
    assert download(moved, tmp_path, **PATIENT)["status"].tolist() == ["ok", "ok", "bad"]


def test_a_kill_loses_nothing(urls, server, tmp_path):
    table = urls(*(f"jpeg{n}" for n in range(8))).assign(
        url=lambda frame: frame["url"].str.replace(r"jpeg\d", "jpeg", regex=True)
    )
    download(table[:4], tmp_path, **PATIENT)
    log = tmp_path / REPORT
    log.write_bytes(log.read_bytes()[:-20] + b"\xff")  # the kill came while the last line was written
    report = download(table, tmp_path, **PATIENT)
    assert report["status"].eq("ok").all() and report["item"].tolist() == table["item"].tolist()
    assert sorted(server.asked.values()) == [1] * 7 + [2]
    download(table, tmp_path, **PATIENT)
    assert sum(server.asked.values()) == 9


def test_an_interrupt_keeps_what_is_done_and_starts_no_more(urls, server, tmp_path, monkeypatch):
    def impatient(done, *_, **__):
        yield next(iter(done))
        raise KeyboardInterrupt

    monkeypatch.setattr("mmm4rec_lite.data.download.tqdm", impatient)
    table = urls(*["jpeg"] * 200).assign(item=[f"i{n}" for n in range(200)])
    with pytest.raises(KeyboardInterrupt):
        download(table, tmp_path, workers=2, **QUICK)
    assert len((tmp_path / REPORT).read_text().splitlines()) == 1 and len(server.asked) < 200


def test_addresses_that_are_none(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}/x"
        odd = ["file:///etc/passwd", "", "http://", "http://[::1", "ftp://h/x", closed]
        report = download(pd.DataFrame({"item": [f"i{n}" for n in range(6)], "url": odd}), tmp_path, **QUICK)
    assert report["status"].tolist() == ["refused"] * 5 + ["connection"]


def test_names_of_files_for_any_item(urls, tmp_path):
    items = ["../../up", "a/b", "line\nbreak", "..", "ü" * 200, "B0"]
    report = download(urls(*["jpeg"] * 6).assign(item=items), tmp_path / "in", **QUICK)
    assert report["status"].eq("ok").all()
    assert len(list((tmp_path / "in/images").iterdir())) == 6
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.fixture
def folder(urls, tmp_path):
    """A dataset folder with four items, three with a URL: one is there, one is gone, one stays silent."""
    table = urls("jpeg", "404", "silent")
    rows = pd.DataFrame({"user": "u", "item": [*table["item"], "none"], "timestamp": range(4)})
    items = pd.DataFrame({"item": rows["item"], "title": "t", "text": "t", "image": None, "domain": "d"})
    save_with_urls(Dataset.from_frames("set", rows, items), table, tmp_path / "set")
    return tmp_path / "set"


def test_a_dataset_folder_gets_its_pictures(folder, tmp_path):
    before = (folder / "interactions.parquet").read_bytes()
    report = fetch_images(folder, **{**QUICK, "attempts": 1})
    assert report["status"].tolist() == ["ok", "gone", "timeout"]
    assert load_dataset(folder).items["image"].tolist() == ["images/jpeg.jpg", None, None, None]
    assert (folder / "interactions.parquet").read_bytes() == before
    first = (folder / "items.parquet").read_bytes()
    fetch_images(folder, **{**QUICK, "attempts": 1})
    assert (folder / "items.parquet").read_bytes() == first
    load_dataset(folder).save(tmp_path / "copy")
    assert (tmp_path / "copy/images/jpeg.jpg").read_bytes() == JPEG


@pytest.mark.slow
def test_the_command_counts_what_came_of_it(folder, monkeypatch):
    import mmm4rec_lite.data.download as module

    quick = dict(attempts=1, pause=0.01, timeout=0.5, slowest=1.0, largest=100_000)
    monkeypatch.setattr(module, "download", partial(module.download, **quick))
    result = CliRunner().invoke(app, ["data", "images", str(folder), "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.output)
    assert {row["status"]: row["items"] for row in told["rows"]} == {"ok": 1, "gone": 1, "timeout": 1}
    assert told["report"].endswith(REPORT)
    assert CliRunner().invoke(app, ["data", "check", str(folder)]).exit_code == 0


@pytest.mark.slow
def test_the_command_says_what_came_and_what_it_asks_for_again(folder, monkeypatch):
    import mmm4rec_lite.data.download as module

    quick = dict(attempts=1, pause=0.01, timeout=0.5, slowest=1.0, largest=100_000)
    monkeypatch.setattr(module, "download", partial(module.download, **quick))
    result = CliRunner().invoke(app, ["data", "images", str(folder)])
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == (
        f"1 of 3 pictures are here, another call asks again for 1; the report on each: {folder / REPORT}"
    )
    again = CliRunner().invoke(app, ["data", "images", str(folder)])  # asks for the silent one alone
    assert isinstance(again.exception, InputError) and "none of 1 requests got an answer" in str(again.exception)
    assert load_dataset(folder).items["image"].tolist() == ["images/jpeg.jpg", None, None, None]
    table = read_urls(folder)
    table[table["item"] != "silent"].to_parquet(folder / "image_urls.parquet")
    assert CliRunner().invoke(app, ["data", "images", str(folder)]).exit_code == 0  # nothing to ask is no fault


def test_a_folder_without_urls(folder):
    (folder / "image_urls.parquet").unlink()
    with pytest.raises(InputError, match="no image_urls.parquet"):
        fetch_images(folder)
    pd.DataFrame({"item": ["a"]}).to_parquet(folder / "image_urls.parquet")
    with pytest.raises(InputError, match="expected the columns item and url"):
        read_urls(folder)


def test_a_dataset_takes_nothing_over_from_items_that_it_lacks(folder, toy):
    fetch_images(folder, **{**QUICK, "attempts": 1})
    save_with_urls(toy, read_urls(folder), folder)
    assert load_dataset(folder).items["image"].notna().sum() == toy.items["image"].notna().sum()
