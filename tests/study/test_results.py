import json
import re
import shutil
import sys

import pytest
from conftest import PROJECT

from common import RefusedError
from study import variants
from study.results import RunResults, create_folder

RESULT = {
    "variant": "book",
    "seed": 4,
    "accuracy": 0.9,
    "error_per_digit": [0.1] * 10,
    "accuracy_after_epoch": [0.8, 0.9],
    "settings": variants.get_settings("book", epochs=2),
    "machine": {"torch": "2"},
    "seconds": 12.5,
}


@pytest.fixture
def files(tmp_path):
    """A folder that holds RESULT."""
    folder = create_folder(tmp_path / "results")
    files = RunResults(folder, epochs=2)
    files.write(RESULT)
    return files


def test_what_is_written_is_read(files):
    results, complaints = files.read([("book", 4), ("book", 5), ("article", 4)])
    assert results == {("book", 4): RESULT}
    assert complaints == {}
    assert len(list(files.folder.iterdir())) == 1


def test_results_of_other_numbers_of_epochs_are_others(files):
    assert RunResults(files.folder, epochs=3).read([("book", 4)]) == ({}, {})


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        ({"seed": 5}, "seed: 4 here, 5 in the file"),
        ({"settings": {**RESULT["settings"], "lr": 9.0}}, "lr: 3.0 here, 9.0 in the file"),
        (
            {"settings": {**RESULT["settings"], "data": ["a", "b"]}},
            "data: None here, .'a', 'b'. in",
        ),
        ({"settings": {}}, "lr: 3.0 here, None in the file"),
    ],
)
def test_a_result_of_other_settings_is_refused_and_left(files, other, difference):
    (file,) = files.folder.iterdir()
    file.write_text(json.dumps({**RESULT, **other}))
    with pytest.raises(RefusedError, match=f"is the result of another run .*{difference}"):
        files.read([("book", 4)])


def leave_out(key):
    return json.dumps({name: value for name, value in RESULT.items() if name != key})


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "Expecting value"),
        (json.dumps(RESULT)[:100], "is not a complete result"),
        ("null", "is not a complete result"),
        ("\xff\xfe", "is not a complete result"),
        (leave_out("seconds"), "seconds"),
        (leave_out("accuracy_after_epoch"), "accuracy_after_epoch"),
        (json.dumps({**RESULT, "accuracy": None}), "is not a complete result"),
        (json.dumps({**RESULT, "accuracy": 97.8}), "fraction"),
        (json.dumps({**RESULT, "error_per_digit": [0.1] * 9}), "errors of 9 digits"),
        (json.dumps({**RESULT, "accuracy_after_epoch": [0.9]}), "it has 1 epochs"),
        (json.dumps({**RESULT, "seconds": "12"}), "is not a complete result"),
        ("[" * 100_000, "RecursionError"),
    ],
)
def test_an_unusable_file_is_named_and_not_taken(files, content, reason):
    (file,) = files.folder.iterdir()
    file.write_text(content, encoding="latin-1")
    results, complaints = files.read([("book", 4)])
    assert results == {}
    complaint = complaints["book", 4]
    assert complaint.startswith(f"{file} is not a complete result")
    assert re.search(reason, complaint)


def test_a_file_that_can_t_be_read_is_told(files):
    (file,) = files.folder.iterdir()
    file.unlink()
    file.mkdir()
    with pytest.raises(RefusedError, match=f"can't read {file}"):
        files.read([("book", 4)])


@pytest.mark.parametrize(
    "folder", ["file", "file/folder", "x" * 256, *["/proc/folder"] * (sys.platform == "linux")]
)
def test_a_folder_that_can_t_be_written_to_is_refused(tmp_path, folder):
    (tmp_path / "file").touch()
    with pytest.raises(RefusedError, match="--results needs a folder"):
        create_folder(tmp_path / folder)


@pytest.mark.parametrize("own", ["runs.csv", "trace.csv", "convnets.csv"])
def test_a_folder_with_the_study_s_tables_is_taken(own, tmp_path):
    shutil.copy(PROJECT / "results" / own, tmp_path)
    assert create_folder(tmp_path) == tmp_path
    (tmp_path / own).write_text("my,own,table\n")
    with pytest.raises(RefusedError, match=f"holds {own} and no results"):
        create_folder(tmp_path)
