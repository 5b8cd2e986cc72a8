import pandas as pd
import pytest
import torch
from conftest import PROJECT
from PIL import Image

import common
import pytorch_mnist_convnet
from common import RefusedError
from study import convnets


@pytest.fixture(autouse=True)
def training_size(small_mnist, monkeypatch):
    monkeypatch.setattr(convnets, "TRAINING_SIZE", 600)
    monkeypatch.setattr(common, "name_data", lambda dataset: "MNIST")


def train(log, experiment="simple", seed=1, epochs=2, **settings):
    design = convnets.EXPERIMENTS[experiment].design
    torch.manual_seed(seed)
    settings = {**design._asdict(), "epochs": epochs, "threads": 1, "log": log} | settings
    net = settings.pop("network")()
    return pytorch_mnist_convnet.run_network(net, test_each_epoch=True, **settings)


def create_results(accuracies, experiment="relu", inputs="0 to 1"):
    rows = {"experiment": experiment, "inputs": inputs, "epochs": 60, "accuracy": accuracies}
    return pd.DataFrame({**rows, "seed": range(len(accuracies)), "epoch": 60})


def test_a_learning_curve_is_that_of_the_training(tmp_path):
    result = train(tmp_path / "log.csv", "2conv", seed=4, normalize=True)
    curve = convnets.read_curve(tmp_path / "log.csv")
    assert curve["epoch"].tolist() == [1, 2]
    assert curve["accuracy"].iloc[-1] == pytest.approx(100 * result, abs=0.005)
    assert curve["seconds"].is_monotonic_increasing
    for name, value in {
        "experiment": "2conv", "inputs": "normalised", "seed": 4, "epochs": 2, "threads": 1,
        "device": "cpu", "torch": torch.__version__,
    }.items():  # fmt: skip
        assert set(curve[name]) == {value}


@pytest.mark.parametrize("experiment", ["relu", "relu --extend-data"])
def test_experiments_are_told_by_their_data(experiment, tmp_path):
    train(tmp_path / "log.csv", experiment, epochs=1)
    assert set(convnets.read_curve(tmp_path / "log.csv")["experiment"]) == {experiment}


def test_the_table_has_mean_and_range_beside_the_published_figures(tmp_path):
    single = create_results([99.0], "simple", "normalised")
    longer = create_results([99.31]).assign(epochs=90, epoch=90)
    broken_off = create_results([99.32], "final").assign(epoch=59)
    curves = pd.concat([broken_off, longer, create_results([99.20, 99.24, 99.30]), single])
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in convnets.format_table(
            convnets.add_earlier(curves, tmp_path / "none.csv")
        ).splitlines()[2:]
    ]
    assert rows == [
        ["simple", "normalised", "60", "1", "99.00", "-", "98.91", "-"],
        ["relu", "0 to 1", "60", "3", "99.25", "99.20 to 99.30", "99.26", "99.23"],
        ["relu", "0 to 1", "90", "1", "99.31", "-", "99.26", "99.23"],
    ]


def test_what_did_not_go_on_to_its_end_is_drawn_and_not_in_the_table(tmp_path, monkeypatch, capsys):
    whole, broken_off = str(tmp_path / "whole.csv"), tmp_path / "broken_off.csv"
    train(whole)
    train(broken_off, "relu")
    lines = broken_off.read_text().splitlines(keepends=True)
    broken_off.write_text("".join(lines[:3]))
    folder = tmp_path / "results"
    monkeypatch.setattr("sys.argv", ["convnets", whole, str(broken_off), "--results", str(folder)])
    capsys.readouterr()
    convnets.main()

    table = capsys.readouterr().out
    assert table == (folder / "convnets.md").read_text()
    assert "simple" in table
    assert "relu" not in table
    curves = pd.read_csv(folder / "convnets.csv")
    assert curves.groupby("experiment")["epoch"].max().to_dict() == {"simple": 2, "relu": 1}
    with Image.open(folder / "convnets.png") as image:
        assert image.format == "PNG"

    panels = convnets.draw(curves).axes
    assert [axes.get_title() for axes in panels] == ["simple", "relu"]
    accuracies = curves[curves["experiment"] == "simple"]["accuracy"].tolist()
    assert panels[0].lines[0].get_xydata().tolist() == [[1, accuracies[0]], [2, accuracies[1]]]
    marks = {line.get_color(): line.get_ydata()[0] for line in panels[0].lines[1:]}
    assert marks == {convnets.COLOURS["0 to 1"]: 98.94, "black": 98.78}


def test_each_learning_curve_has_the_colour_of_its_inputs_in_the_legend():
    curves = pd.concat(
        create_results([accuracy] * 2, inputs=inputs).assign(seed=1, epoch=[1, 2])
        for inputs, accuracy in (("0 to 1", 99.1), ("normalised", 99.2))
    )
    figure = convnets.draw(curves)
    (legend,) = figure.legends
    colours = {
        text.get_text(): line.get_color()
        for text, line in zip(legend.get_texts(), legend.get_lines(), strict=True)
    }
    drawn = {
        line.get_ydata()[0]: line.get_color()
        for line in figure.axes[0].lines
        if len(line.get_ydata()) == 2
    }
    assert drawn == {99.1: colours["inputs 0 to 1"], 99.2: colours["inputs normalised"]}
    marks = {
        line.get_color(): line.get_ydata()[0]
        for line in figure.axes[0].lines
        if len(line.get_ydata()) == 1
    }
    zero_to_one, normalised = colours["inputs 0 to 1"], colours["inputs normalised"]
    assert marks == {zero_to_one: 99.26, normalised: 99.30, "black": 99.23}


@pytest.mark.parametrize(
    ("experiment", "settings"),
    [("simple", {"lr": 0.2}), ("simple", {"extend_data": True}), ("relu", {"batch_size": 20})],
)
def test_logs_of_other_experiments_are_refused(experiment, settings, tmp_path):
    train(tmp_path / "log.csv", experiment, epochs=1, **settings)
    with pytest.raises(RefusedError, match="is the log of none of the experiments simple, 2conv"):
        convnets.read_curve(tmp_path / "log.csv")


def test_logs_of_other_data_networks_optimizers_and_of_no_seed_are_refused(tmp_path):
    train(tmp_path / "log.csv", epochs=1)
    text = (tmp_path / "log.csv").read_text()
    for old, new, message in (
        ('"MNIST"]', '"83fe2a"]', "none of the experiments"),
        ("pytorch_mnist_convnet.ConvNetSimple", "pytorch_mnist.Net", "none of the experiments"),
        ('"momentum": 0', '"momentum": 0.9', "none of the experiments"),
        ('"seed": 1', '"seed": null', "names no seed"),
    ):
        assert text.count(old) == 1
        (tmp_path / "other.csv").write_text(text.replace(old, new))
        with pytest.raises(RefusedError, match=message):
            convnets.read_curve(tmp_path / "other.csv")


def test_a_log_without_tests_is_refused(tmp_path):
    train(tmp_path / "log.csv", epochs=1)
    lines = (tmp_path / "log.csv").read_text().splitlines()
    (tmp_path / "log.csv").write_text("\n".join([*lines[:2], ""]))
    with pytest.raises(RefusedError, match="has no tests yet"):
        convnets.read_curve(tmp_path / "log.csv")


def test_two_logs_of_one_seed_are_refused(tmp_path, monkeypatch):
    train(tmp_path / "log.csv", epochs=1)
    train(tmp_path / "normalised.csv", epochs=1, normalize=True)
    logs = [str(tmp_path / name) for name in ("log.csv", "normalised.csv", "log.csv")]
    settings = ["--results", str(tmp_path / "results")]
    monkeypatch.setattr("sys.argv", ["convnets", *logs, *settings])
    with pytest.raises(RefusedError, match="two logs are of the same"):
        convnets.main()
    monkeypatch.setattr("sys.argv", ["convnets", *logs[:2], *settings])
    convnets.main()


def test_the_committed_table_is_that_of_the_committed_curves():
    curves = pd.read_csv(PROJECT / "results" / "convnets.csv")
    table = convnets.format_table(curves)
    assert (PROJECT / "results" / "convnets.md").read_text(encoding="utf-8") == table
    pages = [page.read_text(encoding="utf-8") for page in (PROJECT / "docs").glob("*.md")]
    assert any(table in page for page in pages)


def test_what_goes_further_is_not_replaced(tmp_path):
    earlier = pd.read_csv(PROJECT / "results" / "convnets.csv")
    earlier.to_csv(tmp_path / "convnets.csv", index=False)
    text = (tmp_path / "convnets.csv").read_text()
    begun = earlier[(earlier["experiment"] == "simple") & (earlier["epoch"] < 5)]
    with pytest.raises(RefusedError, match=r"up to epoch 60, the log only up to 4"):
        convnets.add_earlier(begun, tmp_path / "convnets.csv")
    assert (tmp_path / "convnets.csv").read_text() == text


def test_trainings_of_an_earlier_table_are_kept(tmp_path):
    earlier = pd.read_csv(PROJECT / "results" / "convnets.csv")
    earlier.to_csv(tmp_path / "convnets.csv", index=False)
    new = earlier[earlier["experiment"] == "simple"].assign(accuracy=12.5)
    expected = earlier.copy()
    expected.loc[expected["experiment"] == "simple", "accuracy"] = 12.5
    both = convnets.add_earlier(new.sample(frac=1, random_state=1), tmp_path / "convnets.csv")
    pd.testing.assert_frame_equal(both.reset_index(drop=True), expected)
