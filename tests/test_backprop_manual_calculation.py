import numpy as np
import pytest
import torch
from conftest import PROJECT
from hypothesis import given
from hypothesis import strategies as st

import backprop_manual_calculation as manual

LINES = """\
w_l1 = 1.58
b_l1 = -0.14
w_l2 = 2.45
b_l2 = -0.11
a_l2 = 0.8506
updated_w_l1 = 1.5814
updated_b_l1 = -0.1383
updated_w_l2 = 2.4529
updated_b_l2 = -0.1062
updated_a_l2 = 0.8515
"""

NAMES = ("w_l1", "b_l1", "w_l2", "b_l2")
numbers = st.floats(-5, 5)
networks = st.fixed_dictionaries(dict.fromkeys(NAMES, numbers))


def test_prints_exactly_the_article_s_lines(run):
    result = run(PROJECT / "backprop_manual_calculation.py")
    assert (result.returncode, result.stdout, result.stderr) == (0, LINES, "")


def test_needs_no_torch_and_prints_nothing_on_import(run):
    code = "import sys, backprop_manual_calculation; assert 'torch' not in sys.modules"
    result = run("-c", code)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def cost(a_l0, y, parameters):
    *_, a_l2 = manual.feedforward(a_l0, **parameters)
    return (a_l2 - y) ** 2


@given(a_l0=numbers, y=numbers, parameters=networks)
def test_gradient_is_autograd_s_in_float64(a_l0, y, parameters):
    leaves = {
        name: torch.tensor(value, dtype=torch.float64, requires_grad=True)
        for name, value in parameters.items()
    }
    a_l1 = torch.sigmoid(leaves["w_l1"] * a_l0 + leaves["b_l1"])
    a_l2 = torch.sigmoid(leaves["w_l2"] * a_l1 + leaves["b_l2"])
    ((a_l2 - y) ** 2).backward()

    gradient = manual.backprop(a_l0, y, **parameters)

    assert gradient.keys() == leaves.keys()
    for name, leaf in leaves.items():
        assert gradient[name] == pytest.approx(leaf.grad.item(), rel=1e-12, abs=1e-12)


@given(a_l0=numbers, y=numbers, parameters=networks)
def test_gradient_is_the_finite_difference(a_l0, y, parameters):
    gradient = manual.backprop(a_l0, y, **parameters)
    step = 1e-5
    for name in NAMES:
        above = cost(a_l0, y, {**parameters, name: parameters[name] + step})
        below = cost(a_l0, y, {**parameters, name: parameters[name] - step})
        assert gradient[name] == pytest.approx((above - below) / (2 * step), rel=1e-5, abs=1e-8)


@given(y=st.floats(0, 1), parameters=networks)
def test_a_small_step_never_raises_the_cost(y, parameters):
    gradient = manual.backprop(0.8, y, **parameters)
    updated = manual.update(parameters, gradient, step_size=1e-3)
    assert cost(0.8, y, updated) <= cost(0.8, y, parameters) + 1e-15


def test_the_sigmoid_is_half_a_tanh():
    z = np.linspace(-30, 30, 61)
    np.testing.assert_allclose(manual.sigmoid(z), (1 + np.tanh(z / 2)) / 2, rtol=1e-12, atol=1e-15)


def test_update_leaves_the_old_parameters_alone():
    parameters = dict(manual.INITIAL_PARAMETERS)
    manual.update(parameters, manual.backprop(0.8, 1.0, **parameters), 0.1)
    assert parameters == manual.INITIAL_PARAMETERS
    assert np.isclose(manual.sigmoid_prime(0.0), 0.25)
