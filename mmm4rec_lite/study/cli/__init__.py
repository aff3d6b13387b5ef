"""The program ``mmm4rec-lite``; its commands are in ``commands`` and, the library's, in ``mmm4rec_lite.cli``."""

import io
import os
import sys

from mmm4rec_lite.utils.errors import InputError, refuse
from mmm4rec_lite.utils.optional import extra


def main() -> None:
    """Run the command line; an InputError becomes one line on stderr and exit code 2."""
    # Before torch starts its threads: waiting ones should sleep, not spin. On a machine with other work to do,
    # spinning makes a training step ten times slower; on an idle one the difference is small.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal without Unicode gets escapes, not a traceback
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        for word in sys.argv[1:]:
            odd = any("\ud800" <= sign <= "\udfff" for sign in word)
            refuse(odd, f"{word!r} is no text in this system's encoding ({sys.getfilesystemencoding()}); name it anew")
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
