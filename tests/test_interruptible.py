import signal
import time

import pytest
from conftest import PROJECT

SCRIPT = PROJECT / "pytorch_mnist.py"


def test_ctrl_c_ends_with_one_line_and_130(start):
    process = start(SCRIPT, *["--seed", "1", "--device", "cpu"])
    assert process.stdout.readline().startswith("Epoch [1/30], Step [100/6000]")
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == 130
    assert stderr.splitlines()[1:] == ["pytorch_mnist.py: interrupted"]


@pytest.mark.parametrize("seconds", [0.3, 1.0])
def test_so_does_ctrl_c_during_the_imports(start, seconds):
    process = start(SCRIPT, *["--seed", "1", "--device", "cpu"])
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=20)
    assert process.returncode == 130
    assert stdout == ""
    assert stderr.splitlines()[-1] == "pytorch_mnist.py: interrupted"
    assert "Traceback" not in stderr


def test_a_repl_keeps_its_own_ctrl_c(run):
    code = (
        "import signal, pytorch_mnist; "
        "print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    )
    assert run("-c", code, cwd=PROJECT).stdout == "True\n"
