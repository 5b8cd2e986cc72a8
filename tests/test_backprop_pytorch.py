import runpy

import pytest
import torch
from conftest import PROJECT
from test_backprop_manual_calculation import LINES

import backprop_manual_calculation as manual
import backprop_pytorch

TOPOLOGY = """\
network topology: Net(
  (hidden_layer): Linear(in_features=1, out_features=1, bias=True)
  (output_layer): Linear(in_features=1, out_features=1, bias=True)
)
"""


def test_prints_the_topology_and_the_manual_script_s_lines(capsys):
    runpy.run_path(str(PROJECT / "backprop_pytorch.py"), run_name="__main__")
    assert capsys.readouterr() == (TOPOLOGY + LINES, "")


def test_a_step_in_float64_is_the_manual_one():
    net = backprop_pytorch.Net(**manual.INITIAL_PARAMETERS).double()
    # Linear was filled in float32, so start both from what it holds.
    w_l1, b_l1, w_l2, b_l2 = (parameter.item() for parameter in net.parameters())
    parameters = {"w_l1": w_l1, "b_l1": b_l1, "w_l2": w_l2, "b_l2": b_l2}

    a_l0, target = torch.tensor([[0.8], [1.0]], dtype=torch.float64)
    backprop_pytorch.train_step(net, a_l0, target, step_size=0.3)
    expected = manual.update(parameters, manual.backprop(0.8, 1.0, **parameters), 0.3)

    updated = [parameter.item() for parameter in net.parameters()]
    assert updated == pytest.approx(list(expected.values()), rel=1e-12)
