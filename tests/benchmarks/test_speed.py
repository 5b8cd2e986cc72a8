import os
import sys

import pytest
import speed
from conftest import PROJECT


def read_table(text):
    """Return the rows of a Markdown table by their first cells."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines()[2:] if line]
    return {name: cells for name, *cells in rows}


def test_ratios_are_the_right_way_round():
    """The textbook's epochs take 8 s, the floor's 0.5; five networks together take 5 s."""
    by_hand, study = "backprop_manual_mnist.py", "the study, for each of five networks at once"
    names = [speed.TEXTBOOK, by_hand, study, speed.FLOOR]
    seconds = {name: [s, 9 * s, s] for name, s in zip(names, [8, 2, 5, 0.5], strict=True)}
    text = speed.format_table(seconds, num_steps=1000)
    assert text.startswith("| | times the textbook's speed | times the products alone | s/epoch |")
    assert read_table(text) == {
        speed.TEXTBOOK: ["1.0", "16.0", "8.00", "8000"],
        by_hand: ["4.0", "4.0", "2.00", "2000"],
        study: ["8.0", "2.0", "1.00", "1000"],
        speed.FLOOR: ["16.0", "1.0", "0.50", "500"],
    }


SCRIPT = """
import time
time.sleep(0.6)
for epoch in (1, 2, 3):
    print(f"Epoch [{epoch}/3], Step [100/200], Loss: 0.1")
    time.sleep(0.2)
    print(f"Epoch [{epoch}/3], Step [200/200], Loss: 0.1", flush=True)
"""


def test_epochs_are_timed_from_outside_without_the_first():
    seconds = speed.time_epochs([sys.executable, "-c", SCRIPT], os.environ)
    assert len(seconds) == 2
    assert sum(seconds) > 0.3


@pytest.mark.slow
def test_the_benchmark_runs_at_a_tiny_size(run):
    flags = ["--rounds", "1", "--epochs", "2", "--batch-size", "2000", "--only", speed.TEXTBOOK]
    result = run(PROJECT / "benchmarks" / "speed.py", *flags, timeout=300)
    assert result.returncode == 0
    table, _, machine = result.stdout.partition("\n\n")
    assert list(read_table(table)) == [speed.TEXTBOOK, speed.FLOOR]
    for *_, per_epoch, per_step in read_table(table).values():
        assert float(per_step) * 30 / 1e6 == pytest.approx(float(per_epoch), abs=0.01)
    assert machine.startswith("Medians of 1 rounds of 2 epochs")
