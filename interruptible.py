"""Ctrl-C ends a script of this project with one line and status 130, at any moment.

Importing PyTorch takes seconds, so the scripts import this module first. Where it is imported
by anything but a script of this folder, as in a REPL, it does nothing.
"""

import signal
import sys
from pathlib import Path

script = Path(sys.argv[0]).resolve()


def _exit(*_):
    print(f"{script.name}: interrupted", file=sys.stderr)
    sys.exit(130)


if script.is_file() and script.parent == Path(__file__).resolve().parent:
    signal.signal(signal.SIGINT, _exit)
