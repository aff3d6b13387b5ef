"""Manners towards the libraries behind the encoders: no vain look-ups, no chatter, a torchvision that is whole."""

import importlib
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import torch

from mmm4rec_lite.utils.errors import InputError, first_line

_kept: list[object] = []  # a torch Library takes its definitions along when it is collected


@contextmanager
def offline() -> Iterator[None]:
    """Use what lies on this disk only; a vain look-up would take most of a minute before its error.

    No code from there either: nobody is asked whether to run what a repository in the hub's cache brings along.
    """
    from huggingface_hub import constants
    from transformers import dynamic_module_utils as code

    before = constants.HF_HUB_OFFLINE, code.TIME_OUT_REMOTE_CODE
    constants.HF_HUB_OFFLINE, code.TIME_OUT_REMOTE_CODE = True, 0
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE, code.TIME_OUT_REMOTE_CODE = before


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the loaders' log lines and warnings to themselves; errors still arrive as exceptions."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"):
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


def import_torchvision() -> ModuleType:
    """torchvision, also where its compiled half does not fit; to be called before others import it.

    A CPU build of torch beside the ordinary torchvision wheel makes the plain import fail ("operator torchvision::nms
    does not exist"). Only then, the two missing operators are declared (box filters, unused here).
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]  # half imported
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _kept.append(library)
    return importlib.import_module("torchvision")
