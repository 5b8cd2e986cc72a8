import pytest
import torch
from torch import nn

import common
from files import models


@pytest.fixture
def model():
    return nn.Linear(3, 2)


def test_a_saved_model_is_restored_bit_for_bit(model, tmp_path):
    file = tmp_path / "model.pt"
    models.save_model(model, file)
    restored = nn.Linear(3, 2)
    restored.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(restored.weight, model.weight)
    assert torch.equal(restored.bias, model.bias)
    assert list(tmp_path.iterdir()) == [file]


def test_load_network_fills_the_network(model, tmp_path):
    models.save_model(model, tmp_path / "model.pt")
    restored = nn.Linear(3, 2)
    assert common.load_network(restored, tmp_path / "model.pt") is restored
    assert torch.equal(restored.weight, model.weight)


def test_load_network_refuses_other_files(model, tmp_path):
    file = tmp_path / "model.pt"
    models.save_model(model, file)
    with pytest.raises(ValueError, match=r"weight has the shape \[2, 3\], not \[2, 4\]"):
        common.load_network(nn.Linear(4, 2), file)
    with pytest.raises(ValueError, match="bias has the shape"):
        common.load_network(nn.Linear(3, 2, bias=False), file)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        common.load_network(model, tmp_path / "missing.pt")
    torch.save({"weight": 1}, file)
    with pytest.raises(ValueError, match="no network's state_dict"):
        common.load_network(model, file)
    file.write_bytes(b"PK, but no zip file")
    with pytest.raises(ValueError, match="is damaged"):
        common.load_network(model, file)


def test_a_home_folder_is_expanded(model, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    models.save_model(model, "~/model.pt")
    assert common.load_network(nn.Linear(3, 2), "~/model.pt").bias[0] == model.bias[0]
    assert [file.name for file in tmp_path.iterdir()] == ["model.pt"]
