import pandas as pd
import pytest
import torch

import pytorch_mnist
import pytorch_mnist_convnet
from study import convnets


def train(log, design="simple", seed=1, epochs=2, **settings):
    torch.manual_seed(seed)
    net = pytorch_mnist_convnet.DESIGNS[design].network()
    settings = {"batch_size": 60, "threads": 1, "test_each_epoch": True} | settings
    return pytorch_mnist_convnet.run_network(net, epochs=epochs, lr=0.1, log=log, **settings)


def create_results(accuracies, experiment="relu", inputs="0 to 1"):
    rows = {"experiment": experiment, "inputs": inputs, "epochs": 60, "accuracy": accuracies}
    return pd.DataFrame(rows)


def test_a_course_is_that_of_the_training(small_mnist, tmp_path):
    result = train(tmp_path / "log.csv", "2conv", seed=4, normalize=True)
    course = convnets.read_course(tmp_path / "log.csv")
    assert course["epoch"].tolist() == [1, 2]
    assert course["accuracy"].iloc[-1] == pytest.approx(100 * result, abs=0.005)
    assert course["seconds"].is_monotonic_increasing
    for name, value in {
        "experiment": "2conv", "inputs": "normalised", "seed": 4, "epochs": 2, "threads": 1,
        "device": "cpu", "torch": torch.__version__,
    }.items():  # fmt: skip
        assert set(course[name]) == {value}


def test_experiments_are_told_by_their_data(small_mnist, tmp_path, monkeypatch):
    monkeypatch.setattr(convnets, "TRAINING_SIZE", 600)
    train(tmp_path / "log.csv", epochs=1, extend_data=True)
    assert set(convnets.read_course(tmp_path / "log.csv")["experiment"]) == {"simple --extend-data"}
    assert convnets.name_experiment("final", True) == "final"


def test_the_table_has_mean_and_range_beside_the_published_figures():
    single = create_results([99.0], "simple", "normalised")
    longer = create_results([99.31]).assign(epochs=90)
    results = pd.concat([longer, create_results([99.20, 99.24, 99.30]), single])
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in convnets.format_table(results).splitlines()[2:]
    ]
    assert rows == [
        ["simple", "normalised", "60", "1", "99.00", "-", "98.91", "-"],
        ["relu", "0 to 1", "60", "3", "99.25", "99.20 to 99.30", "99.26", "99.23"],
        ["relu", "0 to 1", "90", "1", "99.31", "-", "99.26", "99.23"],
    ]


def test_what_did_not_go_on_to_its_end_is_drawn_and_not_in_the_table(
    small_mnist, tmp_path, monkeypatch, capsys
):
    whole, broken_off = str(tmp_path / "whole.csv"), tmp_path / "broken_off.csv"
    train(whole)
    train(broken_off, "relu")
    lines = broken_off.read_text().splitlines(keepends=True)
    broken_off.write_text("".join(lines[:3]))
    folder = tmp_path / "results"
    monkeypatch.setattr(
        "sys.argv", ["convnets", whole, str(broken_off), whole, "--results", str(folder)]
    )
    capsys.readouterr()
    convnets.main()

    table = capsys.readouterr().out
    assert table == (folder / "convnets.md").read_text()
    assert "simple" in table
    assert "relu" not in table
    courses = pd.read_csv(folder / "convnets.csv")
    assert courses.groupby("experiment")["epoch"].max().to_dict() == {"simple": 2, "relu": 1}
    panels = convnets.draw(courses).axes
    assert [axes.get_title() for axes in panels] == ["simple", "relu"]
    accuracies = courses[courses["experiment"] == "simple"]["accuracy"].tolist()
    assert panels[0].lines[0].get_xydata().tolist() == [[1, accuracies[0]], [2, accuracies[1]]]


def test_other_logs_are_refused(small_mnist, tmp_path):
    pytorch_mnist.run_network(pytorch_mnist.Net(), epochs=1, log=tmp_path / "dense.csv")
    with pytest.raises(ValueError, match="is the log of no convolutional network"):
        convnets.read_course(tmp_path / "dense.csv")
    train(tmp_path / "log.csv", epochs=1)
    lines = (tmp_path / "log.csv").read_text().splitlines()
    (tmp_path / "untested.csv").write_text("\n".join(lines[:2]))
    with pytest.raises(ValueError, match="has no tests yet"):
        convnets.read_course(tmp_path / "untested.csv")
