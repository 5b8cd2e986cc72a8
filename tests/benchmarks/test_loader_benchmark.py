import sys

import loader
from conftest import cut

import common


def test_the_ratio_is_how_many_times_faster_ours_is(monkeypatch, capsys):
    def time_epoch(timed):
        assert timed.batch_size == 10
        return 8.0 if isinstance(timed.dataset, loader.Items) else 0.5

    monkeypatch.setattr(loader, "DATA_SETS", {"MNIST": lambda: cut(common.get_dataset(), 20)})
    monkeypatch.setattr(loader, "time_epoch", time_epoch)
    monkeypatch.setattr(loader, "time_within_training", lambda *_, **__: [5e-4, 6e-4, 15e-4])
    monkeypatch.setattr(sys, "argv", ["loader.py", "--rounds", "2"])
    loader.main()
    row = "| MNIST | 0.500 | 8.00 | 16 | 20 % of a step; 10 times faster |"
    assert capsys.readouterr().out.splitlines()[-1] == row
