"""The examples of `docs/change-something.md`, run as a reader types them, on few images."""

import ast
import shutil
import sys

import change_something
import matplotlib
import pytest
import torch
from conftest import PROJECT, cut
from idx_files import write_data
from torchvision.transforms.functional import to_pil_image

import common
from training import saved

matplotlib.use("agg")

(_, _, PREAMBLE), *BLOCKS = change_something.read_blocks()
EXAMPLES = {
    f"{index} {heading}": code
    for index, (heading, info, code) in enumerate(BLOCKS)
    if info not in ("file", "schedule")
}
MISTAKES = {name: "\n".join(lines) for name, lines in change_something.MISTAKES.items()}
(SCRIPT,) = [code for _, info, code in BLOCKS if info == "file"]
(SCHEDULE,) = [code for _, info, code in BLOCKS if info == "schedule"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with what a reader has: Fashion-MNIST, and pictures of digits."""
    write_data(tmp_path / "data" / "FashionMNIST" / "raw", num_images=60)
    for index, (image, label) in enumerate(cut(common.get_dataset(train=False), 20)):
        (tmp_path / "pictures" / str(label)).mkdir(parents=True, exist_ok=True)
        to_pil_image(image).save(tmp_path / "pictures" / str(label) / f"{index}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.filterwarnings("ignore:Using a target size")  # a mistake that is shown
@pytest.mark.parametrize("name", [*EXAMPLES, *MISTAKES])
def test_an_example_trains(name, small_mnist, folder, capsys):
    names = {}
    exec(PREAMBLE, names)
    exec((EXAMPLES | MISTAKES)[name], names)
    assert capsys.readouterr().out.splitlines()[-1] == f"Test data results: {names['result']}"


@pytest.fixture
def script(small_mnist, tmp_path, monkeypatch):
    """The page's script, in a folder of the project's scripts."""
    file = tmp_path / "my_experiment.py"
    file.write_text(SCRIPT)
    shutil.copy(PROJECT / "pytorch_mnist.py", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(saved, "PROJECT", tmp_path)
    yield file
    sys.modules.pop("my_experiment", None)


def test_a_script_of_one_s_own_has_what_the_others_have(script, run_script, capsys):
    """Flags, checkpoint, log, a network that is shown."""
    flags = "--seed 1 --epochs 2 --checkpoint my.ckpt --log my.csv --save-model my.pt"
    run_script(script, *flags.split())
    assert capsys.readouterr().out.startswith("Epoch [1/2], Step [60/60], Loss: ")
    run_script("show.py", "my.pt", "--out", "my.png")
    run_script("show.py", "--log", "my.csv", "--out", "log.png")
    run_script(script, *flags.replace("2", "3").split())
    assert "\nEpoch [3/3], Step [60/60], Loss: " in capsys.readouterr().out
    assert saved.load("my.ckpt").net.training is False


def test_its_schedule_is_kept_in_the_checkpoint(script, run_script, monkeypatch, capsys):
    before, call, after = SCRIPT.partition("    loops.train_network(")
    script.write_text(before + SCHEDULE + call + after)
    flags = ["--seed", "1", "--epochs", "3", "--save-model"]
    run_script(script, *flags, "whole.pt")

    train_epoch = common.train_epoch

    def interrupt(*arguments):
        train_epoch(*arguments)
        if arguments[2] == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(common, "train_epoch", interrupt)
        run_script(script, *flags, "resumed.pt", "--checkpoint", "my.ckpt")
    run_script(script, *flags, "resumed.pt", "--checkpoint", "my.ckpt")
    assert "resumed my.ckpt after epoch 1" in capsys.readouterr().err
    whole, resumed = torch.load("whole.pt"), torch.load("resumed.pt")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_script_of_one_s_own_is_short():
    """25 lines at most besides the network."""
    tree = ast.parse(SCRIPT)
    (network,) = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    lines = SCRIPT.splitlines()
    others = lines[: network.lineno - 1] + lines[network.end_lineno :]
    assert len([line for line in others if line and not line.startswith('"""')]) <= 25
