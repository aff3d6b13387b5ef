"""Where things are kept, and how a file is written: whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import platformdirs


def cache_dir(*parts: str) -> Path:
    """The user's cache folder (or ``$MMM4REC_CACHE``) with ``parts`` below it, made if absent."""
    folder = Path(os.environ.get("MMM4REC_CACHE") or platformdirs.user_cache_dir("mmm4rec_lite"), *parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def workspace(*parts: str) -> Path:
    """A folder for results: ``parts`` below the nearest folder upwards that has ``notebooks/`` in it, or here."""
    here = Path.cwd()
    root = next((folder for folder in (here, *here.parents) if (folder / "notebooks").is_dir()), here)
    folder = Path(root, *parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Yield a hidden temporary path beside ``path``: it takes ``path``'s place on success, and goes on failure."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex[:8]}{path.suffix}")
    temporary.touch(exist_ok=False)
    mode = temporary.stat().st_mode  # an ordinary file's, which safetensors narrows
    try:
        yield temporary
        temporary.chmod(mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
