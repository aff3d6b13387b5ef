"""Where things are kept, and how a file or folder is written: whole or not at all, by one process at a time.

What is being written has a hidden name with its machine and process: what a dead process left is known as such.
"""

import ctypes
import errno
import os
import platform
import re
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import platformdirs

from mmm4rec_lite.utils.errors import InputError, refuse

try:
    import fcntl
except ImportError:  # Windows
    import msvcrt

    fcntl: Any = None  # type: ignore[no-redef]

HOST, LOCK = re.sub(r"\W", "_", platform.node()), ".mmm4rec-lock"
LEFT = re.compile(rf"\.(?P<name>.+)\.{HOST}-(?P<pid>\d+)-[0-9a-f]{{8}}(?P<old>\.old)?(\.\w+)?")
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
REFUSED = (*FULL, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EEXIST)
_held: set[tuple[Path, int, int]] = set()  # locks, and the process and thread that took each
_sweeps: dict[tuple[int, Path], float] = {}  # process and folder -> when it may be looked through again


def cache_dir(*parts: str) -> Path:
    """The user's cache folder (or ``$MMM4REC_CACHE``) with ``parts`` below it, made if absent."""
    return _made(Path(os.environ.get("MMM4REC_CACHE") or platformdirs.user_cache_dir("mmm4rec_lite"), *parts))


def workspace(*parts: str) -> Path:
    """A folder for results: ``parts`` below the nearest folder upwards that has ``notebooks/`` in it, or here."""
    here = Path.cwd()
    root = next((folder for folder in (here, *here.parents) if (folder / "notebooks").is_dir()), here)
    return _made(Path(root, *parts))


@contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Yield a hidden temporary path beside ``path``: it takes ``path``'s place on success, and goes on failure."""
    path = Path(path)
    refuse(path.exists() and not path.is_file(), f"{path}: a folder or no ordinary file; give the path of a file")
    with writing(path, REFUSED):
        temporary = _hidden(path)
        temporary.touch(exist_ok=False)
        mode = temporary.stat().st_mode  # an ordinary file's, which safetensors narrows
    try:
        with writing(path):
            yield temporary
            temporary.chmod(mode)
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def scratch(beside: Path | None = None) -> Iterator[Path]:
    """A hidden folder for a while, in the cache or ``beside`` a path; where this process is killed, the next call
    removes it."""
    beside = beside or cache_dir("work") / "work"
    with writing(beside, REFUSED):
        folder = _hidden(beside)
        folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def atomic_folder(folder: Path | str) -> Iterator[Path]:
    """Yield a hidden new folder, which takes ``folder``'s place on success: old or new is there at every moment.

    Where the system cannot exchange names, a kill in between leaves neither; ``sweep`` then puts the old one back.
    """
    folder = Path(os.path.realpath(folder))  # `Path.resolve` raises where links make a loop
    with scratch(folder) as new, writing(folder):
        yield new
        old = new.with_name(f"{new.name}.old")
        if not folder.exists():
            new.rename(folder)
        elif not _exchange(new, folder):
            folder.rename(old)
            try:
                new.rename(folder)
            except OSError:
                old.rename(folder)
                raise
            old.rename(new)


@contextmanager
def writing(path: Path | str, codes: tuple[int, ...] = FULL) -> Iterator[None]:
    """One line for a disk that is full or takes nothing, in whatever way the libraries say it."""
    try:
        yield
    except Exception as error:
        found = re.search(r"[Ee]rrno (\d+)|os error (\d+)", str(error))
        code = getattr(error, "errno", None) or (found and int(found[1] or found[2]))
        if isinstance(error, InputError) or code not in codes:
            raise
        advice = "free some space, and the same call goes on" if code in FULL else "choose another place"
        told = f"cannot be written ({os.strerror(code)}); what was there is unchanged"
        raise InputError(f"{path}: {told}; {advice}") from None


def sweep(folder: Path | str) -> None:
    """Remove what processes of this machine that ended left in a folder; what one took away is put back.

    Not again before a hundred times as long has passed as it took: a folder of many files is seldom looked through.
    """
    folder, began = Path(folder), time.monotonic()
    if began < _sweeps.get((os.getpid(), folder), 0):
        return
    with suppress(OSError):
        for name in [entry.name for entry in os.scandir(folder) if entry.name.startswith(".")]:
            path, left = folder / name, LEFT.fullmatch(name)
            if name.endswith(LOCK):
                with suppress(OSError), open(path, "r+") as file:
                    _take(file.fileno())
                    path.unlink()
            elif left and not _alive(int(left["pid"])):
                if left["old"] and not (home := folder / left["name"]).exists():
                    path.rename(home)
                elif path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
    _sweeps[os.getpid(), folder] = time.monotonic() + 100 * (time.monotonic() - began)


@contextmanager
def lock(path: Path | str, what: str, note: str = "") -> Iterator[None]:
    """Only one process at a time is in here for ``path``; this one may come in again.

    ``what`` it does there, for the message to others. They wait, told so on standard error; with ``note``, what is
    being made there, only those with the same one, and for another there is an InputError.
    """
    path = Path(path).absolute()
    file = path.with_name(f".{path.name}{LOCK}")
    own = (file, os.getpid(), threading.get_ident())
    if own in _held:
        yield
        return
    new, handle = not file.parent.exists(), _locked(file, path, what, note)
    _held.add(own)
    try:
        yield
    finally:
        _held.remove(own)
        with suppress(OSError):
            file.unlink(missing_ok=True)  # while it is held: who waits for it looks again; Windows keeps open files
        with suppress(OSError):
            _take(handle, free=True)  # for children that were forked in here, too
        os.close(handle)
        if new:
            with suppress(OSError):  # something is in it now
                file.parent.rmdir()


def inside(folder: Path | str, *parts: str) -> Path:
    """A file of a folder; InputError where a link leads out of it."""
    path = Path(folder, *parts)
    out = not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))
    refuse(out, f"{path}: a link out of its folder, which is not followed; put the file itself there")
    return path


def _made(folder):
    with writing(folder, REFUSED):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def _hidden(path):
    """A name beside ``path`` for what takes its place, after what the dead left there is swept."""
    sweep(_made(path.parent))
    return path.with_name(f".{path.name}.{HOST}-{os.getpid()}-{uuid4().hex[:8]}{path.suffix}")


def _alive(pid):
    try:
        return os.name != "posix" or os.kill(pid, 0) is None  # elsewhere asking with a signal would end it
    except OSError as error:
        return not isinstance(error, ProcessLookupError)


def _exchange(new, folder):
    """Exchange the names of two folders in one step; False where the system cannot."""
    call = getattr(ctypes.CDLL(None), "renameat2", None) if sys.platform == "linux" else None
    return call is not None and call(-100, os.fsencode(new), -100, os.fsencode(folder), 2) == 0


def _take(handle, free=False):
    """Lock an open file, or let it go; OSError where another has it."""
    if fcntl is not None:
        return fcntl.flock(handle, fcntl.LOCK_UN if free else fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.lseek(handle, 2**30, os.SEEK_SET)  # a byte behind the note, which others are to read
    try:
        msvcrt.locking(handle, msvcrt.LK_UNLCK if free else msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    finally:
        os.lseek(handle, 0, os.SEEK_SET)


def _locked(file, path, what, note):
    """The handle of a lock file, once it is ours."""
    told = False
    while True:
        with writing(path, REFUSED):
            _made(file.parent)
            handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _take(handle)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle), os.stat(file)):  # nobody has removed it in between
                    with suppress(OSError):  # a full disk: locked all the same, what is to be written there tells it
                        os.ftruncate(handle, 0)
                        os.write(handle, f"{os.getpid()} {note}".encode())
                    return handle
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                os.close(handle)
                return os.open(os.devnull, os.O_RDONLY)  # a file system without locks
            pid, _, other = os.read(handle, 200).decode(errors="replace").partition(" ")
            if note and other and other != note:
                os.close(handle)
                raise InputError(f"{path}: process {pid} is {what} here; wait for it, or choose another") from None
            if not told:
                print(f"{path}: process {pid} is {what} here; waiting for it", file=sys.stderr)
            told = True
            time.sleep(0.1)
        os.close(handle)
