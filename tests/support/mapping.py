"""Whether a tensor's bytes are those of a file, mapped into memory."""

from pathlib import Path

import pytest


def is_mapped(tensor, path):
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("only Linux tells what is mapped")
    for line in maps.read_text().splitlines():
        places, *_, name = line.split(maxsplit=5)
        start, end = (int(place, 16) for place in places.split("-"))
        if start <= tensor.data_ptr() < end:
            return name == str(Path(path).resolve())
    return False
