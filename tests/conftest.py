"""What the tests share: the project's folder, its scripts as processes, data and batches.

PyTorch is imported where it is used: the process that hands the tests out has no need of it.
"""

import contextlib
import functools
import gzip
import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pytest
from filelock import FileLock

PROJECT = Path(__file__).resolve().parent.parent
CLOSED_PORT = "http://127.0.0.1:9/"  # "discard": nothing listens there
# Sent through a proxy that isn't there, every download fails, as without a network.
NO_NETWORK = {"http_proxy": CLOSED_PORT, "https_proxy": CLOSED_PORT, "no_proxy": ""}

TRACKED = []
if (PROJECT / ".git").exists() and shutil.which("git"):  # else it is an unpacked archive
    command = ["git", "ls-files", "*.py"]  # it fails in a clone of another owner
    TRACKED = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True).stdout.split()
# The project's own; a reader's lie beside them, untracked.
FILES = [file for file in TRACKED if not file.startswith(("tests/", "benchmarks/"))]
needs_git = pytest.mark.skipif(not FILES, reason="needs git's list of files")


@pytest.fixture(scope="session", autouse=True)
def compute_on_one_thread():
    """As the scripts do; more would wait for each other on a busy machine."""
    import torch

    torch.set_num_threads(1)


def allow_interrupts():  # a job in a shell's background ignores SIGINT, and so would these
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def start(tmp_path):
    """Return a function that starts `python *arguments` in an empty folder, as a Popen."""
    processes = []

    def start(*arguments, cwd=tmp_path, env=None, **settings):
        variables = {**os.environ, "PYTHONPATH": str(PROJECT), **(env or {})}
        process = subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            cwd=cwd,
            env={name: value for name, value in variables.items() if value is not None},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=None if os.name == "nt" else allow_interrupts,
            **settings,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.terminate()  # a launcher then ends its workers, too
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()


@pytest.fixture
def run(start):
    """Return a function that runs `python *arguments`: its status, stdout and stderr."""

    def run(*arguments, timeout=100, **settings):
        process = start(*arguments, **settings)
        stdout, stderr = process.communicate(timeout=timeout)
        return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)

    return run


def get_shared_folder(tmp_path_factory):
    """Return the session's own folder, the same one for all of pytest-xdist's workers."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The home folder, which `~` stands for: the test's own."""
    for name in ("HOME", "USERPROFILE"):  # Windows'
        monkeypatch.setenv(name, str(tmp_path))
    return tmp_path


ONE_EPOCH = "--epochs 1 --batch-size 40 --seed 3 --device cpu"


@pytest.fixture(scope="session")
def one_epoch(tmp_path_factory):
    """`pytorch_mnist.py` run for an epoch in an empty folder, offline: stdout, stderr, folder.

    It runs once, for all of pytest-xdist's workers.
    """
    folder = get_shared_folder(tmp_path_factory) / "one_epoch"
    flags = [*ONE_EPOCH.split(), "--save-model", "model.pt"]
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            folder.mkdir()
            process = subprocess.run(
                [sys.executable, PROJECT / "pytorch_mnist.py", *flags],
                cwd=folder,
                env={**os.environ, **NO_NETWORK},
                capture_output=True,
                text=True,
                check=True,
            )
            left = [file.name for file in folder.iterdir()]
            (folder / "result.json").write_text(json.dumps([process.stdout, process.stderr, left]))
        stdout, stderr, left = json.loads((folder / "result.json").read_text())
    return SimpleNamespace(stdout=stdout, stderr=stderr, left=left, model=folder / "model.pt")


@pytest.fixture
def run_script(monkeypatch):
    """Return a function that runs a script of the project with flags, in this process."""

    def run_script(script, *flags):
        monkeypatch.setattr(sys, "argv", [str(script), *map(str, flags)])
        return runpy.run_path(str(PROJECT / script), run_name="__main__")

    return run_script


@pytest.fixture(scope="session")
def network():
    """The network that comes along."""
    from handwriting import DIGITS
    from training import saved

    return saved.load(DIGITS)


def cut(dataset, num_images):
    """Keep the first images of an MNIST data set, with their labels; return the data set."""
    dataset.data = dataset.data[:num_images].clone()
    dataset.targets = dataset.targets[:num_images].clone()
    return dataset


keep_answers = functools.cache(functools.cache)  # of a function, in one cache for all tests


@pytest.fixture
def small_mnist(monkeypatch):
    """Cut what `common.get_dataset` returns down to 600 images: 60 steps an epoch.

    The project's files are unpacked once for all tests, which takes longer than such an epoch.
    """
    import common

    monkeypatch.setattr(common, "read_idx", keep_answers(common.read_idx))
    get_dataset = common.get_dataset

    def get_small_dataset(*args, **settings):
        with patch.object(common, "name_data", return_value="MNIST"):  # a hash of 47 MB
            return cut(get_dataset(*args, **settings), 600)

    monkeypatch.setattr(common, "get_dataset", get_small_dataset)


@pytest.fixture(scope="session")
def textbook_root(tmp_path_factory):
    """A data folder with MNIST unpacked, as torchvision's own `datasets.MNIST` reads it.

    It is unpacked once, for all of pytest-xdist's workers; the project's own folder is left alone.
    """
    root = get_shared_folder(tmp_path_factory) / "textbook"
    raw_folder = root / "MNIST" / "raw"
    with FileLock(f"{root}.lock"):
        if not raw_folder.exists():
            raw_folder.mkdir(parents=True)
            for packed in (PROJECT / "data" / "MNIST" / "raw").glob("*.gz"):
                with gzip.open(packed) as source, open(raw_folder / packed.stem, "wb") as target:
                    shutil.copyfileobj(source, target)
    return root


@contextlib.contextmanager
def full_disk(num_bytes):
    """Let no file grow beyond so many bytes within a `with` block, as on a full disk."""
    resource = pytest.importorskip("resource", reason="Windows has no such limit")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
