"""What the folder of a finished run holds, read as if a stranger had written it."""

from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from mmm4rec_lite.utils.errors import InputError, first_line, refuse
from mmm4rec_lite.utils.files import inside
from mmm4rec_lite.utils.tensorfile import load_tensors
from mmm4rec_lite.utils.typing import Tensor

FILE, AGAIN = "model.safetensors", "train one with the commands `pretrain` or `finetune`"
FORM: dict[str, Any] = {"model": str, "config": dict, "encoder": dict, "catalogue": str, "domains": list}
FORM |= dict.fromkeys(("ranks", "ranks_filtered"), (torch.int64, 1))
VERSION = next((found.version for found in metadata.distributions(name="mmm4rec-lite")), "")
RECORD: dict[str, type] = {
    "run_id": str,
    "split": str,
    "system": str,
    "stage": str,
    "dataset": str,
    "subset": str,
    "n_test_rows": int,
}


class NotTrained(InputError):
    """There is no such run, and none was to be made."""


def read_run(folder: Path | str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(weights and ranks, notes) of a run's folder; InputError for what ``save`` did not write so."""
    file = inside(folder, FILE)
    tensors, notes = load_tensors(file, "model", AGAIN, FORM)
    record, by = notes.get("record"), notes["encoder"]
    whole = isinstance(record, dict) and all(
        isinstance(record.get(name, kind()), kind) for name, kind in RECORD.items()
    )
    whole = whole and all(isinstance(by.get(name), str) for name in ("name", "fingerprint"))
    whole = whole and all(isinstance(domain, str) for domain in notes["domains"])
    refuse(not whole, f"{file}: made by another version; train again with this one")
    return tensors, notes


def read_history(folder: Path | str) -> pd.DataFrame:
    """A run's history; what else a file of that name may hold is shown to nobody."""
    file = inside(folder, "history.csv")
    try:
        found = pd.read_csv(file)
        numbers = found.select_dtypes(["number", "bool"])
        refuse("epoch" not in found or set(numbers) != set(found), "other columns")
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: no history of a run ({first_line(error)}); {AGAIN}") from None
    return found
