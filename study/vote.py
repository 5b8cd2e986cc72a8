"""What several networks recognise together: each gives its vote for every test image.

    python -m study.vote final-1.pt final-2.pt final-3.pt final-4.pt final-5.pt

prints what each saved network recognises, what the majority of their predictions does (among
digits with as many votes, the larger mean output decides), and what the mean of their outputs does.
In chapter 6 of the book, five networks of the final design reach 99.67 % by majority.
"""

import training  # noqa: F401 # isort: skip (first, so that Ctrl-C is one line from here on)

import torch
from torch.nn.functional import one_hot

import common
from files import models
from show import predict_outputs
from training import command_line

BOOK = 99.67  # per cent, of five networks of the final design


def vote(outputs):
    """Return the digits that K networks choose together: by majority, and by mean output, each [N].

    `outputs` are theirs, [K, N, 10], from 0 to 1.
    """
    mean = outputs.mean(dim=0)
    votes = one_hot(outputs.argmax(dim=2), outputs.shape[2]).sum(dim=0)
    return (votes + mean / 2).argmax(dim=1), mean.argmax(dim=1)


def main():
    parser = command_line.OneLineParser(
        description="Have several saved networks vote on the test images.", allow_abbrev=False
    )
    parser.add_argument("models", nargs="+", metavar="MODEL", help="a file of --save-model")
    command_line.add_data_root_flag(parser)
    settings = parser.parse_args()

    test_set = common.get_dataset(settings.data_root, train=False)
    networks = [models.load(file) for file in settings.models]
    outputs = torch.stack([predict_outputs(network, test_set) for network in networks])
    majority, mean = vote(outputs)
    rows = dict(zip(settings.models, outputs.argmax(dim=2), strict=True))
    rows |= {"majority": majority, "mean of outputs": mean}
    for name, predictions in rows.items():
        print(f"{name}: {100 * (predictions == test_set.targets).double().mean():.2f} %")
    print(f"the book's five networks of the final design, by majority: {BOOK} %")


if __name__ == "__main__":
    main()
