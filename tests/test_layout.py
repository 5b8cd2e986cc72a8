"""The rule of the house: the top level is the lesson, and imports run one way."""

import ast

import pytest
from conftest import PROJECT

# From the bottom up: each may import what stands above it here, and its own folder.
FLOORS = [
    {"files", "handwriting"},
    {"mnist"},
    {"common"},
    {"training"},
    {"pytorch_mnist"},
    {"backprop_manual_mnist", "pytorch_mnist_convnet"},
    {"show", "study"},
    {"recognize", "reproduce"},
    {"backprop_manual_calculation", "backprop_pytorch"},  # import nothing of the project
]
FILES = [
    file
    for file in PROJECT.glob("**/*.py")
    if file.relative_to(PROJECT).parts[0] not in ("tests", "benchmarks", ".venv")
]


def get_room(file):
    """The top-level module or folder that a file is, or is in."""
    return file.relative_to(PROJECT).with_suffix("").parts[0]


def get_imports(file):
    """The project's top-level modules and folders that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module.split(".")[0])
    return names & {*map(get_room, FILES), "tests", "benchmarks"}


def test_the_top_level_is_what_a_reader_types():
    modules = {file.stem for file in PROJECT.glob("*.py")}
    assert len(modules) <= 9
    readme = (PROJECT / "README.md").read_text()
    assert {module for module in modules if f"{module}.py" not in readme} == set()


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PROJECT)))
def test_imports_run_one_way(file):
    room = get_room(file)
    (floor,) = [index for index, rooms in enumerate(FLOORS) if room in rooms]
    below = set().union(*FLOORS[:floor])
    assert get_imports(file) - {room} <= below
