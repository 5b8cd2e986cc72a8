"""What several networks recognise together: each gives its vote for every test image.

    python -m study.vote final-1.pt final-2.pt final-3.pt final-4.pt final-5.pt

prints what each saved network recognises, what the majority of their predictions does (among
digits with as many votes, the larger mean output decides), and what the mean of their outputs does.
In chapter 6 of the book, five networks of the final design reach 99.67 % by majority.

`--keep` keeps each network's outputs beside it (`final-1.pt.npz`, 35 kB, where the network takes
7 MB). Files of outputs vote as networks do.
"""

import training  # noqa: F401 # isort: skip (not part of the lesson: it makes Ctrl-C one line)

import numpy as np
import torch
from torch.nn.functional import one_hot

import common
from common import RefusedError
from files import atomic, models
from show import add_network_flag, predict_outputs
from training import command_line

OUTPUTS = ".npz"
BOOK = 99.67  # per cent, of five networks of the final design


def vote(outputs):
    """Return the digits that K networks choose together: by majority, and by mean output, each [N].

    `outputs` are theirs, [K, N, 10].
    """
    mean = outputs.mean(dim=0)
    votes = one_hot(outputs.argmax(dim=2), outputs.shape[2]).sum(dim=0)
    most = votes == votes.amax(dim=1, keepdim=True)
    return mean.masked_fill(~most, -torch.inf).argmax(dim=1), mean.argmax(dim=1)


def get_outputs(file, test_set, network=None):
    """Return the outputs, float32 [N, 10], of a saved network, or of a file of `keep_outputs`.

    `network` is that of `files.models.load`.
    Raises RefusedError if the file holds neither.
    """
    if not file.endswith(OUTPUTS):
        return predict_outputs(models.load(file, network), test_set)
    try:
        with np.load(file) as content:
            outputs = torch.from_numpy(content["outputs"])
    except Exception as error:  # a damaged file can make NumPy raise anything
        raise RefusedError(f"{file} holds no outputs of a network ({error})") from error
    if outputs.shape != (len(test_set), 10):
        raise RefusedError(f"{file} holds {list(outputs.shape)} outputs, not those of the test set")
    if not (outputs.is_floating_point() and outputs.isfinite().all()):
        raise RefusedError(f"{file} holds outputs that are no finite fractions")
    return outputs


def keep_outputs(outputs, file):
    """Write outputs [N, 10], five decimals of each, to a file, which replaces one of that name."""
    # Most are nearly 0 or 1, so that the rounded ones are compressed to a tenth.
    rounded = outputs.round(decimals=5).numpy()
    atomic.write(file, lambda stream: np.savez_compressed(stream, outputs=rounded))


def main():
    parser = command_line.OneLineParser(
        description="Have several saved networks vote on the test images."
    )
    parser.add_argument(
        "files", nargs="+", metavar="MODEL", help="a file of --save-model, or of --keep"
    )
    parser.add_argument("--keep", action="store_true", help="write MODEL.npz: its outputs")
    add_network_flag(parser)
    command_line.add_data_root_flag(parser)
    settings = parser.parse_args()

    test_set = common.get_dataset(settings.data_root, train=False)
    files = atomic.expand(settings.files)
    networks = [atomic.resolve(file.removesuffix(OUTPUTS)) for file in files]
    for file, network in zip(files, networks, strict=True):
        if networks.count(network) > 1:
            raise RefusedError(f"{file} and its network would vote twice; give each once")
    outputs = torch.stack([get_outputs(file, test_set, settings.net) for file in files])
    for file, of_one in zip(files, outputs, strict=True):
        if settings.keep and not file.endswith(OUTPUTS):
            keep_outputs(of_one, file + OUTPUTS)
    majority, mean = vote(outputs)
    rows = dict(zip(files, outputs.argmax(dim=2), strict=True))
    rows |= {"majority": majority, "mean of outputs": mean}
    for name, predictions in rows.items():
        print(f"{name}: {100 * (predictions == test_set.targets).double().mean():.2f} %")
    print(f"(the book's five networks of the design final, by majority: {BOOK} %)")


if __name__ == "__main__":
    main()
