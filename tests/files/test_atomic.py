"""Files are replaced whole or not at all, and by one training at a time."""

import os
import re
import stat

import pytest
from conftest import full_disk

from common import RefusedError
from files import atomic


@pytest.mark.skipif(os.name == "nt", reason="on Windows, only an administrator may make links")
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


def test_the_content_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace

    def record_fsync(descriptor):
        status = os.fstat(descriptor)
        (target,) = [path for path in tmp_path.iterdir() if os.path.samestat(path.stat(), status)]
        calls.append(("fsync", target, target.read_text()))
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
    assert calls == [("fsync", temporary_file, "content"), ("replace", temporary_file, file)]


def test_patterns_are_expanded_which_windows_shells_leave_as_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.csv", "[a].csv", "c.txt"):
        (tmp_path / name).touch()
    given = ["*.csv", "[a].csv", "no*.csv", str(tmp_path / "*.txt")]
    expected = ["[a].csv", "b.csv", "[a].csv", "no*.csv", str(tmp_path / "c.txt")]
    assert atomic.expand(given) == expected


# What goes wrong


def test_a_full_disk_leaves_the_older_file_and_nothing_else(tmp_path):
    file = tmp_path / "file"
    file.write_text("older")
    with full_disk(100):
        for attempt in (atomic.check_writable, lambda file, n: atomic.write_text(file, "x" * n)):
            with pytest.raises(RefusedError, match=f"can't save to {file}: File too large"):
                attempt(file, 101)
        atomic.check_writable(file, 100)
    assert file.read_text() == "older"
    assert list(tmp_path.iterdir()) == [file]


def test_so_does_an_interrupted_writer(tmp_path):
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
        ("missing/file", "can't save to .*/missing/file: "),
        (".", "it exists and is not a regular file"),
        ("x" * 252, "can't save to .*" if os.name == "nt" else "File name too long$"),
    ],
)
def test_an_impossible_target_is_refused(tmp_path, file, message):
    for attempt in (atomic.check_writable, lambda file: atomic.write_text(file, "x")):
        with pytest.raises(RefusedError, match=message):
            attempt(f"{tmp_path}/{file}")
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_file_is_left(tmp_path):
    file = tmp_path / "file"
    file.write_text("older")
    file.chmod(0o444)
    for attempt in (atomic.check_writable, lambda file: atomic.write_text(file, "x")):
        with pytest.raises(
            RefusedError, match=f"can't save to {re.escape(str(file))}: it is read-"
        ):
            attempt(file)
    assert file.read_text() == "older"
    assert stat.S_IMODE(file.stat().st_mode) == 0o444
    file.chmod(0o644)


# One training at a time


def test_a_second_training_with_a_file_is_refused_and_a_third_afterwards_not(tmp_path):
    file = tmp_path / "file"
    with atomic.lock(file):
        for same in (file, tmp_path / "." / "file"):
            with (
                pytest.raises(RefusedError, match=f"is at work with {re.escape(str(file))}, or"),
                atomic.lock(same),
            ):
                pytest.fail("two at a time")
        with atomic.lock(tmp_path / "other"):
            pass
    if os.name != "nt":
        assert list(tmp_path.iterdir()) == []  # the lock's own file is gone
    with atomic.lock(file):
        pass


def test_leftovers_of_killed_writers_are_removed_and_nothing_else(tmp_path):
    file = tmp_path / "run[1].pt"
    kept = [file, tmp_path / ".run[1].pt.tmp", tmp_path / ".run1.pt.0123456789abcdef.tmp"]
    leftover = tmp_path / ".run[1].pt.0123456789abcdef.tmp"
    lock_left = tmp_path / ".run[1].pt.lock"  # a killed training's, which keeps nobody off
    for each in (*kept, leftover, lock_left):
        each.touch()
    with atomic.lock(file):
        assert not leftover.exists()
    assert set(kept) <= set(tmp_path.iterdir())
