import pytest
from conftest import PROJECT


@pytest.mark.slow
def test_the_benchmark_runs_at_a_tiny_size(run):
    flags = ["--sizes", "1", "3", "--rounds", "1", "--images", "200"]
    result = run(PROJECT / "benchmarks" / "stacked.py", *flags)
    assert result.returncode == 0
    rows = [line.split("|")[1:4] for line in result.stdout.splitlines()[2:]]
    assert [row[0].strip() for row in rows] == ["alone", "1", "3"]
    assert rows[0][2].strip() == "1.00"
    assert all(float(cell) > 0 for row in rows for cell in row[1:])
