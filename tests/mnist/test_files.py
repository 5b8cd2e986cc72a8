import contextlib
import ctypes
import functools
import gzip
import hashlib
import http.server
import multiprocessing
import os
import shutil
import struct
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import CLOSED_PORT, NO_NETWORK, PROJECT, full_disk
from torchvision import datasets

import common
from mnist import files as mnist_files

MD5S = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
TRAIN_IMAGES, TRAIN_LABELS, IMAGES, LABELS = MD5S
CANONICAL = PROJECT / "data" / "MNIST" / "raw"


# What is on disk, before and after


def md5(file):
    return hashlib.md5(file.read_bytes()).hexdigest()


def snapshot(folder):
    """Return a hash of each file below a folder, by its path, but for empty lock files."""
    files = [file for file in folder.rglob("*") if file.is_file() and file.name != ".lock"]
    return {str(file.relative_to(folder)): hash(file.read_bytes()) for file in files}


@contextlib.contextmanager
def nothing_lost(folder):
    """Assert that each content is still there after a `with` block, under whatever name."""
    before = snapshot(folder)
    assert before
    yield
    assert set(before.values()) <= set(snapshot(folder).values())


@contextlib.contextmanager
def unchanged(folder):
    """Assert that not a name nor a byte is another one after a `with` block."""
    before = snapshot(folder)
    yield
    assert snapshot(folder) == before


def md5s(root):
    return {name: md5(root / "MNIST" / "raw" / name) for name in MD5S}


def names(root):
    return {file.name for file in (root / "MNIST" / "raw").iterdir()} - {".lock"}


# Other data in MNIST's format


def idx(array, type_code=8):
    header = struct.pack(f">HBB{array.ndim}I", 0, type_code, array.ndim, *array.shape)
    return header + array.tobytes()


@functools.cache
def real_images():
    content = gzip.decompress((CANONICAL / f"{IMAGES}.gz").read_bytes())
    return np.frombuffer(content, np.uint8, offset=16).reshape(10000, 28, 28)


def fashion_like(num_images, num_classes=10):
    """Return real images, inverted, with labels in turn, as IDX files."""
    labels = np.arange(num_images) % num_classes
    return idx(255 - real_images()[:num_images]), idx(labels.astype(np.uint8))


def write(folder, contents, packed=False):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content, 1))
        else:
            (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="session")
def other_data():
    """The contents of a small Fashion-like set, whose test part has MNIST's sizes."""
    return dict(zip(MD5S, [*fashion_like(100), *fashion_like(10000)], strict=True))


# Roots


@pytest.fixture
def other_root(tmp_path, other_data):
    """A data folder with a Fashion-like set, unpacked."""
    write(tmp_path / "other" / "MNIST" / "raw", other_data)
    return tmp_path / "other"


@pytest.fixture
def test_root(tmp_path, other_data):
    """A data folder with the canonical test part, unpacked beside its .gz; training: other."""
    root = tmp_path / "test"
    raw_folder = write(root / "MNIST" / "raw", {n: other_data[n] for n in MD5S if "train" in n})
    for name in (IMAGES, LABELS):
        shutil.copy(CANONICAL / f"{name}.gz", raw_folder)
        with gzip.open(raw_folder / f"{name}.gz") as packed:
            (raw_folder / name).write_bytes(packed.read())
    return root


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory):
    root = tmp_path_factory.mktemp("unpacked")
    shutil.copytree(CANONICAL, root / "MNIST" / "raw", ignore=shutil.ignore_patterns("*-ubyte"))
    return mnist_files.prepare(root)


@pytest.fixture
def unpacked_root(tmp_path, unpacked):
    """A data folder with MNIST, unpacked beside its .gz."""
    return shutil.copytree(unpacked, tmp_path / "unpacked")


# The network


@pytest.fixture
def no_network(monkeypatch):
    monkeypatch.setattr(datasets.MNIST, "mirrors", [CLOSED_PORT])


@pytest.fixture
def serve(monkeypatch):
    """Return a function that makes `handler` torchvision's only mirror."""
    with contextlib.ExitStack() as stack:

        def serve(handler):
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
            stack.enter_context(server)
            stack.callback(server.shutdown)
            threading.Thread(target=server.serve_forever, args=[0.01]).start()
            monkeypatch.setenv("no_proxy", "127.0.0.1")
            url = f"http://127.0.0.1:{server.server_port}/"
            monkeypatch.setattr(datasets.MNIST, "mirrors", [url])

        yield serve


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def mirror(serve):
    """A server of the real archives on this machine; returns the set of what was asked for."""
    requests = set()

    class Mirror(Handler):
        def do_GET(self):
            requests.add(self.path)
            # torchvision asks twice: it hangs up on the first answer, a probe for redirects.
            with contextlib.suppress(ConnectionError):
                super().do_GET()

    serve(functools.partial(Mirror, directory=CANONICAL))
    return requests


class BrokenOff(Handler):
    def do_GET(self):
        content = (CANONICAL / self.path.strip("/")).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(content[: len(content) // 2])


class LoginPage(Handler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(b"<html>Log in to the hotel's network</html>")


class NotFound(Handler):
    def do_GET(self):
        self.send_error(404)


class NotHTTP(Handler):
    def do_GET(self):
        self.wfile.write(b"this is no HTTP\r\n\r\n")


# Faults


def truncate(file):
    os.truncate(file, file.stat().st_size // 2)


def flip_a_byte(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def empty(file):
    file.write_bytes(b"")


def lengthen(file):
    file.write_bytes(file.read_bytes() + b"more")


def fails(root, error=RuntimeError, **settings):
    """Assert that `root` can't be read; return the error's message."""
    with pytest.raises(error) as caught:
        common.get_dataset(root, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Canonical files


def test_a_fresh_checkout_is_unpacked_without_a_network(packed_root, no_network):
    with nothing_lost(packed_root):
        assert len(common.get_dataset(packed_root)) == 60000
    assert md5s(packed_root) == MD5S
    assert names(packed_root) == {*MD5S, *(f"{name}.gz" for name in MD5S)}


def test_intact_files_are_only_read(unpacked_root, no_network, capsys):
    files = list((unpacked_root / "MNIST" / "raw").iterdir())
    before = [(file, file.stat()) for file in files if file.is_file()]
    truncate_archive = unpacked_root / "MNIST" / "raw" / f"{IMAGES}.gz"
    common.get_dataset(unpacked_root, train=False)
    assert [(file, file.stat().st_mtime_ns) for file, _ in before] == [
        (file, stat.st_mtime_ns) for file, stat in before
    ]
    truncate(truncate_archive)  # a damaged archive does no harm beside an intact file
    with unchanged(unpacked_root):
        assert len(common.get_dataset(unpacked_root, train=False)) == 10000
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("damage", [truncate, flip_a_byte, empty, lengthen, os.remove])
@pytest.mark.parametrize("name", [IMAGES, LABELS])
def test_a_damaged_file_is_restored_from_its_archive(test_root, mirror, capsys, damage, name):
    file = test_root / "MNIST" / "raw" / name
    damage(file)
    with nothing_lost(test_root):
        common.get_dataset(test_root, train=False)
    assert md5(file) == MD5S[name]
    line = f"{file} is restored; what it held before is in {name}.damaged\n"
    assert (line in capsys.readouterr().err) == (damage is not os.remove)
    assert not mirror


def test_what_was_set_aside_before_stays(test_root, no_network, capsys):
    file = test_root / "MNIST" / "raw" / LABELS
    for content in (b"first", b"second", b"third"):
        file.write_bytes(content)
        with nothing_lost(test_root):
            common.get_dataset(test_root)
    kept = [file.with_name(f"{LABELS}.damaged{suffix}") for suffix in ("", ".2", ".3")]
    assert [file.read_bytes() for file in kept] == [b"first", b"second", b"third"]
    assert f"{LABELS}.damaged.3\n" in capsys.readouterr().err


def test_a_folder_or_link_in_a_file_s_place_is_set_aside(test_root, no_network):
    raw_folder = test_root / "MNIST" / "raw"
    own_file = test_root / "own"
    own_file.write_bytes(b"mine")
    for name in (IMAGES, LABELS):
        (raw_folder / name).unlink()
    (raw_folder / IMAGES).mkdir()
    (raw_folder / IMAGES / "own").write_bytes(b"mine, too")
    (raw_folder / LABELS).symlink_to(own_file)
    with nothing_lost(test_root):
        common.get_dataset(test_root)
    assert own_file.read_bytes() == b"mine"
    assert (raw_folder / f"{LABELS}.damaged").is_symlink()
    assert [md5(raw_folder / name) for name in (IMAGES, LABELS)] == [MD5S[IMAGES], MD5S[LABELS]]


# Downloads


def test_a_missing_folder_is_filled_from_the_network(tmp_path, mirror):
    common.get_dataset(tmp_path / "new")
    assert md5s(tmp_path / "new") == MD5S
    assert mirror == {f"/{name}.gz" for name in MD5S}


@pytest.mark.parametrize("damage", [truncate, flip_a_byte])
def test_a_missing_file_with_a_damaged_archive_is_downloaded(unpacked_root, mirror, damage):
    file = unpacked_root / "MNIST" / "raw" / LABELS
    archive = file.with_name(f"{LABELS}.gz")
    file.unlink()
    damage(archive)
    with nothing_lost(unpacked_root):
        common.get_dataset(unpacked_root)
    assert mirror == {f"/{archive.name}"}
    assert md5s(unpacked_root) == MD5S
    assert md5(archive) == md5(CANONICAL / archive.name)
    assert f"{archive.name}.damaged" in names(unpacked_root)


def test_half_a_file_without_an_archive_is_downloaded(unpacked_root, mirror):
    file = unpacked_root / "MNIST" / "raw" / LABELS
    truncate(file)
    file.with_name(f"{LABELS}.gz").unlink()
    with nothing_lost(unpacked_root):
        common.get_dataset(unpacked_root)
    assert mirror == {f"/{LABELS}.gz"}
    assert md5s(unpacked_root) == MD5S


@pytest.mark.parametrize("handler", [BrokenOff, LoginPage, NotFound, NotHTTP])
def test_a_download_that_fails_leaves_what_was_there(tmp_path, serve, handler):
    serve(handler)
    name = TRAIN_IMAGES
    raw_folder = write(tmp_path / "MNIST" / "raw", {name: b"half", f"{name}.gz": b"half, too"})
    with unchanged(tmp_path):
        message = fails(tmp_path)
    assert message.startswith(f"{name} is damaged, its .gz is damaged, {TRAIN_LABELS} is missing, ")
    assert f" in {raw_folder}, and downloading {name}.gz failed (" in message


def test_without_a_network_an_empty_folder_stays_empty(tmp_path, no_network):
    with unchanged(tmp_path):
        message = fails(tmp_path)
    assert message.startswith(f"there are no MNIST files in {tmp_path / 'MNIST' / 'raw'}, and ")
    assert f"downloading {TRAIN_IMAGES}.gz failed" in message
    assert message.count("git checkout") == 1
    assert list(tmp_path.iterdir()) == []


def test_without_a_network_a_missing_folder_is_named_first_and_not_made(tmp_path, no_network):
    message = fails(tmp_path / "new")
    assert message.startswith(f"there is no folder {tmp_path / 'new'}, and no new one is left")
    assert list(tmp_path.iterdir()) == []


def test_a_mistyped_path_downloads_nothing(tmp_path, mirror):
    message = fails(tmp_path / "typo" / "data")
    assert message.startswith(f"there is no folder {tmp_path / 'typo' / 'data'}, nor ")
    assert list(tmp_path.iterdir()) == []
    assert not mirror


# Files in another place


@pytest.mark.parametrize(
    ("files_at", "given", "advice"),
    [
        ("data/MNIST/raw", "data/MNIST", "give the folder {}/data"),
        ("data/MNIST/raw", "data/MNIST/raw", "give the folder {}/data"),
        ("data/MNIST/raw", ".", "give the folder {}/data"),
        ("data", "data", "to {}/data/MNIST/raw/train-images-idx3-ubyte, and the others"),
        ("data/raw", "data", "to {}/data/MNIST/raw/train-images-idx3-ubyte, and the others"),
        ("data/MNIST", "data", "to {}/data/MNIST/raw/train-images-idx3-ubyte, and the others"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_files_in_another_place_are_pointed_out(tmp_path, mirror, files_at, given, advice, packed):
    small = dict(zip(MD5S, fashion_like(10) * 2, strict=True))
    write(tmp_path / files_at, small, packed)
    with unchanged(tmp_path):
        message = fails(tmp_path / given)
    found = tmp_path / files_at / (TRAIN_IMAGES + ".gz" * packed)
    assert f"but {found} exists: " in message
    assert advice.format(tmp_path) in message.replace("-ubyte.gz", "-ubyte")
    assert not mirror


@pytest.mark.parametrize("files_at", ["data/MNIST/raw", "data"])
def test_names_with_a_dot_are_pointed_out(tmp_path, mirror, files_at):
    small = zip(MD5S, fashion_like(10) * 2, strict=True)
    write(tmp_path / files_at, {name.replace("-idx", ".idx"): file for name, file in small})
    with unchanged(tmp_path):
        message = fails(tmp_path / "data")
    found = tmp_path / files_at / "train-images.idx3-ubyte"
    wanted = tmp_path / "data" / "MNIST" / "raw" / TRAIN_IMAGES
    assert f"{found} exists: move or rename it to {wanted}, and the others" in message
    assert not mirror


def test_a_name_with_a_dot_beside_the_archives_does_not_matter(test_root, no_network):
    raw_folder = test_root / "MNIST" / "raw"
    (raw_folder / IMAGES).rename(raw_folder / "t10k-images.idx3-ubyte")
    with nothing_lost(test_root):
        common.get_dataset(test_root)


# Other data in MNIST's format


@pytest.mark.parametrize("packed", [False, True])
def test_other_data_is_read_as_it_is(tmp_path, other_data, mirror, capsys, packed):
    root = tmp_path / "other"
    raw_folder = write(root / "MNIST" / "raw", other_data, packed)
    before = snapshot(root)
    for train, num_images in ((True, 100), (False, 10000)):
        dataset = common.get_dataset(root, train)
        assert torch.equal(dataset.data, torch.from_numpy(255 - real_images()[:num_images]))
        assert dataset.targets.tolist() == [index % 10 for index in range(num_images)]
    assert before.items() <= snapshot(root).items()
    assert names(root) == ({*MD5S, *(f"{name}.gz" for name in MD5S)} if packed else {*MD5S})
    (line,) = capsys.readouterr().err.splitlines()  # once, not for each part
    assert line == f"{raw_folder} isn't canonical MNIST ({', '.join(MD5S)}): it is read as it is"
    assert not mirror


def test_other_data_needs_no_lock_nor_download(other_root, no_network):
    with unchanged(other_root):
        common.get_dataset(other_root, download=False)
    assert not (other_root / "MNIST" / "raw" / ".lock").exists()


def test_a_changed_file_without_its_archive_is_other_data(test_root, mirror, capsys):
    file = test_root / "MNIST" / "raw" / IMAGES
    flip_a_byte(file)
    file.with_name(f"{IMAGES}.gz").unlink()
    with unchanged(test_root):
        common.get_dataset(test_root)
    assert IMAGES in capsys.readouterr().err
    assert not mirror


def test_labels_of_another_range_are_read(other_root):
    images, labels = fashion_like(100, num_classes=47)  # as EMNIST's "balanced" has
    write(other_root / "MNIST" / "raw", {TRAIN_IMAGES: images, TRAIN_LABELS: labels})
    assert common.get_dataset(other_root).targets.unique().tolist() == list(range(47))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (TRAIN_LABELS, fashion_like(99)[1], f"{TRAIN_IMAGES} holds [100, 28, 28]|[99, 28, 28]"),
        (TRAIN_IMAGES, idx(np.zeros((100, 32, 32), np.uint8)), "[100, 32, 32]|[100, 28, 28]"),
        (IMAGES, idx(np.zeros((10000, 28), np.uint8)), "[10000, 28]|[10000, 28, 28]"),
        (TRAIN_LABELS, idx(np.zeros((100, 47), np.uint8)), f"{TRAIN_LABELS} holds [100, 47]|[100]"),
        (TRAIN_LABELS, idx(np.zeros(100, ">i4"), 12), "numbers of IDX type 12|of type 8"),
    ],
)
def test_data_that_does_not_fit_is_named_and_left(other_root, mirror, name, content, words):
    (other_root / "MNIST" / "raw" / name).write_bytes(content)
    with unchanged(other_root):
        message = fails(other_root, ValueError)
    found, wanted = words.split("|")
    assert found in message
    assert wanted in message
    assert str(other_root / "MNIST" / "raw") in message
    assert not mirror


@pytest.mark.parametrize("damage", [truncate, os.remove])
def test_mnist_is_not_mixed_into_other_data(other_root, mirror, damage):
    damage(other_root / "MNIST" / "raw" / LABELS)
    with unchanged(other_root):
        message = fails(other_root)
    assert message.startswith(f"{LABELS} is ")
    assert f"would not match {TRAIN_IMAGES}, which is other data" in message
    assert not mirror


def test_a_truncated_file_of_other_data_is_restored_from_its_own_archive(other_root, mirror):
    raw_folder = other_root / "MNIST" / "raw"
    content = (raw_folder / IMAGES).read_bytes()
    write(raw_folder, {IMAGES: content}, packed=True)
    truncate(raw_folder / IMAGES)
    with nothing_lost(other_root):
        common.get_dataset(other_root)
    assert (raw_folder / IMAGES).read_bytes() == content
    assert not mirror


def test_an_archive_of_something_else_is_kept(unpacked_root, no_network):
    raw_folder = unpacked_root / "MNIST" / "raw"
    (raw_folder / LABELS).unlink()
    write(raw_folder, {LABELS: b"my diary"}, packed=True)
    with unchanged(unpacked_root):
        assert f"{LABELS} is missing, its .gz is damaged" in fails(unpacked_root)


def test_files_of_old_releases_of_torchvision_are_read_and_kept(tmp_path, mirror, capsys):
    folder = tmp_path / "MNIST" / "processed"
    folder.mkdir(parents=True)
    for name in ("training.pt", "test.pt"):
        torch.save((torch.zeros(5, 28, 28, dtype=torch.uint8), torch.arange(5)), folder / name)
    with unchanged(tmp_path):
        assert len(common.get_dataset(tmp_path)) == len(common.get_dataset(tmp_path, False)) == 5
    assert capsys.readouterr().err.count(str(folder)) == 1
    assert not mirror


# download=False


def test_download_false_writes_nothing(packed_root, test_root, mirror):
    with unchanged(packed_root):
        assert "download=False" in fails(packed_root, download=False)
    flip_a_byte(test_root / "MNIST" / "raw" / IMAGES)
    with unchanged(test_root):
        message = fails(test_root, download=False)
    assert message.startswith(f"{IMAGES} differs from its .gz in {test_root}")
    assert not (packed_root / "MNIST" / "raw" / ".lock").exists()
    assert not mirror


# Disks, processes


def drop_root_s_right_to_write_anywhere():
    if os.geteuid() != 0:
        return
    PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)


def test_a_script_runs_from_a_read_only_folder_if_all_is_there(start, tmp_path, other_data):
    """One folder has all that it takes, half of it unpacked; another one lacks a file."""
    whole, part = tmp_path / "whole", tmp_path / "part"
    for root in (whole, part):
        raw_folder = write(root / "MNIST" / "raw", other_data, packed=True)
        write(raw_folder, {name: other_data[name] for name in (TRAIN_IMAGES, TRAIN_LABELS)})
        (raw_folder / IMAGES).write_bytes(b"half a file")
    (part / "MNIST" / "raw" / f"{IMAGES}.gz").unlink()
    temporary_folder = tmp_path / "temporary"
    temporary_folder.mkdir()
    with unchanged(tmp_path):
        processes = []
        for root in (whole, part):
            (root / "MNIST" / "raw").chmod(0o555)
            flags = ("--epochs", 1, "--seed", 1, "--device", "cpu", "--data-root", root)
            processes.append(
                start(
                    PROJECT / "pytorch_mnist.py",
                    *flags,
                    env={**NO_NETWORK, "TMPDIR": str(temporary_folder)},
                    preexec_fn=drop_root_s_right_to_write_anywhere,
                )
            )
        results = [process.communicate(timeout=100) for process in processes]

    (stdout, stderr), (part_stdout, part_stderr) = results
    assert [process.returncode for process in processes] == [0, 1]
    assert stdout.startswith("Epoch [1/1], Step [10/10], Loss: ")
    _seed, elsewhere, not_canonical = stderr.splitlines()  # each once, though it reads twice
    assert elsewhere.startswith(f"{whole / 'MNIST' / 'raw'} can't be written: unpacked to ")
    assert "isn't canonical MNIST" in not_canonical
    assert part_stdout == ""
    _seed, error = part_stderr.splitlines()
    assert error == (
        f"pytorch_mnist.py: error: {IMAGES} is damaged in {part / 'MNIST' / 'raw'}, which can't be "
        "written, and no whole .gz is beside it"
    )
    assert list(temporary_folder.iterdir()) == []


def test_a_full_disk_leaves_no_half_file(packed_root, no_network):
    with unchanged(packed_root), full_disk(10_000_000):
        message = fails(packed_root)
    assert "File too large" in message
    assert f"there are no MNIST files in {packed_root}" in message
    common.get_dataset(packed_root)
    assert md5s(packed_root) == MD5S


def unpack_at_once(root, barrier, results):
    barrier.wait()
    try:
        dataset = common.get_dataset(root)
        results.put((int(dataset.data.sum()), int(dataset.targets.sum())))
    except Exception as error:
        results.put(repr(error))


def test_processes_that_start_at_once_do_not_trip_over_each_other(packed_root, no_network):
    context = multiprocessing.get_context("fork")  # in no time, while an import takes seconds
    barrier, results = context.Barrier(2), context.SimpleQueue()
    processes = [
        context.Process(target=unpack_at_once, args=(packed_root, barrier, results))
        for _ in range(2)
    ]
    with nothing_lost(packed_root):
        for process in processes:
            process.start()
        answers = [results.get() for _ in processes]
        for process in processes:
            process.join()
    dataset = common.get_dataset()
    assert answers == [(int(dataset.data.sum()), int(dataset.targets.sum()))] * 2
    assert md5s(packed_root) == MD5S
    assert names(packed_root) == {*MD5S, *(f"{name}.gz" for name in MD5S)}


def test_a_killed_first_run_is_repaired(packed_root, no_network):
    process = multiprocessing.get_context("fork").Process(
        target=common.get_dataset, args=[packed_root]
    )
    process.start()

    new_file = packed_root / "MNIST" / "raw" / f".{TRAIN_IMAGES}.new"
    while not (new_file.exists() and new_file.stat().st_size):
        assert process.is_alive()
        time.sleep(0.001)
    process.kill()
    process.join()
    assert 0 < new_file.stat().st_size < 47040016
    assert TRAIN_IMAGES not in names(packed_root)

    assert len(common.get_dataset(packed_root)) == 60000
    assert md5s(packed_root) == MD5S
    assert names(packed_root) == {*MD5S, *(f"{name}.gz" for name in MD5S)}


# The default


def test_the_default_root_is_the_working_directory_s_or_the_project_s(
    tmp_path, other_data, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert mnist_files.find_root() == PROJECT / "data"
    (tmp_path / "data" / "MNIST" / "raw").mkdir(parents=True)
    (tmp_path / "data" / "MNIST" / "raw" / ".lock").touch()
    assert mnist_files.find_root() == PROJECT / "data"
    write(tmp_path / "data" / "MNIST" / "raw", other_data)
    assert mnist_files.find_root().resolve() == tmp_path / "data"
    assert mnist_files.find_root("data") == mnist_files.find_root("./data")
    assert common.get_dataset().raw_folder == str(Path("data", "MNIST", "raw"))
    assert len(common.get_dataset()) == 100
    assert mnist_files.find_root(tmp_path / "nowhere") == tmp_path / "nowhere"
