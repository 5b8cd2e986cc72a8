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
def results(tmp_path):
    """A folder that holds RESULT."""
    results = RunResults(create_folder(tmp_path / "results"), epochs=2)
    results.write(RESULT)
    return results


def test_what_is_written_is_read(results):
    assert results.read([("book", 4), ("book", 5), ("article", 4)]) == {("book", 4): RESULT}
    assert len(list(results.folder.iterdir())) == 1


def test_results_of_other_numbers_of_epochs_are_others(results):
    assert RunResults(results.folder, epochs=3).read([("book", 4)]) == {}


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
def test_a_result_of_other_settings_is_refused_and_left(results, other, difference):
    (file,) = results.folder.iterdir()
    file.write_text(json.dumps({**RESULT, **other}))
    with pytest.raises(RefusedError, match=f"is the result of another run .*{difference}"):
        results.read([("book", 4)])


def leave_out(key):
    return json.dumps({name: value for name, value in RESULT.items() if name != key})


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "Expecting value"),
        (json.dumps(RESULT)[:100], ""),
        ("null", ""),
        ("\xff\xfe", ""),
        (json.dumps({**RESULT, "settings": None}), ""),
        (leave_out("seconds"), "seconds"),
        (leave_out("accuracy_after_epoch"), "accuracy_after_epoch"),
        (json.dumps({**RESULT, "accuracy": None}), ""),
        (json.dumps({**RESULT, "accuracy": 97.8}), "fraction"),
        (json.dumps({**RESULT, "error_per_digit": [0.1] * 9}), "errors of 9 digits"),
        (json.dumps({**RESULT, "accuracy_after_epoch": [0.9]}), "it has 1 epochs"),
        (json.dumps({**RESULT, "seconds": "12"}), ""),
        ("[" * 100_000, "RecursionError"),
    ],
)
def test_a_damaged_file_is_named_and_left(results, content, reason):
    (file,) = results.folder.iterdir()
    file.write_text(content, encoding="latin-1")
    with pytest.raises(
        RefusedError, match=f"{re.escape(str(file))} is not a complete result .*{reason}"
    ):
        results.read([("book", 4)])
    assert file.read_text(encoding="latin-1") == content


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
