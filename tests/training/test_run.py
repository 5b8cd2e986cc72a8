import pytest
import torch

import pytorch_mnist
from training import run


def test_threads_are_used_within_the_block_only():
    before = torch.get_num_threads()
    with pytest.raises(KeyError), run.use_threads(before + 1):
        assert torch.get_num_threads() == before + 1
        raise KeyError
    assert torch.get_num_threads() == before


def test_testing_each_epoch_leaves_the_training_as_it_is(capsys):
    def train(**settings):
        torch.manual_seed(2)
        net = pytorch_mnist.Net()
        result = pytorch_mnist.run_network(net, epochs=3, batch_size=500, **settings)
        return list(net.parameters()), result, capsys.readouterr().out.splitlines()

    parameters, result, lines = train()
    tested_parameters, tested_result, tested_lines = train(test_each_epoch=True)

    assert all(map(torch.equal, parameters, tested_parameters))
    assert result == tested_result
    results = [line for line in tested_lines if line.startswith("Test data results")]
    assert len(results) == 4
    assert results[2] == results[3]
    assert [line for line in tested_lines if line not in results[:3]] == [
        line for line in lines if line not in results[:3]
    ]
    assert tested_lines[2].startswith("Test data results")  # after the first epoch's two lines


def test_settings_that_would_change_the_training_are_refused(tmp_path):
    net = pytorch_mnist.Net()
    file = tmp_path / "file"
    pytorch_mnist.run_network(net, epochs=1, batch_size=1000, checkpoint=file)
    for settings in ({"lr": 2.0}, {"batch_size": 500}, {"compile": True}, {"extend_data": True}):
        with pytest.raises(ValueError, match=next(iter(settings)).replace("compile", "backprop")):
            pytorch_mnist.run_network(
                net, checkpoint=file, **{"epochs": 2, "batch_size": 1000, **settings}
            )


def test_a_checkpoint_in_a_missing_folder_is_refused_before_the_training(capsys):
    with pytest.raises(OSError, match="there is no folder"):
        pytorch_mnist.run_network(pytorch_mnist.Net(), checkpoint="no/folder/file")
    assert capsys.readouterr().out == ""
