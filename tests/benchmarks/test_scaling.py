"""How seconds and memory grow: what is measured, kept and shown."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import scaling
import tifffile
from scaling_page import PARTS, write_page
from watching import watch

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"
HOLD = "x = bytearray(b'1') * {}"


def measured(program, tmp_path):
    return watch(
        [sys.executable, "-c", program], cwd=tmp_path, env={}, log=tmp_path / "log.txt"
    )


def test_memory_of_a_command_is_the_most_that_it_held(tmp_path):
    found = measured(f"{HOLD.format(2**28)}; del x; print('done')", tmp_path)
    assert found.status == 0
    assert found.output == "done\n"
    assert 0.25 < found.peak_gib < 0.4
    assert found.seconds > 0


def test_memory_of_several_processes_is_what_they_hold_together(tmp_path):
    hold = f"import time; {HOLD.format(2**27)}; time.sleep(0.5)"
    start = f"p = subprocess.Popen([sys.executable, '-c', {hold!r}])"
    found = measured(f"import subprocess, sys; {start}; {hold}; p.wait()", tmp_path)
    assert found.peak_gib < 0.2
    assert 0.25 < found.anonymous_gib < 0.4


def test_a_command_that_fails_gives_its_status_and_its_words(tmp_path):
    found = measured("import sys; sys.exit('no such thing')", tmp_path)
    assert found.status == 1
    assert found.output == "no such thing\n"


def test_an_image_is_noise_that_repeats_every_stripe(tmp_path):
    scaling.write_image(tmp_path / "image.tif", 1100)
    image = tifffile.imread(tmp_path / "image.tif")
    assert image.shape == (1100, 1100)
    assert (image[1024:] == image[:76]).all()
    assert image.std() == pytest.approx(256 / 12**0.5, rel=0.01)


def result():
    """Points as they are kept, made up."""
    timed = {"median_s": 2.0}, {"median_s": 1.0}
    return {
        "model": "unet_demo",
        "machine": {
            "cpu": "A CPU", "cores": 2, "memory_gib": 8.0, "python": "3.11",
            "packages": {"torch": "2.13.0"}, "date": "2026-11-23T00:00:00+00:00",
            "commit": "0123456789",
        },
        "size": {
            "4": {"order": 4, "megapixels": 4.0, "seconds": 8.0, "peak_gib": 1.0,
                  "anonymous_gib": 0.5, "tiles": "9 of 540x540"},
            "1": {"order": 1, "megapixels": 1.0, "seconds": 3.0, "peak_gib": 1.0,
                  "anonymous_gib": 0.5, "tiles": "1 of 540x540"},
            "400": {"order": 400, "megapixels": 400.0, "failed": "too large"},
        },
        "threads": {
            str(n): {"order": n, "threads": n, "inference": one, "training": one}
            for n, one in zip((1, 2), timed, strict=True)
        },
        "ranks": {
            "1x1": {"order": 1001, "ranks": 1, "threads": 1, "images_per_s": 4.0,
                    "anonymous_gib": 0.5},
            "2x1": {"order": 2001, "ranks": 2, "threads": 1, "images_per_s": 6.0,
                    "anonymous_gib": 1.0},
        },
    }  # fmt: skip


def test_the_page_gets_tables_and_pictures(tmp_path):
    shutil.copy(PAGE, tmp_path)
    for _ in range(2):  # the second time they are replaced
        write_page(result(), tmp_path)
    text = (tmp_path / "scaling.md").read_text()
    size = text.partition("<!-- size -->")[2].partition("<!-- end of size -->")[0]
    assert [line.split(" | ")[0] for line in size.strip().splitlines()[2:]] == [
        "| 1",
        "| 4",
        "| 400",
    ]
    assert "| 4 | 8.0 | 2.000 | 1.00 GiB | 9 of 540x540 |" in size
    assert "| 400 | too large |" in size
    assert text.count("| 2 | 1.000 s | 2.00 | 1.000 s | 2.00 |") == 1
    assert "| 2 | 1 | 6.00 | 1.50 | 1.00 GiB |" in text
    assert "A CPU, 2 cores" in text
    for part in PARTS:
        picture = tmp_path / "images" / f"scaling_{part}.png"
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_page_without_a_place_for_a_table_is_refused(tmp_path):
    (tmp_path / "scaling.md").write_text("nothing")
    with pytest.raises(SystemExit, match="no place <!-- machine --> for a table"):
        write_page(result(), tmp_path)


def test_the_page_shows_every_picture():
    shown = re.findall(r"\((images/\S+\.png)\)", PAGE.read_text())
    assert shown == [f"images/scaling_{part}.png" for part in PARTS]


@pytest.mark.slow
def test_images_are_segmented_once_and_the_next_call_knows_them(script, tmp_path):
    shutil.copy(PAGE, tmp_path)
    results = tmp_path / "scaling.json"
    words = ("--part", "size", "--model", "unet_demo", "--tile", 148)
    words += ("--results", results, "--docs", tmp_path)
    script("scaling.py", *words, "--sizes", "0.04")
    first = json.loads(results.read_text())["size"]["0.04"]
    assert first["tiles"] == "4 of 188x188"  # of 200 x 200 pixels
    assert first["seconds"] > 0
    assert 0.05 < first["peak_gib"] < 1
    assert "size: 0.04 is known" in script("scaling.py", *words, "--sizes", "0.04")
    assert json.loads(results.read_text())["size"] == {"0.04": first}
    assert "| 0.04 | " in (tmp_path / "scaling.md").read_text()


@pytest.mark.slow
def test_threads_and_processes_are_measured(script, tmp_path):
    shutil.copy(PAGE, tmp_path)
    results = tmp_path / "scaling.json"
    words = ("--model", "unet_demo", "--results", results, "--docs", tmp_path)
    words += ("--rounds", 1, "--repeats", 1, "--steps", 2)
    script("scaling.py", "--part", "threads", "--threads", "1,2", *words)
    script("scaling.py", "--part", "ranks", "--ranks", "2", *words)
    kept = json.loads(results.read_text())
    assert set(kept["threads"]) == {"1", "2"}
    assert kept["threads"]["2"]["training"]["median_s"] > 0
    assert [point["ranks"] for point in kept["ranks"].values()] == [1, 2]
    assert all(point["images_per_s"] > 0 for point in kept["ranks"].values())
