from pathlib import Path

import torchvision
from conftest import PROJECT


def test_a_torchvision_of_another_torch_is_explained_in_one_line(run, tmp_path):
    # torchvision without its compiled operators: what is left of it beside the wrong torch,
    # as the operators then can't be loaded.
    broken = tmp_path / "site" / "torchvision"
    broken.mkdir(parents=True)
    for file in Path(torchvision.__file__).parent.iterdir():
        if file.suffix not in (".so", ".pyd", ".dylib"):
            (broken / file.name).symlink_to(file)

    result = run(PROJECT / "pytorch_mnist.py", env={"PYTHONPATH": f"{broken.parent}:{PROJECT}"})

    assert result.returncode == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert "torchvision::nms does not exist" in line
    assert "pip install --force-reinstall torch torchvision" in line
