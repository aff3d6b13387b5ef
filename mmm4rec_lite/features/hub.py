"""Manners towards the model hub and the libraries that talk to it: no vain look-ups, no chatter."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from mmm4rec_lite.utils.errors import InputError, first_line


@contextmanager
def offline() -> Iterator[None]:
    """Use what lies on this disk only; a vain look-up would take most of a minute before its error."""
    from huggingface_hub import constants

    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the loaders' log lines and warnings to themselves; errors still arrive as exceptions."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def require_hub(wanted: str, instead: str) -> None:
    """InputError unless the hub answers one short try, without the retries of its own look-ups."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=5)
    except Exception as error:  # whatever the installed HTTP client raises
        reason = f"the hub is out of reach ({first_line(error)})"
        raise InputError(f"{wanted} is not in the model hub's cache and {reason}: {instead}") from error
