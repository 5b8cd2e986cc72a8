"""What the tests share: the project's folder, its scripts as processes, copies of the data."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
CLOSED_PORT = "http://127.0.0.1:9/"  # "discard": nothing listens there
# Sent through a proxy that isn't there, every download fails, as without a network.
NO_NETWORK = {"http_proxy": CLOSED_PORT, "https_proxy": CLOSED_PORT, "no_proxy": ""}


@pytest.fixture
def start(tmp_path):
    """Return a function that starts `python *arguments` in an empty folder, as a Popen."""
    processes = []

    def start(*arguments, cwd=tmp_path, env=None, **settings):
        process = subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(PROJECT), **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **settings,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def run(start):
    """Return a function that runs `python *arguments`: its status, stdout and stderr."""

    def run(*arguments, **settings):
        process = start(*arguments, **settings)
        stdout, stderr = process.communicate(timeout=100)
        return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)

    return run


@pytest.fixture
def packed_root(tmp_path):
    """A data folder as a fresh checkout has it: the four .gz files, nothing unpacked."""
    root = tmp_path / "packed"
    raw_folder = root / "MNIST" / "raw"
    raw_folder.mkdir(parents=True)
    for archive in (PROJECT / "data" / "MNIST" / "raw").glob("*.gz"):
        shutil.copy(archive, raw_folder)
    return root
