"""The examples of `docs/change-something.md`, run as a reader types them, on few images."""

import sys

import pytest
from conftest import PROJECT
from mnist import files as mnist_files
from mnist.images import keep_first

import common

sys.path.insert(0, str(PROJECT / "benchmarks"))
import change_something

PREAMBLE, EXAMPLES = change_something.read_examples()


@pytest.fixture
def fashion(tmp_path, monkeypatch):
    """Fashion-MNIST as if it had been downloaded: its format, and here its images, are MNIST's."""
    mnist_files.prepare(mnist_files.find_root())
    folder = tmp_path / "data" / "FashionMNIST"
    folder.mkdir(parents=True)
    (folder / "raw").symlink_to(PROJECT / "data" / "MNIST" / "raw")
    get_loader = common.get_loader

    def get_loader_of_few(dataset, *arguments, **options):
        if isinstance(dataset, common.datasets.FashionMNIST):
            keep_first(dataset, 600)
        return get_loader(dataset, *arguments, **options)

    monkeypatch.setattr(common, "get_loader", get_loader_of_few)


@pytest.mark.parametrize(
    "number", range(len(EXAMPLES)), ids=lambda number: f"{number} {EXAMPLES[number][0]}"
)
def test_an_example_trains(number, small_mnist, fashion, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(PREAMBLE, names)
    exec(EXAMPLES[number][1], names)
    lines = capsys.readouterr().out.splitlines()
    losses = [float(line.split()[-1]) for line in lines if line.startswith("Epoch")]
    assert losses
    assert lines[-1] == f"Test data results: {names['result']}"


def test_each_example_says_what_it_reaches():
    text = (PROJECT / "docs" / "change-something.md").read_text()
    assert len(EXAMPLES) > 10
    sections = text.split("\n## ")[1:]
    silent = [section.split("\n")[0] for section in sections if " %" not in section]
    assert silent == ["Fashion-MNIST"]  # which can't be downloaded here
