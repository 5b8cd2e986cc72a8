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


def read_examples():
    """Return the page's first block, and pairs of each later one's heading and code."""
    text = (PROJECT / "docs" / "change-something.md").read_text()
    (_, preamble), *examples = (
        (re.findall(r"^#+ (.*)", text[: block.start()], flags=re.MULTILINE)[-1], block[1])
        for block in re.finditer(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    )
    return preamble, examples


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

    preamble, examples = read_examples()
    for heading, example in examples:
        if "Fashion" in heading or settings.only not in heading:
            continue  # Fashion-MNIST would have to be downloaded
        results = [run(preamble, example, seed) for seed in range(1, settings.seeds + 1)]
        print(
            f"{heading}: {' '.join(f'{100 * result:.2f} %' for result in sorted(results))}",
            flush=True,
        )


if __name__ == "__main__":
    main()
