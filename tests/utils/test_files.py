"""Whole files and folders, what the dead left, locks, full disks, links out of a folder."""

import errno
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmm4rec_lite.features import load_encoder
from mmm4rec_lite.kept import read_run
from mmm4rec_lite.utils import files
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.files import HOST, atomic, atomic_folder, inside, lock, scratch, sweep, writing


def dead():
    """The number of a process that has ended."""
    return (
        subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True)
        .stdout.decode()
        .strip()
    )


def elsewhere(code, *more):
    """Another process that runs ``code``, once it has printed a line."""
    found = subprocess.Popen([sys.executable, "-c", code, *map(str, more)], stdout=subprocess.PIPE, text=True)
    assert found.stdout.readline()
    return found


HOLD = """
import sys, time
from mmm4rec_lite.utils.files import lock
with lock(sys.argv[1], "training", *sys.argv[3:]):
    print("in", flush=True)
    time.sleep(float(sys.argv[2]))
"""


@pytest.fixture(autouse=True)
def no_pause():
    files._sweeps.clear()


def test_a_failed_write_leaves_the_old_file_and_nothing_beside(tmp_path):
    (tmp_path / "f").write_text("old")
    with pytest.raises(ZeroDivisionError), atomic(tmp_path / "f") as temporary:
        temporary.write_text("new")
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == ["f"] and (tmp_path / "f").read_text() == "old"


@pytest.mark.parametrize("exchange", [True, False])
def test_a_folder_is_replaced_whole(tmp_path, monkeypatch, exchange):
    if not exchange:
        monkeypatch.setattr(files, "_exchange", lambda *_: False)
    for text in ("one", "two"):
        with atomic_folder(tmp_path / "shop") as new:
            (new / "f").write_text(text)
        assert os.listdir(tmp_path) == ["shop"] and (tmp_path / "shop" / "f").read_text() == text
    with pytest.raises(ZeroDivisionError), atomic_folder(tmp_path / "shop") as new:
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == ["shop"] and (tmp_path / "shop" / "f").read_text() == "two"


def test_leftovers_of_the_dead_are_swept_and_those_of_the_living_stay(tmp_path):
    left = [f".f.{HOST}-{dead()}-0123abcd.csv", f".shop.{HOST}-{dead()}-0123abcd", f".g.{HOST}-{dead()}-0123abcd"]
    stay = [f".f.{HOST}-{os.getpid()}-0123abcd.csv", f".f.other-{dead()}-0123abcd", ".hidden", ".f.lock", "f.csv"]
    for name in (left[0], left[2], *stay):
        (tmp_path / name).touch()
    (tmp_path / left[1] / "inner").mkdir(parents=True)
    with atomic(tmp_path / "new") as temporary:
        temporary.touch()
    assert sorted(os.listdir(tmp_path)) == sorted([*stay, "new"])


def test_a_folder_that_a_dead_process_took_away_comes_back(tmp_path):
    old = tmp_path / f".shop.{HOST}-{dead()}-0123abcd.old"
    old.mkdir()
    (old / "f").touch()
    sweep(tmp_path)
    assert (tmp_path / "shop" / "f").exists() and os.listdir(tmp_path) == ["shop"]


def test_a_folder_of_many_files_is_seldom_looked_through(tmp_path):
    sweep(tmp_path)
    files._sweeps[os.getpid(), tmp_path] = time.monotonic() + 9
    (tmp_path / f".f.{HOST}-{dead()}-0123abcd").touch()
    sweep(tmp_path)
    assert len(os.listdir(tmp_path)) == 1


def test_a_killed_scratch_folder_is_removed_by_the_next(tmp_path, monkeypatch):
    monkeypatch.setenv("MMM4REC_CACHE", str(tmp_path))
    code = "import time; from mmm4rec_lite.utils.files import scratch\n"
    code += "with scratch() as folder:\n print(folder, flush=True); time.sleep(60)"
    other = elsewhere(code)
    other.kill()
    other.wait()
    assert len(os.listdir(tmp_path / "work")) == 1
    with scratch() as folder:
        assert os.listdir(tmp_path / "work") == [folder.name]
    assert os.listdir(tmp_path / "work") == []


# --- locks ---


def test_another_process_waits_and_is_told(tmp_path, capsys):
    other = elsewhere(HOLD, tmp_path / "run", 0.5, "a")
    with lock(tmp_path / "run", "training", "a"):
        other.wait(timeout=5)
        with lock(tmp_path / "run", "training", "a"):  # once more by the same process
            pass
    assert re.fullmatch(rf".*/run: process {other.pid} is training here; waiting for it\n", capsys.readouterr().err)
    assert os.listdir(tmp_path) == []


def test_another_run_is_refused_at_once(tmp_path):
    other = elsewhere(HOLD, tmp_path / "run", 60, "a")
    try:
        with pytest.raises(InputError, match=f"run: process {other.pid} is training here; wait for it, or choose"):
            with lock(tmp_path / "run", "training", "b"):
                pass
    finally:
        other.kill()
        other.wait()
    with lock(tmp_path / "run", "training", "b"):  # the lock of the dead is free
        pass
    assert os.listdir(tmp_path) == []


WINDOWS = """
import fcntl as real, os, sys, types
class msvcrt(types.ModuleType):
    LK_NBLCK, LK_UNLCK = real.LOCK_EX | real.LOCK_NB, real.LOCK_UN
    def locking(handle, way, count):
        real.lockf(handle, way, count, os.lseek(handle, 0, os.SEEK_CUR))
sys.modules |= {"fcntl": None, "msvcrt": msvcrt}
"""


@pytest.mark.parametrize("system", ["", WINDOWS])
def test_many_processes_are_never_two_inside(tmp_path, system):
    code = """
import os, sys, time
from mmm4rec_lite.utils.files import lock
print("ready", flush=True)
for _ in range(15):
    with lock(sys.argv[1] + "/x", "counting"):
        os.mkdir(sys.argv[1] + "/inside")
        time.sleep(.001)
        os.rmdir(sys.argv[1] + "/inside")
"""
    others = [elsewhere(system + code, tmp_path) for _ in range(3)]
    assert [other.wait(timeout=60) for other in others] == [0, 0, 0]
    assert os.listdir(tmp_path) == []


# --- disks and links ---


def test_a_full_disk_locks_all_the_same(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with lock(tmp_path / "run", "training", "a"):
        assert len(os.listdir(tmp_path)) == 1
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("raised", [OSError(errno.ENOSPC, "x"), RuntimeError("I/O error: no space (os error 28)")])
def test_a_full_disk_is_one_line(tmp_path, raised):
    with pytest.raises(InputError, match="f: cannot be written .No space left on device.; what was there is unchanged"):
        with writing(tmp_path / "f"):
            raise raised
    with pytest.raises(OSError), writing(tmp_path / "f"):
        raise OSError(errno.ECONNRESET, "of something else")


def test_a_place_that_takes_nothing_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file" / "f", Path("/proc/f"), tmp_path / ("f" * 300)):
        with pytest.raises((InputError, OSError)) as error, atomic(place):
            pass
        assert "\n" not in str(error.value)


@pytest.mark.skipif(os.name != "posix", reason="sizes are limited by POSIX")
def test_a_write_beyond_the_limit_keeps_the_old_tensors(tmp_path):
    code = """
import resource, signal, sys, torch
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.tensorfile import load_tensors, save_tensors
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
save_tensors(sys.argv[1], "thing", {"x": torch.ones(3)})
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    save_tensors(sys.argv[1], "thing", {"x": torch.ones(10000)})
except InputError as error:
    print(error)
print(load_tensors(sys.argv[1], "thing", "")[0]["x"].tolist())
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "t"], capture_output=True, text=True)
    told, kept = done.stdout.splitlines()
    assert "t: cannot be written (File too large)" in told and kept == "[1.0, 1.0, 1.0]"
    assert os.listdir(tmp_path) == ["t"]


def test_links_out_of_a_folder_are_refused(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "secret").touch()
    (tmp_path / "run" / "own").touch()
    (tmp_path / "run" / "out").symlink_to(tmp_path / "secret")
    (tmp_path / "link").symlink_to(tmp_path / "run")  # the folder itself may be one
    assert inside(tmp_path / "link", "own").exists()
    with pytest.raises(InputError, match="out: a link out of its folder"):
        inside(tmp_path / "link", "out")


def test_links_that_make_a_loop_are_told_in_one_line(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for make in (atomic, atomic_folder):
        with pytest.raises(InputError), make(tmp_path / "loop" / "new"):
            raise AssertionError("nothing can be written there")
    with pytest.raises(InputError, match="no such model file"):
        read_run(tmp_path / "loop")
    with pytest.raises(InputError):
        load_encoder(str(tmp_path / "loop"))


def test_a_kill_at_any_moment_of_a_replacement_leaves_old_or_new(tmp_path):
    code = """
import os, signal, sys
from mmm4rec_lite.utils.files import atomic_folder
seen, at = [0], int(sys.argv[2])
def event(name, args):
    if name.startswith("os.") or name == "open" and sys.argv[1] in str(args[0]):
        seen[0] += 1
        if seen[0] == at:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(event)
with atomic_folder(sys.argv[1] + "/shop") as new:
    (new / "f").write_text("new")
"""
    for at in range(1, 40):
        (tmp_path / "shop").mkdir(exist_ok=True)
        (tmp_path / "shop" / "f").write_text("old")
        done = subprocess.run([sys.executable, "-c", code, tmp_path, str(at)])
        files._sweeps.clear()
        sweep(tmp_path)
        assert os.listdir(tmp_path) == ["shop"] and (tmp_path / "shop" / "f").read_text() in ("old", "new")
        if done.returncode == 0:
            break
    assert done.returncode == 0 and done.returncode != -signal.SIGKILL and at > 5
