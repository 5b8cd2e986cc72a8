"""Run the examples of `docs/change-something.md` as they stand there, and print what they reach."""

import argparse
import contextlib
import io
import os
import re
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

import torch  # noqa: E402


def read_blocks():
    """Return the heading, the info word and the code of each block of Python on the page.

    The first block is what all examples begin with. The info word tells what is special:
    "file" (a script), "pictures" (needs a folder of them), "slow", "download", or "".
    """
    text = (PROJECT / "docs" / "change-something.md").read_text(encoding="utf-8")
    pattern = re.compile(r"^```python ?([^\n]*)\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
    headings = re.compile(r"^##? (.*)", flags=re.MULTILINE)
    return [
        (headings.findall(text[: block.start()])[-1], block[1], block[2])
        for block in pattern.finditer(text)
    ]


def run(preamble, example, seed):
    """Run an example in a folder of its own; return its test result."""
    with contextlib.redirect_stdout(io.StringIO()), tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        names = {}
        exec(preamble.replace("manual_seed(1)", f"manual_seed({seed})"), names)
        exec(example, names)
        os.chdir(PROJECT)
    return names["result"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, metavar="N")
    parser.add_argument("--only", default="", metavar="TEXT", help="of a heading")
    settings = parser.parse_args()
    torch.set_num_threads(1)

    (_, _, preamble), *blocks = read_blocks()
    for heading, info, code in blocks:
        if info not in ("", "slow") or settings.only not in heading:
            continue
        results = [run(preamble, code, seed) for seed in range(1, settings.seeds + 1)]
        print(
            f"{heading}: {' '.join(f'{100 * result:.2f} %' for result in sorted(results))}",
            flush=True,
        )


if __name__ == "__main__":
    main()
