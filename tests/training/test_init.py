"""How a script ends: what is refused and Ctrl-C in one line, all else with Python's traceback."""

import os
import shutil
import signal
import subprocess
import time

import pytest
from conftest import PROJECT

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
SCRIPT = "import sys, time, training, common, pathlib\n"  # which takes no PyTorch


@pytest.fixture
def project(tmp_path):
    """A folder like the project's, with a `common.py` that takes no time to import."""
    project = tmp_path / "project"
    (project / "training").mkdir(parents=True)
    shutil.copy(PROJECT / "training" / "__init__.py", project / "training")
    (project / "common.py").write_text("class RefusedError(ValueError): pass\n")
    (project / "benchmarks").mkdir()
    return project


@pytest.fixture
def start_script(start, project):
    """Return a function that starts such a script: as a Popen."""

    def start_script(source, *, name="script.py", **variables):
        (project / name).write_text(SCRIPT + source, encoding="utf-8")
        settings = {"preexec_fn": allow_interrupts} if os.name != "nt" else {}
        return start(project / name, env={"PYTHONPATH": str(project), **variables}, **settings)

    return start_script


def allow_interrupts():  # a job in a shell's background ignores SIGINT, and so would these
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def interrupt(process, stdin=None):
    process.send_signal(signal.SIGINT)
    return process.communicate(stdin, timeout=60)


@pytest.mark.parametrize("name", ["script.py", "benchmarks/script.py"])
def test_what_is_refused_is_one_line(start_script, name):
    source = 'raise common.RefusedError("what was wrong:\\n  the value\\n")'
    process = start_script(source, name=name)
    assert process.communicate() == ("", "script.py: error: what was wrong: the value\n")
    assert process.returncode == 1


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("raise RuntimeError('mine')", "RuntimeError: mine"),
        ("{}['mine']", "KeyError: 'mine'"),
        ("open('mine')", "FileNotFoundError: [Errno 2] No such file or directory: 'mine'"),
        ("int('mine')", "ValueError: invalid literal for int() with base 10: 'mine'"),
        ("assert not 'mine'", "AssertionError"),
    ],
)
def test_a_reader_s_own_error_shows_its_line(start_script, project, source, message):
    process = start_script(f"\n{source}\n")
    _, stderr = process.communicate()
    assert f'File "{project / "script.py"}", line 3, in <module>' in stderr
    assert stderr.splitlines()[-1] == message
    assert process.returncode == 1


def test_a_script_of_another_folder_is_left_alone(start_script):
    process = start_script("raise common.RefusedError('mine')", name="../script.py")
    assert process.communicate()[1].splitlines()[-1] == "common.RefusedError: mine"


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_what_the_encoding_lacks_is_printed_with_escapes(start_script, encoding):
    """Such as a file's name, in a pipe on Windows."""
    process = start_script("print('五.png: 5')", PYTHONIOENCODING=encoding)
    assert process.communicate() == ("\\u4e94.png: 5\n", "")


def test_a_reader_that_leaves_ends_a_script_quietly(start_script):
    process = start_script("while True: print('a line', flush=True)")
    stdout, process.stdout = process.stdout, None
    assert stdout.readline() == "a line\n"
    stdout.close()
    assert process.communicate(timeout=60)[1] == ""
    assert process.returncode == 141


# Signals


INTERRUPT = "import signal, time\nsignal.raise_signal(signal.SIGINT)\ntime.sleep(60)\n"
SLOW = f"""
try:
    exec({INTERRUPT!r})
except BaseException as error:
    raise ImportError from error  # as PyTorch's own may do
"""
IN_IMPORT = f"pathlib.Path(__file__).with_name('slow.py').write_text({SLOW!r})\nimport slow\n"


@pytest.mark.parametrize("source", [INTERRUPT, IN_IMPORT])
def test_ctrl_c_ends_a_script_by_the_signal_in_one_line(start_script, source):
    """So that a shell's loop over scripts ends, too."""
    process = start_script(source)
    assert process.communicate(timeout=60) == ("", "script.py: interrupted\n")
    assert process.returncode == (0xC000013A if os.name == "nt" else -signal.SIGINT)


@posix
def test_a_job_that_ignores_ctrl_c_goes_on_ignoring_it(start, project):
    (project / "script.py").write_text(
        f"{SCRIPT}import signal; print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"
    )
    process = start(
        project / "script.py", preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)
    )
    assert process.communicate() == ("True\n", "")


@posix
def test_ctrl_c_while_pytorch_is_imported_is_one_line(start, project):
    """In a copy of the real script that says when it has begun."""
    for folder in ("training", "files"):
        shutil.copytree(PROJECT / folder, project / folder, dirs_exist_ok=True)
    shutil.copy(PROJECT / "common.py", project)
    source = (PROJECT / "pytorch_mnist.py").read_text(encoding="utf-8")
    first, rest = source.split("\nimport torch\n", 1)
    script = project / "pytorch_mnist.py"
    script.write_text(f"{first}\nprint('begun', flush=True)\nimport torch\n{rest}")
    for seconds in (0, 0.3, 0.9):
        process = start(
            script, env={"PYTHONPATH": str(project)}, preexec_fn=allow_interrupts, cwd=project
        )
        assert process.stdout.readline() == "begun\n"
        time.sleep(seconds)
        assert interrupt(process) == ("", "pytorch_mnist.py: interrupted\n")
        assert process.returncode == -signal.SIGINT


@posix
def test_a_prompt_after_ctrl_c_still_has_the_network(start):
    process = start(
        *("-i", PROJECT / "pytorch_mnist.py", "--seed", 1, "--hidden-size", 7),
        preexec_fn=allow_interrupts,
        stdin=subprocess.PIPE,
    )
    assert process.stdout.readline().startswith("Epoch [1/30], Step [100/6000], Loss: ")
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate("print(network.hidden_size)\n", timeout=60)
    assert stdout.splitlines()[-1] == "7"
    assert stderr.splitlines()[1] == "pytorch_mnist.py: interrupted"
    assert process.returncode == 0
