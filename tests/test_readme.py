"""The pages' REPL examples, typed as a reader types them, and what else they say of the code."""

import doctest
import re

import pytest
from conftest import PROJECT

PAGES = {
    file: file.read_text(encoding="utf-8")
    for file in [PROJECT / "README.md", *(PROJECT / "docs").glob("*.md")]
}


def type_sessions(info):
    """Type them into one REPL; return how many inputs gave another output than the page's."""
    pattern = re.compile(rf"^```{info}\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)
    sessions = [session for text in PAGES.values() for session in pattern.findall(text)]
    test = doctest.DocTestParser().get_doctest("\n".join(sessions), {}, "pages", None, 0)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    assert len(test.examples) > 10
    return runner.run(test).failed


def test_repl_sessions(monkeypatch):
    monkeypatch.chdir(PROJECT)
    assert type_sessions("pycon") == 0


@pytest.mark.slow
def test_repl_sessions_with_the_whole_training(monkeypatch):
    # Last run on 2026-11-25: passed.
    monkeypatch.chdir(PROJECT)
    assert type_sessions("pycon(?: slow)?") == 0


def test_what_the_pages_link_to_is_there():
    for file, text in PAGES.items():
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            assert target.startswith("http") or (file.parent / target).exists(), target


SCRIPTS = ["pytorch_mnist.py", "backprop_manual_mnist.py", "pytorch_mnist_convnet.py"]
SCRIPTS += ["show.py", "recognize.py", "reproduce.py"]


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_pages_name_no_flag_that_is_not_there(script, run_script, capsys):
    with pytest.raises(SystemExit):
        run_script(script, "--help")
    known = set(re.findall(r"--[a-z][a-z_-]*", capsys.readouterr().out))
    for text in PAGES.values():
        for command in re.findall(rf"python {re.escape(script)}([^`\n|,;&]*)", text):
            assert set(re.findall(r"--[a-z][a-z_-]*", command)) <= known, command


def test_each_command_sets_up_on_its_own():
    readme = PAGES[PROJECT / "README.md"]
    commands = re.findall(r"^    python3 -m venv .*", readme, flags=re.MULTILINE)
    assert [command.split(" && ")[-1] for command in commands] == [
        "python pytorch_mnist.py",
        "python pytorch_mnist.py",  # on the smaller install
        "python -m pytest",
    ]
    assert all("pip install -r requirements.txt" in command for command in commands)
