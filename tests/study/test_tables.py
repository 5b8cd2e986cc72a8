import io

import pandas as pd
from conftest import PROJECT
from made_up import create_result

from study import report, tables


def test_numbers():
    nan = float("nan")
    assert tables.format_number(97.846) == "97.85"
    assert tables.format_range(4.6, 21.4, 0) == "5 to 21"
    assert tables.format_estimate(-13.306, -16.52, -10.041) == "-13.31 (-16.52 to -10.04)"
    assert tables.format_estimate(0.0, nan, nan) == "+0.00"
    assert [tables.format_number(nan), tables.format_range(nan, nan)] == ["-", "-"]
    assert tables.format_estimate(nan, nan, nan) == "-"


def test_markdown():
    rows = [{"variant": "init", "n": 5}, {"variant": "cost+data", "n": 7}]
    assert tables.format_markdown(rows) == (
        "| variant   | n  |\n| --------- | -: |\n| init      |  5 |\n| cost+data |  7 |\n"
    )
    assert tables.format_markdown([]) == ""


def test_what_is_written(tmp_path):
    results = [create_result("article", seed, 0.97 + seed / 1000) for seed in range(1, 9)]
    runs = report.tabulate_runs(results)
    effects = report.estimate_effects(runs)
    markdown = tables.format_all(report.summarise(runs), effects, report.place_published(runs))
    tables.write(runs, markdown, tmp_path)

    summary, published = (tmp_path / "summary.md").read_text().split("\n\n")  # and no effects
    cells = [cell.strip() for cell in summary.splitlines()[2].strip("|").split("|")]
    assert cells[:3] == ["article", "8", "97.45"]
    assert cells[4:] == ["0.24", "97.10 to 97.80", "0 of 8", "0 to 32", "97.45"]
    assert "| article (8) |" in published
    written = pd.read_csv(io.StringIO((tmp_path / "runs.csv").read_text()))
    assert list(written["accuracy"]) == list(runs["accuracy"].round(4))


def test_the_committed_tables_are_those_of_the_committed_runs():
    runs = pd.read_csv(PROJECT / "results" / "runs.csv")
    effects = report.estimate_effects(runs)
    markdown = tables.format_all(report.summarise(runs), effects, report.place_published(runs))
    assert (PROJECT / "results" / "summary.md").read_text(encoding="utf-8") == markdown
    page = (PROJECT / "docs" / "reproduction.md").read_text(encoding="utf-8")
    summary, _, published = markdown.split("\n\n")
    assert summary in page and published in page
    assert "(../results/summary.md)" in page  # for the effects
