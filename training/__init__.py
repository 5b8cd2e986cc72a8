"""What a run needs besides its mathematics: flags, settings, progress, log, checkpoint.

Importing it from a script of this project settles how that ends: what the project refuses, and
Ctrl-C, are one line each. Everything else is Python's traceback, with the line that failed. So
scripts import it first, before PyTorch takes seconds. What the encoding of stdout lacks, such as
a letter of a file's name, is printed with escapes. Nothing changes at a prompt, nor for other
programs.
"""

import errno
import io
import os
import signal
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent


def show_error(kind, error, traceback):
    """Print on stderr the error that ends a script."""
    script = os.path.basename(sys.argv[0])
    refused = getattr(sys.modules.get("common"), "RefusedError", ())
    if issubclass(kind, KeyboardInterrupt):
        print(f"{script}: interrupted", file=sys.stderr)  # Python then ends as the signal asks
    elif isinstance(error, refused):
        print(f"{script}: error: {' '.join(str(error).split())}", file=sys.stderr)
    elif isinstance(error, BrokenPipeError) or (os.name == "nt" and _is_closed_pipe(error)):
        # `| head` has read enough; the flush at exit has to go somewhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)  # as a shell reports a program ended by SIGPIPE
    else:
        sys.__excepthook__(kind, error, traceback)


def _is_closed_pipe(error):  # as Windows tells it
    return isinstance(error, OSError) and error.errno == errno.EINVAL and error.filename is None


def interrupt(signal_number, frame):
    """Raise KeyboardInterrupt; in an import, which may make any other error of it, end at once."""
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            show_error(KeyboardInterrupt, None, None)
            if os.name == "nt":
                os._exit(-0x3FFFFEC6)  # STATUS_CONTROL_C_EXIT, as Python ends there
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.raise_signal(signal.SIGINT)
        frame = frame.f_back
    raise KeyboardInterrupt


_script = getattr(sys.modules["__main__"], "__file__", None)
if _script and PROJECT in list(Path(_script).resolve().parents)[:2]:  # in it, or a folder of it
    sys.excepthook = show_error
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")  # as Python sets stderr up
