"""Import torchvision also where its compiled half does not fit the installed torch."""

import importlib
import sys
from types import ModuleType

_kept: list[object] = []  # a torch Library takes its definitions along when it is collected


def import_torchvision() -> ModuleType:
    """Import and return torchvision; call it before anything that imports torchvision itself.

    A CPU build of torch beside the ordinary torchvision wheel makes the plain import fail with
    "operator torchvision::nms does not exist". Declaring the two missing operators (box filters, unused
    here) lets everything else of torchvision work. On a matched installation nothing is declared.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    import torch

    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]  # half imported
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _kept.append(library)
    return importlib.import_module("torchvision")
