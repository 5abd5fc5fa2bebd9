"""Published values beside measured ones."""

import csv
import io
import json
from xml.etree import ElementTree

import pytest

from pyunet.errors import DataError
from pyunet_reproduce import tables
from pyunet_reproduce.recipes import read_recipe
from pyunet_reproduce.runner import Run, machine
from pyunet_reproduce.tables import (
    Measured,
    Table,
    all_rows,
    measure,
    read_measured,
    result_table,
    write_results,
)


def run(seed, fold, auc, f1=0.8):
    scores = {
        "ranking.roc_auc": auc, "ranking.best_f1": f1, "ranking.pr_auc": 0.9,
        "overlap.pooled.accuracy": 0.95,
    }  # fmt: skip
    return Run(seed, fold, {"": scores}, 600.0, f"2026-01-0{1 + fold}")


RUNS = [run(0, 0, 0.96), run(0, 1, 0.98), run(1, 0, 0.98), run(1, 1, 1.0)]


class TestMeasure:
    def test_is_the_mean_over_seeds_of_the_mean_over_folds(self):
        auc, f1, *_ = measure(read_recipe("stare"), RUNS, by="me")
        assert (auc.dataset, auc.metric) == ("STARE", "AUC")
        assert auc.value == pytest.approx(0.98)
        assert auc.spread == pytest.approx(0.02 / 2**0.5, abs=1e-6)
        assert auc.shown() == "0.9800 ± 0.0141"
        assert (auc.seeds, auc.folds, auc.minutes) == ([0, 1], [0, 1], 10)
        assert (auc.by, auc.on) == ("me", "2026-01-02")
        assert f1.metric == "F1 score"

    def test_of_one_seed_has_no_spread(self):
        auc, *_ = measure(read_recipe("stare"), RUNS[:2], by="")
        assert auc.shown() == "0.9700"

    def test_is_in_the_published_unit(self):
        scores = {"overlap.per_image.dice": 0.7012}
        (dice,) = measure(
            read_recipe("rose1_svc"),
            [Run(0, 0, {"": scores}, 1.0, "2026-01-01")],
            by="",
        )
        assert dice.value == pytest.approx(70.12)


class TestResultTable:
    def test_shows_all_rows_of_a_data_set(self):
        recipe = read_recipe("stare")
        table = result_table(recipe, measure(recipe, RUNS, by=""))
        published = [row for row in table.rows if row[2] != "-"]
        assert len(published) == 9
        by_model = {(row[2], row[3]): row[5] for row in published}
        assert by_model["0.796", "FCN8 (e)"] == "-"
        assert by_model["0.827", "U-Net (e)"] == "0.9800 ± 0.0141"
        assert table.rows[0][-1] == "2 seeds, folds all of 2"
        half = result_table(recipe, measure(recipe, RUNS[:1], by=""))
        assert half.rows[0][-1] == "1 seed, folds 0 of 2"
        assert [row[4] for row in table.rows[9:]] == recipe.also

    def test_of_another_net_stands_beside_its_own_rows_only(self):
        recipe = read_recipe("stare").with_net("fcn8s")
        (auc, *_) = measured = measure(recipe, RUNS, by="")
        assert (auc.metric, auc.model) == ("AUC", "FCN8 (e)")
        table = result_table(recipe, measured)
        beside = {row[3] for row in table.rows if row[2] != "-" and row[5] != "-"}
        assert beside == {"FCN8 (e)"}

    def test_before_any_run_is_empty(self):
        table = result_table(read_recipe("drive"), [])
        assert {row[5] for row in table.rows} == {"-"}


class TestAllRows:
    def test_are_87_with_their_state(self):
        table = all_rows()
        assert len(table.rows) == 87
        states = [row[5] for row in table.rows]
        assert states == ["implemented"] * 87

    def test_show_what_was_measured_by_whom_and_when(self, monkeypatch):
        one = Measured(
            "drive", "DRIVE", "AUC", 0.977, 0.001, [0, 1], [0], 15.0,
            "the lab", "2026-02-03", "a machine",
        )  # fmt: skip
        monkeypatch.setattr(tables, "read_measured", lambda: [one])
        (row,) = [row for row in all_rows().rows if row[:2] == ("DRIVE", "AUC")]
        assert row[-3:] == ("0.9770 ± 0.0010", "the lab", "2026-02-03")

    def test_of_a_net_have_what_was_measured_with_that_net(self, monkeypatch):
        one = measure(read_recipe("stare").with_net("fcn8s"), RUNS, by="")[0]
        monkeypatch.setattr(tables, "read_measured", lambda: [one])
        beside = [row[3] for row in all_rows().rows if row[6] != "-"]
        assert beside == ["FCN8 (e)"]


class TestMeasuredFile:
    def test_of_the_package_can_be_read(self):
        assert all(one.on and one.by for one in read_measured())

    def test_is_what_a_run_writes(self, tmp_path):
        recipe = read_recipe("stare")
        _, paths = write_results(tmp_path, recipe, RUNS, by='a "lab" of ours, ü')
        assert [path.name for path in paths] == [
            "results.json", "table.txt", "table.csv", "table.html", "measured.toml",
        ]  # fmt: skip
        found = read_measured(tmp_path / "measured.toml")
        assert found == measure(recipe, RUNS, by='a "lab" of ours, ü')
        report = json.loads((tmp_path / "results.json").read_text())
        assert [run["seed"] for run in report["runs"]] == [0, 0, 1, 1]
        page = (tmp_path / "table.html").read_text(encoding="utf-8")
        assert "0.9800 ± 0.0141" in page

    def test_that_is_none_is_refused(self, tmp_path):
        path = tmp_path / "a.toml"
        path.write_text("[[measured]]\nodd = 1\n")
        with pytest.raises(DataError, match="measured 1: key 'odd'"):
            read_measured(path)


class TestFormats:
    table = Table(("a", "b"), [("x, y", "<1> & 2"), ("long word", "")])

    def test_text_has_columns(self):
        assert self.table.text() == "a          b\nx, y       <1> & 2\nlong word"

    def test_csv_is_read_back(self):
        rows = list(csv.reader(io.StringIO(self.table.csv())))
        assert rows == [["a", "b"], ["x, y", "<1> & 2"], ["long word", ""]]

    def test_html_shows_the_words_themselves(self):
        page = self.table.html("A & B")
        body = page[page.index("<table>") : page.index("</table>") + 8]
        cells = [cell.text for cell in ElementTree.fromstring(body).iter("td")]
        assert cells == ["x, y", "<1> & 2", "long word", None]
        assert "<h1>A &amp; B</h1>" in page


def test_a_machine_without_proc_has_a_name(monkeypatch):
    from pathlib import Path

    def missing(*args, **options):
        raise OSError

    monkeypatch.setattr(Path, "read_text", missing)
    assert machine()
