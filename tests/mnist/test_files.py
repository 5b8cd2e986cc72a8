import contextlib
import ctypes
import functools
import gzip
import hashlib
import http.server
import os
import resource
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest
import torch
from conftest import CLOSED_PORT, NO_NETWORK, PROJECT
from torchvision import datasets

import common
from mnist import files as mnist_files

FILES = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
IMAGES, LABELS = "t10k-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.fixture
def no_network(monkeypatch):
    monkeypatch.setattr(datasets.MNIST, "mirrors", [CLOSED_PORT])


@pytest.fixture
def mirror(monkeypatch):
    """A server of the real archives on this machine; returns the set of what was asked for."""
    requests = set()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            requests.add(self.path)
            # torchvision asks twice: it hangs up on the first answer, a probe for redirects.
            with contextlib.suppress(ConnectionError):
                super().do_GET()

        def log_message(self, *arguments):
            pass

    directory = PROJECT / "data" / "MNIST" / "raw"
    handler = functools.partial(Handler, directory=directory)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setattr(datasets.MNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
        yield requests
        server.shutdown()


def md5s(root):
    folder = root / "MNIST" / "raw"
    return {name: hashlib.md5((folder / name).read_bytes()).hexdigest() for name in FILES}


def names(root):
    return {file.name for file in (root / "MNIST" / "raw").iterdir()}


def truncate(file):
    os.truncate(file, file.stat().st_size // 2)


def flip_a_byte(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def empty(file):
    file.write_bytes(b"")


def test_a_fresh_checkout_is_unpacked_without_a_network(packed_root, no_network):
    dataset = common.get_dataset(packed_root)
    assert len(dataset) == 60000
    assert md5s(packed_root) == FILES
    assert names(packed_root) - {".lock"} == {*FILES, *(f"{name}.gz" for name in FILES)}


@pytest.mark.parametrize("damage", [truncate, flip_a_byte, empty, os.remove])
@pytest.mark.parametrize("name", [IMAGES, LABELS])
def test_a_damaged_file_is_made_anew_from_its_archive(packed_root, no_network, damage, name):
    common.get_dataset(packed_root)
    damage(packed_root / "MNIST" / "raw" / name)
    common.get_dataset(packed_root)
    assert md5s(packed_root) == FILES


def test_intact_files_are_only_read(packed_root, no_network):
    common.get_dataset(packed_root)
    folder = packed_root / "MNIST" / "raw"
    before = {name: (folder / name).stat().st_mtime_ns for name in FILES}
    common.get_dataset(packed_root, train=False)
    assert {name: (folder / name).stat().st_mtime_ns for name in FILES} == before


@pytest.mark.parametrize("damage", [truncate, flip_a_byte, os.remove])
def test_a_damaged_archive_is_downloaded_anew(packed_root, mirror, damage):
    archive = packed_root / "MNIST" / "raw" / f"{IMAGES}.gz"
    damage(archive)
    common.get_dataset(packed_root)
    assert md5s(packed_root) == FILES
    assert mirror == {f"/{IMAGES}.gz"}
    assert gzip.decompress(archive.read_bytes())


def test_a_damaged_archive_does_no_harm_beside_intact_files(packed_root, no_network):
    common.get_dataset(packed_root)
    truncate(packed_root / "MNIST" / "raw" / f"{IMAGES}.gz")
    assert len(common.get_dataset(packed_root, train=False)) == 10000


def test_an_empty_folder_is_filled_from_the_network(tmp_path, mirror):
    common.get_dataset(tmp_path / "new")
    assert md5s(tmp_path / "new") == FILES
    assert mirror == {f"/{name}.gz" for name in FILES}


def test_no_data_and_no_network_is_an_error_that_leaves_nothing(tmp_path, no_network):
    root = tmp_path / "not" / "there"
    with pytest.raises(RuntimeError, match="missing or damaged") as caught:
        common.get_dataset(root)
    message = str(caught.value)
    assert all(name in message for name in FILES)
    assert str(root / "MNIST" / "raw") in message
    assert "git checkout" in message
    assert "\n" not in message
    assert list(tmp_path.iterdir()) == []


def test_a_script_tells_of_missing_data_in_one_line(run, tmp_path):
    arguments = ("--data-root", tmp_path / "empty", "--seed", 1, "--device", "cpu")
    result = run(PROJECT / "pytorch_mnist.py", *arguments, env=NO_NETWORK)
    assert (result.returncode, result.stdout) == (1, "")
    _seed_line, line = result.stderr.splitlines()
    assert line.startswith("pytorch_mnist.py: error: MNIST files missing or damaged")
    assert all(name in line for name in FILES)


def test_download_false_reads_no_damaged_file(packed_root, no_network):
    with pytest.raises(RuntimeError, match="download=False"):
        common.get_dataset(packed_root, download=False)
    common.get_dataset(packed_root)
    flip_a_byte(packed_root / "MNIST" / "raw" / IMAGES)
    with pytest.raises(RuntimeError, match=f"damaged: {IMAGES} in"):
        common.get_dataset(packed_root, download=False)


def drop_root_s_right_to_write_anywhere():
    if os.geteuid() != 0:
        return
    PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)


def get_dataset_as_a_process(run, root, **settings):
    code = f"import common; print(len(common.get_dataset({str(root)!r})))"
    return run("-c", code, env=NO_NETWORK, **settings)


def read_only(root):
    (root / "MNIST" / "raw").chmod(0o555)
    return {"preexec_fn": drop_root_s_right_to_write_anywhere}


def test_a_read_only_folder_without_unpacked_files_is_explained(run, packed_root):
    result = get_dataset_as_a_process(run, packed_root, **read_only(packed_root))
    assert result.returncode == 1
    line = result.stderr.splitlines()[-1]
    assert line.startswith("RuntimeError: MNIST files missing or damaged: ")
    assert all(name in line for name in FILES)
    assert "Permission denied" in line
    assert "make it writable" in line


def test_a_read_only_folder_with_unpacked_files_will_do(run, packed_root):
    common.get_dataset(packed_root)
    result = get_dataset_as_a_process(run, packed_root, **read_only(packed_root))
    assert (result.returncode, result.stdout) == (0, "60000\n")


def test_a_full_disk_leaves_no_half_file(run, packed_root):
    def fill_disk():
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000_000, 10_000_000))

    result = get_dataset_as_a_process(run, packed_root, preexec_fn=fill_disk)
    assert result.returncode == 1
    assert "File too large" in result.stderr.splitlines()[-1]
    assert "train-images-idx3-ubyte" not in names(packed_root)
    common.get_dataset(packed_root)
    assert md5s(packed_root) == FILES


UNPACK_AT_ONCE = """
import sys, common
print("ready", flush=True)
sys.stdin.readline()
dataset = common.get_dataset(sys.argv[1])
print(int(dataset.data.sum()), int(dataset.targets.sum()))
"""


def test_processes_that_start_at_once_do_not_trip_over_each_other(start, packed_root):
    processes = [
        start("-c", UNPACK_AT_ONCE, packed_root, stdin=-1, env=NO_NETWORK) for _ in range(2)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    results = [process.communicate(timeout=60) for process in processes]

    dataset = common.get_dataset()
    line = f"{int(dataset.data.sum())} {int(dataset.targets.sum())}\n"
    assert results == [(line, "")] * 2
    assert md5s(packed_root) == FILES


def test_a_killed_first_run_is_repaired(start, packed_root, no_network):
    process = start("-c", UNPACK_AT_ONCE, packed_root, stdin=-1, env=NO_NETWORK)
    assert process.stdout.readline() == "ready\n"
    process.stdin.write("go\n")
    process.stdin.flush()
    images = packed_root / "MNIST" / "raw" / "train-images-idx3-ubyte"
    while not (images.exists() and images.stat().st_size):
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 0 < images.stat().st_size < 47040016

    assert len(common.get_dataset(packed_root)) == 60000
    assert md5s(packed_root) == FILES


def test_the_default_root_is_the_working_directory_s_or_the_project_s(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert mnist_files.find_root() == PROJECT / "data"
    (tmp_path / "data" / "MNIST").mkdir(parents=True)  # of something else
    assert mnist_files.find_root() == PROJECT / "data"
    shutil.copytree(PROJECT / "data", tmp_path / "data", dirs_exist_ok=True)
    assert mnist_files.find_root().resolve() == tmp_path / "data"
    assert mnist_files.find_root("data") == mnist_files.find_root("./data")
    assert common.get_dataset().raw_folder == str(Path("data", "MNIST", "raw"))
    assert torch.equal(common.get_dataset().data, common.get_dataset(PROJECT / "data").data)
