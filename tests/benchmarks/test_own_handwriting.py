import numpy as np
import own_handwriting
import pages
import pytest
from conftest import cut

import common


def test_right_refused_and_wrong_pages_are_counted(capsys):
    """A page without digits is right if it is refused."""
    answers = [("7", "7"), ("7", "1"), ("7", ""), ("", ""), ("", "3"), ("12", "1 / 2")]
    own_handwriting.report("kind", answers)
    assert capsys.readouterr().out == "| kind | 6 | 2 | 1 | 3 |\n"


@pytest.mark.parametrize(("kind", "size"), [("four digits", 4), ("marker", 1)])
def test_each_page_has_other_digits(kind, size, monkeypatch):
    """Those that follow, and their labels are what is right."""
    test_set = cut(common.get_dataset(train=False), 40)
    monkeypatch.setattr(pages, "draw_page", lambda kind, images, seed: images)
    read = list(own_handwriting.read_pages(np.asarray, kind, test_set, number=3, first=2))
    shown = slice(2 * size, 5 * size)
    assert np.array_equal(np.concatenate([images for _, images in read]), test_set.data[shown])
    assert [len(digits) for digits, _ in read] == [size] * 3
    labels = "".join(map(str, test_set.targets[shown].tolist()))
    assert "".join(digits for digits, _ in read) == labels
