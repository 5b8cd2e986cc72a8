import sys

import pytest
import speed
from conftest import PROJECT


def read_table(text):
    """Return the rows of a Markdown table by their first cells."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines()[2:] if line]
    return {name: cells for name, *cells in rows}


def test_ratios_are_the_right_way_round():
    """The textbook's epochs take 8 s, five networks' together 5 s."""
    by_hand, study = "backprop_manual_mnist.py", "the study, for each of five networks at once"
    names = [speed.TEXTBOOK, by_hand, study]
    seconds = {name: [s, 9 * s, s] for name, s in zip(names, [8, 2, 5], strict=True)}
    text = speed.format_table(seconds)
    assert text.startswith("| | times the textbook's speed | s/epoch |")
    assert read_table(text) == {
        speed.TEXTBOOK: ["1.0", "8.00", "1333"],
        by_hand: ["4.0", "2.00", "333"],
        study: ["8.0", "1.00", "167"],
    }


SCRIPT = """
import time
time.sleep(0.3)
for epoch in (1, 2, 3):
    print(f"Epoch [{epoch}/3], Step [100/200], Loss: 0.1")
    time.sleep(0.06)
    print(f"Epoch [{epoch}/3], Step [200/200], Loss: 0.1", flush=True)
"""


def test_epochs_are_timed_from_outside_without_the_first():
    seconds = speed.time_epochs([sys.executable, "-c", SCRIPT])
    assert len(seconds) == 2
    assert sum(seconds) > 0.1


@pytest.mark.slow
def test_the_benchmark_runs(run):
    result = run(PROJECT / "benchmarks" / "speed.py", "--rounds=1", "--epochs=2", timeout=600)
    assert result.returncode == 0
    table, _, machine = result.stdout.partition("\n\n")
    assert list(read_table(table)) == list(speed.IMPLEMENTATIONS)
    for *_, per_epoch, per_step in read_table(table).values():
        assert float(per_step) * 6000 / 1e6 == pytest.approx(float(per_epoch), abs=0.01)
    assert machine.startswith("Medians of 1 rounds of 2 epochs")
