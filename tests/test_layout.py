"""The rule of the house: the top level is the lesson, and imports run one way.

Only files that git tracks count: a reader's own lie beside them.
"""

import ast
import sys

import pytest
from conftest import FILES, PROJECT, needs_git

# From the bottom up: each may import what stands above it here, and its own folder.
FLOORS = [
    {"common"},  # imports nothing of the project
    {"training"},
    {"pytorch_mnist"},
    {"backprop_manual_mnist", "pytorch_mnist_convnet"},
    {"handwriting"},
    {"show"},
    {"study"},
    {"recognize", "reproduce"},
]
ALONE = {"backprop_manual_calculation", "backprop_pytorch", "common"}


def get_room(file):
    """The top-level module or folder that a file is, or is in."""
    return file.split("/")[0].removesuffix(".py")


def get_imports(file):
    """The top-level modules and folders that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse((PROJECT / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module.split(".")[0])
    return names


@needs_git
def test_the_top_level_is_what_a_reader_types():
    modules = {file for file in FILES if "/" not in file}
    assert len(modules) <= 9
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    assert {module for module in modules if module not in readme} == set()


@pytest.mark.parametrize("file", FILES)
def test_imports_run_one_way(file):
    room = get_room(file)
    rooms = {*map(get_room, FILES), "tests", "benchmarks"}
    if room in ALONE:
        assert get_imports(file) & rooms == set()
    else:
        (floor,) = [index for index, names in enumerate(FLOORS) if room in names]
        assert get_imports(file) & rooms - {room} <= set().union(*FLOORS[:floor])


def test_common_needs_nothing_but_torch_and_torchvision():
    assert get_imports("common.py") - sys.stdlib_module_names == {"torch", "torchvision"}
