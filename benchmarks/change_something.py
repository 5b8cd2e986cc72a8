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

SIGMOIDS = "net = Net()"
RELUS = "net = nn.Sequential(nn.Linear(784, 100), nn.ReLU(), nn.Linear(100, 10))"
SGD = "sgd = torch.optim.SGD(net.parameters(), lr={})"
TRAIN = "result = train(net, sgd, num_epochs=1)"
CROSS_ENTROPY = "result = train(net, sgd, nn.CrossEntropyLoss(), num_epochs=1)"
MISTAKES = {  # by what is wrong: lines of code; the two that are right stand first
    "nothing: squared error": [SIGMOIDS, SGD.format(3.0), TRAIN],
    "nothing: cross entropy": [RELUS, SGD.format(0.1), CROSS_ENTROPY],
    "Adam's rate": [SIGMOIDS, "sgd = torch.optim.Adam(net.parameters(), lr=3.0)", TRAIN],
    "SGD's rate": [RELUS, SGD.format(3.0), CROSS_ENTROPY],
    "no sigmoid": [RELUS, SGD.format(3.0), TRAIN],
    "digits": [SIGMOIDS, SGD.format(3.0), "mean_squared_error = nn.MSELoss()",
               "result = train(net, sgd, mean_squared_error, num_epochs=1)"],
    "another network": [SIGMOIDS, SGD.format(3.0), SIGMOIDS, TRAIN],
    "pixels": [SIGMOIDS, SGD.format(3.0), "rows = reshape_input",
               "reshape_input = lambda images: 255 * rows(images)", TRAIN],
    "autocast": [SIGMOIDS, SGD.format(3.0), "with torch.autocast('cpu'):", f"    {TRAIN}"],
    "autocast, no cache": [SIGMOIDS, SGD.format(3.0),
                           "with torch.autocast('cpu', cache_enabled=False):", f"    {TRAIN}"],
    "softmax": [RELUS, "net.append(nn.Softmax(1))", SGD.format(0.1), CROSS_ENTROPY],
}  # fmt: skip


def read_blocks():
    """Return the heading, the info word and the code of each block of Python on the page.

    The first block is what all examples begin with. The info word tells what is special: "file"
    (a script), "schedule" (lines for it), "pictures" (needs a folder of them), "download", or "".
    """
    text = (PROJECT / "docs" / "change-something.md").read_text(encoding="utf-8")
    pattern = re.compile(r"^```python ?([^\n]*)\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
    headings = re.compile(r"^##? (.*)", flags=re.MULTILINE)
    return [
        (headings.findall(text[: block.start()])[-1], block[1], block[2])
        for block in pattern.finditer(text)
    ]


def run(preamble, example, seed):
    """Run an example in a folder of its own; return its test result, and what else it printed."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        names = {}
        exec(preamble.replace("manual_seed(1)", f"manual_seed({seed})"), names)
        exec(example, names)
        os.chdir(PROJECT)
    lines = filter(None, printed.getvalue().splitlines())
    return names["result"], [line for line in lines if not line.startswith(("Epoch", "Test"))]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, metavar="N")
    parser.add_argument("--only", default="", metavar="TEXT", help="of a heading")
    parser.add_argument("--mistakes", action="store_true", help='of "When it stays at 10 %%"')
    settings = parser.parse_args()

    (_, _, preamble), *blocks = read_blocks()
    if settings.mistakes:
        settings.seeds = 1
        blocks = [(name, "", "\n".join(lines)) for name, lines in MISTAKES.items()]
    for heading, info, code in blocks:
        if info != "" or settings.only not in heading:
            continue
        print(f"{heading}:", end="", flush=True)
        for seed in range(1, settings.seeds + 1):
            result, lines = run(preamble, code, seed)
            print(f" {100 * result:.2f} %", *lines, end="", flush=True)
        print()


if __name__ == "__main__":
    main()
