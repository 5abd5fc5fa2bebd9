"""The page in a real browser."""

import re

import numpy as np
import pytest

from pyunet.training_logs.charts import Chart, Line
from pyunet_reproduce.report.page import write_report
from pyunet_reproduce.report.run import Case, Run, Table, WeightExample
from tests.support.browser import chromium, open_page

NET = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 1 dim: 12 dim: 12 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "score"
  convolution_param { num_output: 2 kernel_size: 3 } }
"""
PHONE = 375  # pixels of width


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture
def whole(tmp_path):
    """A run with every part."""
    import caffe

    deploy = tmp_path / "deploy.prototxt"
    deploy.write_text(NET)
    caffe.Net(str(deploy), caffe.TEST).save(str(tmp_path / "w.caffemodel"))
    rng = np.random.default_rng(0)

    def cases():
        for number in range(5):
            truth = rng.integers(0, 2, (30, 40))
            wrong = rng.random(truth.shape) < number / 10
            image = rng.integers(0, 255, (1, 30, 40))
            yield Case(f"{number}.tif", truth, truth ^ wrong, image)

    return Run(
        title='cells & "<b>nuclei</b>"',
        deploy=deploy,
        weights=tmp_path / "w.caffemodel",
        solver="base_lr: 0.5 type: 'Adam'",
        data=[("tiles", "17")],
        charts=lambda: [Chart("loss", [Line("training", {0: 2.0, 9: 1.0})])],
        class_names=["outside", "inside"],
        cases=cases,
        weight_example=lambda: WeightExample(
            "first tile", rng.random((1, 20, 20)), np.eye(12), rng.random((12, 12))
        ),
        tables=[Table("all", (), [("v_rand", "0.9")])],
    )


def test_a_whole_page_shows_every_picture_and_asks_nobody(browser, whole, tmp_path):
    assert not any(one.missing for one in write_report(tmp_path / "r.html", whole))
    opened = open_page(browser, tmp_path / "r.html")
    assert opened.said == []
    assert opened.asked == []
    widths = opened.page.eval_on_selector_all(
        "img", "all => all.map(one => one.complete ? one.naturalWidth : 0)"
    )
    # one curve, five panels of five images, image, labels and weights, kernels
    assert len(widths) == 1 + 5 * 5 + 3 + 1
    assert min(widths) > 0
    assert opened.page.title() == 'cells & "<b>nuclei</b>" - report'
    assert opened.page.inner_text("h1") == 'cells & "<b>nuclei</b>"'
    assert opened.page.locator("script").count() == 0
    text = opened.page.inner_text("body")
    for words in ("0.5", "Adam", "17", "v_rand", "outside", "first tile", "20"):
        assert words in text


def test_a_page_fits_a_phone(browser, whole, tmp_path):
    write_report(tmp_path / "r.html", whole)
    page = open_page(browser, tmp_path / "r.html", width=PHONE).page
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE
    assert page.locator("img").first.bounding_box()["width"] > PHONE / 2


def test_links_lead_to_their_sections(browser, whole, tmp_path):
    write_report(tmp_path / "r.html", whole)
    page = open_page(browser, tmp_path / "r.html").page
    page.click("nav a:has-text('Confusion')")
    assert page.evaluate("location.hash") == "#confusion"
    assert page.locator("#confusion h2").bounding_box()["y"] < 900


def test_a_page_about_nothing_says_what_is_missing(browser, tmp_path):
    write_report(tmp_path / "r.html", Run("nothing"))
    opened = open_page(browser, tmp_path / "r.html")
    missing = opened.page.locator(".missing").all_inner_texts()
    assert len(missing) == opened.page.locator("section").count() == 8
    assert "No net is given (--model, --weights)." in missing
    assert opened.page.locator("img").count() == 0
    assert opened.said == opened.asked == []


def test_the_file_names_no_address_but_its_own_pictures(whole, tmp_path):
    write_report(tmp_path / "r.html", whole)
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|//[a-z]", re.sub(r"base64,[^\"]*", "", text))
