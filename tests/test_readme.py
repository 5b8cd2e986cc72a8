"""The README's REPL examples, typed as a reader types them, and what else it says of the code."""

import doctest
import re

import pytest
from conftest import PROJECT

README = (PROJECT / "README.md").read_text()


def find_sessions(info):
    return re.findall(rf"^```{info}\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


def type_sessions(sessions):
    """Type them into one REPL; return how many inputs gave another output than the README's."""
    test = doctest.DocTestParser().get_doctest("\n".join(sessions), {}, "README", None, 0)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    assert len(test.examples) > 10
    return runner.run(test).failed


def test_repl_sessions(tmp_path, monkeypatch):
    monkeypatch.chdir(PROJECT)
    assert type_sessions(find_sessions("pycon")) == 0


@pytest.mark.slow
def test_repl_sessions_with_the_whole_training(monkeypatch):
    # Last run on 2026-11-25: passed.
    monkeypatch.chdir(PROJECT)
    assert type_sessions(find_sessions("pycon(?: slow)?")) == 0


def test_what_the_readme_links_to_is_there():
    texts = {PROJECT / "README.md": README}
    texts |= {file: file.read_text() for file in (PROJECT / "docs").glob("*.md")}
    for file, text in texts.items():
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            assert target.startswith("http") or (file.parent / target).exists(), target
        assert not re.search(r"@\w+@", text), "a figure is still to be filled in"


def test_both_commands_set_up_on_their_own():
    commands = re.findall(r"^    python3 -m venv .*", README, flags=re.MULTILINE)
    assert [command.rsplit("/", 1)[1] for command in commands] == [
        "python pytorch_mnist.py",
        "python -m pytest",
    ]
    assert all("pip install -r requirements.txt" in command for command in commands)
