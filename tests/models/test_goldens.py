"""Every compared system against the numbers of its public class (tests/support/goldens).

The files are those of $MMM4REC_GOLDENS, else the shared ones where they lie beside the checkout.
"""

import pytest

from tests.support import goldens


def cases():
    """(file, check) for all files and all checks of the file's system."""
    for golden in filter(lambda golden: golden.adapter, map(goldens.load, goldens.files())):
        checks = [name for name in vars(golden.adapter) if name.startswith("check_") and name not in vars(goldens)]
        yield from (pytest.param(golden, name, id=f"{golden.path.stem}-{name[6:]}") for name in checks)


@pytest.mark.parametrize("golden,check", list(cases()))
def test_it_equals_the_public_class(golden, check, double):
    getattr(golden.adapter, check)(golden)
