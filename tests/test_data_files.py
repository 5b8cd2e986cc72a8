"""MNIST's files: read where they lie, judged, and left alone."""

import functools
import gzip
import hashlib
import shutil

import pytest
import torch
from conftest import PROJECT
from idx_files import PARTS, to_idx, write_data
from torchvision import datasets

import common

# The MD5s that MNIST's files are known by: packed, and unpacked
MD5S = {
    "train-images-idx3-ubyte": "f68b3c2dcbeaaa9fbdd348bbdeb94873 6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "d53e105ee54ea40749a09fcbcd1e9432 a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "9fb629c4189551a2d022fa330f9573f3 2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "ec29112dd5afa0611ce80d1b7f02629c 27ae3e4e09519cfbb04c329615203637",
}


def list_all(folder):
    """Return what is in a folder and when it was changed; of folders, too, so by anything in it."""
    return {file: file.stat().st_mtime_ns for file in [folder, *folder.rglob("*")]}


@pytest.fixture
def root(tmp_path):
    write_data(tmp_path / "data" / "MNIST" / "raw")
    return tmp_path / "data"


@pytest.fixture
def raw(root):
    return root / "MNIST" / "raw"


@pytest.mark.parametrize("is_train", [True, False])
def test_canonical_data_are_known_by_the_files_that_have_mnist_s_md5s(is_train):
    for name in ("images-idx3-ubyte", "labels-idx1-ubyte"):
        name = f"{PARTS[is_train]}-{name}"
        packed = (PROJECT / "data" / "MNIST" / "raw" / f"{name}.gz").read_bytes()
        md5s = [hashlib.md5(content).hexdigest() for content in (packed, gzip.decompress(packed))]
        assert " ".join(md5s) == MD5S[name]
    dataset = common.get_dataset(train=is_train)
    assert common.name_data(dataset) == "MNIST"
    dataset.targets = dataset.targets.roll(1)
    with_other_labels = common.name_data(dataset)
    dataset.data[0, 0, 0] += 1
    assert len({"MNIST", with_other_labels, common.name_data(dataset)}) == 3


@pytest.mark.parametrize("is_train", [True, False])
def test_packed_files_are_torchvision_s_unpacked_ones(is_train, textbook_root):
    expected = datasets.MNIST(textbook_root, is_train)
    for root in (PROJECT / "data", textbook_root):
        before = list_all(root)
        dataset = common.get_dataset(root, is_train)
        assert list_all(root) == before
        assert torch.equal(dataset.data, expected.data)
        assert torch.equal(dataset.targets, expected.targets)
        assert dataset.targets.dtype == expected.targets.dtype == torch.int64


@pytest.mark.parametrize("packed", ["packed", "unpacked", "both"])
def test_other_data_are_read_in_a_folder_that_can_t_be_written_to(packed, tmp_path, capsys):
    root = tmp_path / "data"
    raw = root / "MNIST" / "raw"
    for pack in {"packed": [True], "unpacked": [False], "both": [True, False]}[packed]:
        images, labels = write_data(raw, pack=pack)
    if packed == "both":
        (raw / "t10k-images-idx3-ubyte").write_bytes(b"it is the packed file that counts")
    for folder in (raw, raw.parent, root):
        folder.chmod(0o555)
    before = list_all(root)
    for _ in range(2):
        dataset = common.get_dataset(root, train=False)
    assert torch.equal(dataset.data, images)
    assert torch.equal(dataset.targets, labels.long())
    (line,) = capsys.readouterr().err.splitlines()  # once, not each time
    assert line == f"{raw} isn't canonical MNIST: it is read as it is"
    assert list_all(root) == before


def flip_a_bit(content):
    return content[:40] + bytes([content[40] ^ 1]) + content[41:]


def pack(number, kind=8, *shape):
    return lambda _: gzip.compress(to_idx(torch.full(shape, number, dtype=torch.uint8), kind))


IMAGES, LABELS = "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"
DAMAGES = {
    "truncated": (IMAGES, lambda content: content[:-100], "damaged"),
    "a bit flipped": (IMAGES, flip_a_bit, "damaged"),
    "empty": (IMAGES, lambda _: b"", "damaged"),
    "of another kind": (IMAGES, lambda _: b"<html>not found</html>", "damaged"),
    "other numbers": (IMAGES, pack(1, 13, 20, 28, 28), "damaged"),
    "too long": (LABELS, lambda _: gzip.compress(b"\0\0\x08\x01\0\0\0\x14" + bytes(21)), "damaged"),
    "too large": (LABELS, lambda _: gzip.compress(b"\0\0\x08\x01\xff\xff\xff\xff"), "damaged"),
    "another size": (IMAGES, pack(1, 8, 20, 27, 28), "expected"),
    "labels for images": (IMAGES, pack(1, 8, 20), "expected"),
    "a digit 10": (LABELS, pack(10, 8, 20), r"labels \[20\] up to 10; expected"),
    "missing": (LABELS, None, "is missing"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_data_are_one_error_and_left_alone(damage, root, raw):
    name, change, message = DAMAGES[damage]
    if change is None:
        (raw / name).unlink()
    else:
        (raw / name).write_bytes(change((raw / name).read_bytes()))
    before = list_all(root)
    with pytest.raises(common.RefusedError, match=message) as caught:
        common.get_dataset(root, train=False)
    assert str(raw) in str(caught.value)
    if "expected" not in message:
        assert name in str(caught.value)
    assert list_all(root) == before
    assert len(common.get_dataset(root, train=True)) == 20  # which are whole


@pytest.fixture
def downloads(tmp_path, monkeypatch):
    """Return what torchvision downloads: it gets small data, or an error where there is none."""
    asked_for = []
    write_data(tmp_path / "server")

    def download(url, download_root, filename, md5):
        asked_for.append((filename, md5))
        shutil.copy(tmp_path / "server" / filename, download_root)

    monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", download)
    return asked_for


def test_a_root_without_any_file_is_downloaded_to(downloads, tmp_path):
    assert len(common.get_dataset(tmp_path / "new")) == 20
    assert dict(downloads) == {f"{name}.gz": md5s.split()[0] for name, md5s in MD5S.items()}
    downloads.clear()
    assert len(common.get_dataset(tmp_path / "new", train=False)) == 20
    with pytest.raises(RuntimeError, match="Dataset not found"):
        common.get_dataset(tmp_path / "other", download=False)
    assert downloads == []


@pytest.mark.parametrize("root", ["a/b", "there/b", "", "~not-a-user/data"])
def test_a_failed_download_is_told_and_leaves_no_folder(root, downloads, tmp_path, monkeypatch):
    shutil.rmtree(tmp_path / "server")
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path)

    class Mine(common.InMemory, datasets.MNIST):
        pass

    for create in (common.get_dataset, functools.partial(Mine, download=True)):
        with pytest.raises(common.RefusedError, match=r"there are no MNIST files in .*failed"):
            create(root)
        assert [*tmp_path.rglob("*")] == [tmp_path / "there"]


def test_files_of_other_names_are_named(downloads, root, raw):
    """As some sites give them to download."""
    (raw / "train-images-idx3-ubyte.gz").rename(raw / "train-images.idx3-ubyte")
    with pytest.raises(common.RefusedError, match=r"missing in .*there is:.* train-images\.idx3"):
        common.get_dataset(root)
    assert downloads == []


def test_a_packed_name_may_have_unpacked_content(root, raw):
    """As browsers leave it that unpack what they download."""
    for file in raw.glob("*.gz"):
        file.write_bytes(gzip.decompress(file.read_bytes()))
    expected = write_data(root.parent / "other")
    dataset = common.get_dataset(root)
    assert torch.equal(dataset.data, expected[0])
    assert torch.equal(dataset.targets, expected[1].long())


def test_the_home_folder_may_be_written_as_a_tilde(root, home):
    assert len(common.get_dataset("~/data")) == 20


def test_the_default_root_is_the_working_folder_s_and_else_the_project_s(root, monkeypatch):
    monkeypatch.chdir(root.parent)
    assert len(common.get_dataset()) == 20
    monkeypatch.chdir(PROJECT / "tests")
    assert len(common.get_dataset(train=False)) == 10_000


class KMNIST(common.InMemory, datasets.KMNIST):
    pass


@pytest.mark.parametrize("kind", [KMNIST, common.FashionMNIST])
def test_sisters_are_read_alike(kind, tmp_path):
    images, labels = write_data(tmp_path / kind.__name__ / "raw")
    dataset = kind(tmp_path, transform=common.transformations)
    given = list(common.get_loader(dataset, 20, shuffle=False))
    torch.testing.assert_close(given, [(images[:, None] / 255, labels.long())], rtol=0, atol=0)
    assert isinstance(dataset.__getitems__([0]), common.Batch)
