"""How large runs are."""

import os

from mmm4rec_lite.utils.errors import InputError

SCALES = ("quick", "converged", "full")  # "converged" is for the comparison alone


def scale() -> str:
    """How large runs are that do not say it: ``$MMM4REC_SCALE``, one of ``SCALES``, the first where it is not set."""
    name = os.environ.get("MMM4REC_SCALE") or SCALES[0]
    if name not in SCALES:
        raise InputError(f"scale: $MMM4REC_SCALE is {name!r}, which is not known; one of {', '.join(SCALES)}")
    return name
