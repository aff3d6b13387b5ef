"""The program ``mmm4rec-lite``; its commands are in ``commands`` and, the library's, in ``mmm4rec_lite.cli``."""

import os
import sys

from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.optional import extra


def main() -> None:
    """Run the command line; an InputError becomes one line on stderr and exit code 2."""
    # Before torch starts its threads: waiting ones should sleep, not spin. On a machine with other work to do,
    # spinning makes a training step ten times slower; on an idle one the difference is small.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        with extra("cli"):
            from mmm4rec_lite.study.cli.commands import app
        app()
    except (InputError, OSError, MemoryError) as error:
        print(f"error: {str(error) or 'not enough memory'}", file=sys.stderr)
        sys.exit(2)
    except (KeyboardInterrupt, SystemExit) as error:
        if isinstance(error, SystemExit) and error.code != 130:
            raise
        print("stopped; the same call goes on from what is finished, or starts anew", file=sys.stderr)
        sys.exit(130)
