"""The study as real processes: killed, damaged, shared out among ranks that may die."""

import argparse
import json
import os
import signal
import socket
import time

import pytest
from conftest import PROJECT

import reproduce
from study import variants

# Two tasks of a second each, as far as training goes
SMALL_STUDY = ["--seeds=1", "--epochs=1", "--device=cpu", "--variants", "article", "data"]
TORCHRUN = ["-m", "torch.distributed.run"]  # what `torchrun` starts
SCRIPT = PROJECT / "reproduce.py"


@pytest.fixture(scope="session")
def expected_accuracies():
    return {
        name: variants.train(name, [1], epochs=1)[0]["accuracy"] for name in ("article", "data")
    }


def find_results(folder):
    return list(folder.glob("*-seed-*.json"))


def read_accuracies(folder):
    results = [json.loads(file.read_text()) for file in find_results(folder)]
    assert {result["seed"] for result in results} == {1}
    return {result["variant"]: result["accuracy"] for result in results}


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def find_workers(launcher):
    """Return the processes that a torchrun has started."""
    children = f"/proc/{launcher.pid}/task/{launcher.pid}/children"
    with open(children) as file:
        return [int(pid) for pid in file.read().split()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("3", [1, 2, 3]), ("5-7", [5, 6, 7]), ("4-4", [4]), ("0-1", [0, 1])],
)
def test_seeds(text, expected):
    assert list(reproduce.parse_seeds(text)) == expected


@pytest.mark.parametrize("text", ["0", "-3", "7-5", "a", "1-b", "", "1.5", "1000000", "1-1000000"])
def test_unusable_seeds_are_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="neither a number of seeds nor a range"):
        reproduce.parse_seeds(text)


def test_tasks_are_all_units_once_and_of_one_variant_each():
    units = [(variant, seed) for variant in ("a", "b") for seed in range(7)] + [("c", 9)]
    tasks = reproduce.create_tasks(units, 3)
    assert [(variant, seed) for variant, seeds in tasks for seed in seeds] == units
    assert [len(seeds) for _, seeds in tasks] == [3, 3, 1, 3, 3, 1, 1]


def test_a_killed_study_goes_on_where_it_was(start, run, tmp_path, expected_accuracies):
    first = tmp_path / "reproduction" / "article-manual-1-epochs-seed-1.json"
    second = tmp_path / "reproduction" / "data-manual-1-epochs-seed-1.json"
    process = start(SCRIPT, *SMALL_STUDY)
    wait_for(first.exists)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not second.exists()
    written = first.stat().st_mtime_ns
    second.write_text('{"variant": "data", "se')  # as another program might leave it

    result = run(SCRIPT, *SMALL_STUDY)
    assert result.returncode == 0
    assert f"{second.relative_to(tmp_path)} is not a whole result" in result.stderr
    assert first.stat().st_mtime_ns == written
    assert read_accuracies(first.parent) == expected_accuracies
    header, article, data = result.stdout.splitlines()
    assert header.split()[:4] == ["variant", "n", "epochs", "mean"]
    for line, name in ((article, "article"), (data, "data")):
        assert line.split()[:4] == [name, "1", "1", f"{100 * expected_accuracies[name]:.2f}"]
    made = {file.name for file in first.parent.iterdir()} - {first.name, second.name}
    assert made - {".lock"} == {
        "summary.md",
        "summary.csv",
        "runs.csv",
        "runs.png",
        "epochs.png",
        "digits.png",
    }


def test_a_rank_that_dies_is_restarted_and_loses_only_what_it_was_at(start, tmp_path):
    folder = tmp_path / "reproduction"
    flags = ["--standalone", "--nproc-per-node=2", "--max-restarts=1"]
    names = ["article", "data", "cost"]  # of three tasks, one is still to do or at work
    process = start(*TORCHRUN, *flags, SCRIPT, *SMALL_STUDY, "--variants", *names)
    wait_for(lambda: find_results(folder))
    killed = find_workers(process)[1]
    os.kill(killed, signal.SIGKILL)
    finished = {file: file.stat().st_mtime_ns for file in find_results(folder)}
    stdout, stderr = process.communicate(timeout=100)

    assert process.returncode == 0, stderr
    assert "exitcode: -9" in stderr
    assert {file: file.stat().st_mtime_ns for file in finished} == finished
    assert read_accuracies(folder).keys() == set(names)
    assert len(stdout.splitlines()) == 1 + len(names)


def test_two_launchers_meet_as_two_nodes(start, tmp_path, expected_accuracies):
    """Each has a folder of its own, as machines without a shared disk; rank 0's has all results."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    flags = ["--nnodes=2", "--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{port}"]
    folders = [tmp_path / "a", tmp_path / "b"]
    processes = [
        start(*TORCHRUN, *flags, SCRIPT, *SMALL_STUDY, "--results", folder) for folder in folders
    ]
    outputs = [process.communicate(timeout=100) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs

    accuracies = [read_accuracies(folder) for folder in folders]
    assert sorted(map(len, accuracies)) == [1, 2]
    assert max(accuracies, key=len) == expected_accuracies
    (report,) = [stdout for stdout, _ in outputs if stdout]
    assert [line.split()[0] for line in report.splitlines()] == ["variant", "article", "data"]
