"""Libraries that the core does without: whoever lacks one is told which extra brings it."""

from collections.abc import Iterator
from contextlib import contextmanager

from mmm4rec_lite.utils.errors import InputError


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Around imports of optional libraries: one that lacks becomes an InputError that names pyproject.toml's extra."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("", "mmm4rec_lite"):
            raise
        raise InputError(f'this needs {missing}, which is not installed: pip install "mmm4rec-lite[{name}]"') from error
