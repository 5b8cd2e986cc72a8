"""Files are replaced whole or not at all, and by one training at a time."""

import errno
import os
import stat
import subprocess
import threading
from pathlib import Path

import pytest
from conftest import full_disk

from common import RefusedError
from files import atomic


def test_it_replaces_an_older_file_and_keeps_a_link_to_it(tmp_path):
    (tmp_path / "file").write_text("older")
    (tmp_path / "link").symlink_to("file")
    atomic.write_text(tmp_path / "link", "newer ü")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text(encoding="utf-8") == "newer ü"


def test_the_file_has_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "other").touch()
    atomic.write_text(tmp_path / "file", "")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("other", "file")]
    assert modes[0] == modes[1]


def test_a_home_folder_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    atomic.write_text("~/file", "x")
    assert (tmp_path / "file").read_text() == "x"


def test_the_content_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    """And the name, which is in the folder, before `write` returns."""
    calls = []
    fsync, replace = os.fsync, os.replace

    def record_fsync(descriptor):
        target = Path(f"/proc/self/fd/{descriptor}").resolve()
        calls.append(("fsync", target, None if target.is_dir() else target.read_text()))
        fsync(descriptor)

    def record_replace(source, target):
        calls.append(("replace", source, target))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(os, "replace", record_replace)
    file = tmp_path / "file"
    atomic.write_text(file, "content")

    (_, temporary_file, _), *_ = calls
    assert temporary_file.parent == tmp_path  # os.replace can't move between file systems
    assert calls == [
        ("fsync", temporary_file, "content"),
        ("replace", temporary_file, file),
        ("fsync", tmp_path, None),
    ]


def test_a_disk_that_can_t_sync_its_folders_will_do(tmp_path, monkeypatch):
    """As some network disks: the content is in its place by then."""
    fsync = os.fsync

    def refuse_folders(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse_folders)
    atomic.write_text(tmp_path / "file", "content")
    assert (tmp_path / "file").read_text() == "content"


def test_two_writers_at_once_leave_only_complete_files(tmp_path):
    """Each writes in pieces; whoever reads meanwhile sees the whole of one content."""
    file = tmp_path / "file"
    contents = [letter.encode() * 50_000 for letter in "ab"]
    atomic.write(file, lambda stream: stream.write(contents[0]))
    errors = []

    def write_often(content):
        def save(stream):
            for start in range(0, len(content), 5_000):
                stream.write(content[start : start + 5_000])
                stream.flush()

        try:
            for _ in range(50):
                atomic.write(file, save)
        except RefusedError as error:
            errors.append(error)

    writers = [threading.Thread(target=write_often, args=[content]) for content in contents]
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        seen.add(file.read_bytes())
    assert errors == []
    assert seen == set(contents)
    assert list(tmp_path.iterdir()) == [file]


# What goes wrong


def assert_untouched(file, num_bytes, message):
    """Fail to write so many bytes; the older content is left, and nothing else."""
    file.write_text("older")
    with pytest.raises(RefusedError) as caught:
        atomic.write_text(file, "x" * num_bytes)
    assert str(caught.value) == f"can't save to {file}: {message}"
    assert file.read_text() == "older"
    assert list(file.parent.iterdir()) == [file]


def test_a_file_that_grows_too_large_leaves_the_older_one_and_nothing_else(tmp_path):
    with full_disk(100):
        assert_untouched(tmp_path / "file", 1000, os.strerror(errno.EFBIG))


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of its own, of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a disk takes root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_leaves_the_older_file_and_nothing_else(small_disk):
    assert_untouched(small_disk / "file", 100_000, os.strerror(errno.ENOSPC))


def test_too_little_room_is_told_when_it_is_asked_for(small_disk):
    atomic.check_writable(small_disk / "file", 40_000)
    with pytest.raises(RefusedError, match=os.strerror(errno.ENOSPC)):
        atomic.check_writable(small_disk / "file", 100_000)
    assert list(small_disk.iterdir()) == []


def test_an_interrupted_writer_leaves_the_older_file_and_nothing_else(tmp_path):
    def save(stream):
        stream.write(b"half")
        raise KeyboardInterrupt

    (tmp_path / "file").write_text("older")
    with pytest.raises(KeyboardInterrupt):
        atomic.write(tmp_path / "file", save)
    assert (tmp_path / "file").read_text() == "older"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("missing/file", "there is no folder {folder}/missing"),
        (".", "it exists and is not a regular file"),
        ("new/", "that names no file"),
        ("x" * 252, "File name too long$"),
    ],
)
def test_an_impossible_target_is_refused(tmp_path, file, message):
    for attempt in (atomic.check_writable, lambda file: atomic.write_text(file, "x")):
        with pytest.raises(RefusedError, match=message.format(folder=tmp_path)):
            attempt(f"{tmp_path}/{file}")
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_file_is_left(tmp_path):
    file = tmp_path / "file"
    file.write_text("older")
    file.chmod(0o444)
    for attempt in (atomic.check_writable, lambda file: atomic.write_text(file, "x")):
        with pytest.raises(RefusedError, match=f"can't save to {file}: it is read-only"):
            attempt(file)
    assert file.read_text() == "older"
    assert stat.S_IMODE(file.stat().st_mode) == 0o444
    file.chmod(0o644)


def test_an_empty_name_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for attempt in (atomic.check_writable, lambda file: atomic.write_text(file, "x")):
        with pytest.raises(RefusedError, match="can't save to '': that names no file"):
            attempt("")


def test_a_device_is_not_replaced_by_a_file():
    with pytest.raises(RefusedError, match="not a regular file"):
        atomic.write_text("/dev/full", "x")
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


def test_checking_a_target_leaves_it_as_it_is(tmp_path):
    atomic.check_writable(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("older")
    atomic.check_writable(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "older"


# One training at a time


def test_a_second_training_with_a_file_is_refused_and_a_third_afterwards_not(tmp_path):
    file = tmp_path / "file"
    with atomic.lock(file):
        for same in (file, tmp_path / "." / "file"):
            with (
                pytest.raises(RefusedError, match=f"another training is at work with {file}; wait"),
                atomic.lock(same),
            ):
                pytest.fail("two at a time")
        with atomic.lock(tmp_path / "other"):
            pass
    if os.name != "nt":
        assert list(tmp_path.iterdir()) == []  # the lock's own file is gone
    with atomic.lock(file):
        pass


def test_a_killed_training_s_lock_keeps_nobody_off(tmp_path):
    (tmp_path / ".file.lock").touch()
    with atomic.lock(tmp_path / "file"):
        pass


def test_leftovers_of_killed_writers_are_removed_and_nothing_else(tmp_path):
    file = tmp_path / "run[1].pt"
    kept = [file, tmp_path / ".run[1].pt.tmp", tmp_path / ".run1.pt.0123456789abcdef.tmp"]
    leftover = tmp_path / ".run[1].pt.0123456789abcdef.tmp"
    for each in (*kept, leftover):
        each.touch()
    with atomic.lock(file):
        assert not leftover.exists()
    assert set(kept) <= set(tmp_path.iterdir())
