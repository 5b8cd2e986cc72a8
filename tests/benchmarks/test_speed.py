import json
import os
import sys

import pytest
from conftest import PROJECT

sys.path.insert(0, str(PROJECT / "benchmarks"))
import speed


def test_ratios_are_the_right_way_round():
    """The textbook's epochs take 8 s, the floor's 0.5; five networks together take 5 s."""
    names = [speed.TEXTBOOK, "pytorch_mnist.py", speed.FLOOR]
    names.append("reproduce.py, for each of five networks at once")
    runs = {
        name: [
            {"epochs_s": [s, 9 * s, s], "first_epoch_s": s + 3, "peak_memory_mb": 300}
            for _ in range(3)
        ]
        for name, s in zip(names, [8, 2, 0.5, 5], strict=True)
    }
    summary = speed.summarise(runs, num_steps=1000)
    ratios = {
        name: (row["epoch_s"], row["times_faster_than_textbook"], row["times_slower_than_floor"])
        for name, row in summary.items()
    }
    expected = [(8, 1, 16), (2, 4, 4), (0.5, 16, 1), (1, 8, 2)]
    assert ratios == dict(zip(names, expected, strict=True))
    assert summary["pytorch_mnist.py"]["step_us"] == 2000
    rows = [line.strip("|").split(" | ") for line in speed.format_table(summary).splitlines()]
    assert [cell.strip() for cell in rows[0][4:6]] == ["speed-up", "products"]
    assert [cell.strip() for cell in rows[3][:6]] == [
        *["pytorch_mnist.py", "1", "2.00", "2000", "4.0", "4.0"]
    ]


SCRIPT = """
import time
time.sleep(0.3)
memory = bytearray(b"1") * 100_000_000
for epoch in (1, 2, 3):
    print(f"Epoch [{epoch}/3], Step [100/200], Loss: 0.1")
    print(f"Epoch [{epoch}/3], Step [200/200], Loss: 0.1", flush=True)
    time.sleep(0.1)
"""


def test_a_run_is_timed_from_outside():
    """The start stands apart, with the first epoch; the memory is the process's, in MB."""
    run = speed.time_run([sys.executable, "-c", SCRIPT], dict(os.environ))
    assert run["first_epoch_s"] > 0.3
    assert len(run["epochs_s"]) == 2
    assert min(run["epochs_s"]) > 0.05
    if os.name != "nt":
        assert 100 < run["peak_memory_mb"] < 10_000


def test_each_round_has_each_implementation_with_its_threads(monkeypatch):
    started = []

    def record(command, environment):
        started.append((" ".join(map(str, command[1:])), environment["OMP_NUM_THREADS"]))

    monkeypatch.setattr(speed, "time_run", record)
    names = [f"{speed.TEXTBOOK}, one thread", "backprop_manual_mnist.py", speed.FLOOR]
    monkeypatch.setitem(speed.IMPLEMENTATIONS, names[1], ([names[1]], 7, 1))
    runs = speed.measure(names, rounds=2, epochs=4, batch_size=20, textbook_root="mnist")
    assert {name: len(of) for name, of in runs.items()} == dict.fromkeys(names, 2)
    flags = "--epochs 4 --batch-size 20"
    for seed, of_round in ((1, started[:3]), (2, started[3:])):
        assert of_round == [
            (f"tests/textbook.py {flags} --seed {seed} --data-root mnist", "1"),
            (f"backprop_manual_mnist.py {flags} --seed {seed}", "7"),
            (f"benchmarks/matrix_products.py {flags}", "1"),
        ]


@pytest.mark.slow
def test_the_benchmark_runs_at_a_tiny_size(run, tmp_path):
    result = run(
        PROJECT / "benchmarks" / "speed.py",
        *["--rounds", "1", "--epochs", "2", "--batch-size", "2000", "--json", "speed.json"],
        *("--only", "textbook pipeline"),
    )
    assert result.returncode == 0

    report = json.loads((tmp_path / "speed.json").read_text())
    summary = report["summary"]
    assert list(summary) == ["textbook pipeline", "matrix products alone"]
    for name, row in summary.items():
        (run_,) = report["runs"][name]
        assert row["epoch_s"] == run_["epochs_s"][0] > 0
        assert row["step_us"] * 30 / 1e6 == pytest.approx(row["epoch_s"])
        assert row["peak_memory_mb"] > 100
        assert f"| {row['epoch_s']:.2f} |" in result.stdout
    assert report["machine"]["cores"] >= 1
