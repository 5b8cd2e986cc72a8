import stat

import pytest
from conftest import full_disk

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


def test_a_full_disk_leaves_the_older_file_and_nothing_else(tmp_path):
    file = tmp_path / "file"
    file.write_text("older")
    with full_disk(100), pytest.raises(OSError, match=f"can't save to {file}"):
        atomic.write_text(file, "newer" * 100)
    assert file.read_text() == "older"
    assert list(tmp_path.iterdir()) == [file]


def test_so_does_an_error_of_the_writer(tmp_path):
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
        ("missing/file", "there is no folder"),
        (".", "is not a regular file"),
        ("x" * 252, "name too long"),
    ],
)
def test_an_impossible_target_is_refused(tmp_path, file, message):
    for attempt in (atomic.check_writable, lambda file: atomic.write_text(file, "x")):
        with pytest.raises(OSError, match=message):
            attempt(tmp_path / file)
    assert list(tmp_path.iterdir()) == []


def test_a_home_folder_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    atomic.write_text("~/file", "x")
    assert (tmp_path / "file").read_text() == "x"


def test_a_device_is_not_replaced_by_a_file():
    with pytest.raises(OSError, match="not a regular file"):
        atomic.write_text("/dev/null", "x")
