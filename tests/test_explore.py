"""The notebook `docs/explore.ipynb`, run as JupyterLab does, says what is stored in it."""

import copy
import re

import nbformat
import pytest
import torch
from conftest import PROJECT
from nbclient import NotebookClient

import common
import pytorch_mnist

NUMBER = r"\d+(?:\.\d*)?(?:e[-+]\d+)?"


def list_outputs(cell):
    """Return the kinds of a cell's outputs, and their text, without what goes to stderr."""
    outputs = [output for output in cell.get("outputs", []) if output.get("name") != "stderr"]
    kinds = [{*output.get("data", {"stream"})} - {"image/jpeg"} for output in outputs]
    return kinds, "".join(o.get("text") or o["data"]["text/plain"] for o in outputs)


# The first 600 images, with which the trainings take no time; only the numbers are others.
SMALL = """
import sys; sys.path[:0] = {paths}
import common, conftest
get_dataset = common.get_dataset
common.get_dataset = lambda *args, **settings: conftest.cut(get_dataset(*args, **settings), 600)
"""


@pytest.mark.parametrize("is_small", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_the_notebook_says_what_is_stored_in_it(is_small, tmp_path, monkeypatch):
    # Last run on all images on 2026-11-28: passed.
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.delenv("MPLBACKEND", raising=False)
    if is_small:
        (tmp_path / "profile_default" / "startup").mkdir(parents=True)
        startup = SMALL.format(paths=[str(PROJECT), str(PROJECT / "tests")])
        (tmp_path / "profile_default" / "startup" / "small.py").write_text(startup)
    stored = nbformat.read(PROJECT / "docs" / "explore.ipynb", as_version=4)
    assert len(stored.cells) <= 30
    settings = {"resources": {"metadata": {"path": PROJECT / "docs"}}, "coalesce_streams": True}
    run = NotebookClient(copy.deepcopy(stored), timeout=600, **settings).execute()
    for cell, again in zip(stored.cells, run.cells, strict=True):
        (kinds, text), (kinds_again, text_again) = list_outputs(cell), list_outputs(again)
        if is_small:  # a short epoch prints nothing
            kinds, kinds_again = ([k for k in ks if k != {"stream"}] for ks in (kinds, kinds_again))
        assert kinds == kinds_again, cell.source
        if is_small:
            continue
        assert re.sub(NUMBER, "#", text) == re.sub(NUMBER, "#", text_again)
        if "book_net" in cell.source:  # which digits it misses, another processor's rounding says
            continue
        numbers, numbers_again = (
            [float(number) for number in re.findall(NUMBER, each)] for each in (text, text_again)
        )
        assert numbers_again == pytest.approx(numbers, rel=0.1, abs=0.1), cell.source
    assert "0.0000  0.0000\n" in list_outputs(stored.cells[-2])[1]  # a digit that is missed


@pytest.mark.slow
def test_after_the_article_s_whole_training_the_first_image_is_a_7():
    # Last run on 2026-11-28: passed.
    torch.manual_seed(1)
    net = pytorch_mnist.Net()
    images, _ = next(iter(common.get_test_loader()))
    assert pytorch_mnist.run_network(net) > 0.97
    outputs = net(images.reshape(-1, 28 * 28))
    value, digit = torch.max(outputs[0], 0)
    assert (digit, value > 0.99) == (7, True)
    assert (outputs[0, torch.arange(10) != 7] < 0.01).all()
