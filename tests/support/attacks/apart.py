"""A function in a forked child process: what it printed, how it ended, and a kill at one of its file events."""

import contextlib
import importlib
import os
import pkgutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

EVENTS = {
    "open",
    "os.rename",
    "os.remove",
    "os.mkdir",
    "os.rmdir",
    "os.chmod",
    "os.truncate",
    "os.link",
    "shutil.rmtree",
}
EVENTS |= {"shutil.copyfile", "os.scandir", "os.listdir", "fcntl.flock"}


class Ended(NamedTuple):
    """How a child ended: exit code (minus the signal that ended it), what it printed, how many file events it had."""

    code: int
    text: str
    events: int


def apart(work: Callable[[], object], folder: Path, seconds: float = 60, kill_at: int = 0) -> Ended:
    """Run ``work`` in ``folder``; ``kill_at``: kill the child at this file event below the folder, counted from 1."""
    told, count = folder.with_name(f"{folder.name}.told"), folder.with_name(f"{folder.name}.count")
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            os.chdir(folder)
            out = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(out, 1)
            os.dup2(out, 2)
            sys.stdout, sys.stderr = (os.fdopen(os.dup(n), "w", buffering=1, errors="replace") for n in (1, 2))
            seen = _count(folder, kill_at)
            signal.setitimer(signal.ITIMER_REAL, seconds)  # nobody handles it: it ends the child
            code = _code(work)
            count.write_text(str(seen[0]))
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    events = int(count.read_text()) if code >= 0 and count.exists() else 0
    text = told.read_text(errors="replace")
    for file in (told, count):
        file.unlink(missing_ok=True)
    return Ended(code, text, events)


def _code(work):
    try:
        work()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1 if end.code else 0
    except BaseException:
        import traceback

        traceback.print_exc()
        return 1
    return 0


def _count(folder, kill_at):
    seen, root = [0], os.fspath(folder)

    def event(name, args):
        path = os.fspath(args[0]) if args and isinstance(args[0], (str, bytes, os.PathLike)) else b""
        path = os.fsdecode(path)
        if name in EVENTS and (path.startswith(root) or not path.startswith("/")):
            seen[0] += 1
            if seen[0] == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(event)
    return seen


def preload() -> None:
    """Import all that the library may, once, so that a child does not."""
    import mmm4rec_lite

    for found in pkgutil.walk_packages(mmm4rec_lite.__path__, "mmm4rec_lite."):
        with contextlib.suppress(Exception):
            importlib.import_module(found.name)
    for name in ("rich.markup", "rich.panel", "rich.table", "rich.traceback", "typer.rich_utils", "lightning_fabric"):
        with contextlib.suppress(Exception):
            importlib.import_module(name)


def wait_a_moment() -> None:
    """So that a folder may be swept again."""
    time.sleep(0.01)
