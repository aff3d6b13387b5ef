"""Where things are kept, and how a file is written: whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

_UMASK = os.umask(0)  # it can only be read by setting it, for all threads: so once, here
os.umask(_UMASK)


def cache_dir(*parts: str) -> Path:
    """The user's cache folder (or ``$MMM4REC_CACHE``) with ``parts`` below it, made if absent."""
    root = os.environ.get("MMM4REC_CACHE") or platformdirs.user_cache_dir("mmm4rec_lite")
    folder = Path(root).joinpath(*parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def workspace(*parts: str) -> Path:
    """A folder for results: ``parts`` below the nearest folder upwards that has ``notebooks/`` in it, or here."""
    here = Path.cwd()
    root = next((folder for folder in (here, *here.parents) if (folder / "notebooks").is_dir()), here)
    folder = root.joinpath(*parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Yield a hidden temporary path beside ``path``: it takes ``path``'s place on success, and goes on failure."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    try:
        yield Path(name)
        os.chmod(name, 0o666 & ~_UMASK)
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)
