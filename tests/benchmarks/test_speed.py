import json

import pytest
from conftest import PROJECT


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
        assert run_["start_up_s"] > 0
        assert f"| {row['epoch_s']:.2f} |" in result.stdout
    assert summary["textbook pipeline"]["times_faster_than_textbook"] == 1
    assert summary["matrix products alone"]["times_slower_than_floor"] == 1
    assert report["machine"]["cores"] >= 1
