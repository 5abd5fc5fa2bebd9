"""``pyunet segment-and-track``: the flow of the 2015 release, frames in, tracks out."""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyunet.cli.saying import say

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pyunet_tracking.challenge import Track
    from pyunet_tracking.raw_results import RawResults
    from pyunet_tracking.segmentation import Segmentation

LOG = logging.getLogger(__name__)
HELP = "segment the frames of a sequence and follow its objects, as in 2015"
EPILOG = """\
IN_DIR has one TIFF file a frame (t000.tif, t001.tif, ...; all *.tif, by name).
OUT_DIR gets raw_results.h5 (scores, labels), binmask000.tif ... (255 is foreground),
mask000.tif ... (uint16, the labels of the tracks) and res_track.txt, whose lines are
"label begin end parent". Any net will do: with several classes all but class 0 are
foreground; a 3-D net takes the pages of a file as a volume.
The same command continues after the last complete frame. With raw_results.h5 of the
same frames, net and image options, only the tracking is done again.
Programs that read every .tif of a folder as a mask, such as ctc_validate of
py-ctcmetrics, want --no-binmasks.

example:
  pyunet segment-and-track PhC-C2DH-U373/01 PhC-C2DH-U373/01_RES \\
      --model phseg_v5 --weights phseg_v5.caffemodel
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line; the defaults are the release's, for U373."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add("in_dir", metavar="IN_DIR", help="folder of the frames")
    add("out_dir", metavar="OUT_DIR", help="folder for the results")
    add(
        "--model", required=True, metavar="MODEL",
        help="folder with deploy.prototxt, a prototxt file, or a model's name",
    )  # fmt: skip
    add(
        "--weights", required=True, metavar="FILE",
        help="trained weights, .caffemodel or .caffemodel.h5",
    )  # fmt: skip
    add(
        "--norm-image", action="store_true",
        help="scale the whole sequence to 0..1 and subtract each frame's median",
    )  # fmt: skip
    add(
        "--scale-image", type=float, default=1.0, metavar="S",
        help="resize the frames by this factor first, and the scores back (default: 1)",
    )  # fmt: skip
    add(
        "--tiles", type=int, default=2, metavar="N",
        help="cut the rows of a frame into so many tiles; more take less memory "
        "(default: 2)",
    )  # fmt: skip
    add("--fill-holes", action="store_true", help="fill the holes of objects")
    add(
        "--min-area", type=int, default=500, metavar="PIXELS",
        help="only objects with more pixels than this count (default: 500)",
    )  # fmt: skip
    add(
        "--foi-border", type=int, default=50, metavar="PIXELS",
        help="border around the field of interest: objects outside are followed but "
        "not written (default: 50)",
    )  # fmt: skip
    add(
        "--linking", choices=("release", "laptrack"), default="release",
        help="greedy, by overlap, as in 2015; or by linear assignment with gaps and "
        "divisions (pip install pyunet[metrics]) (default: release)",
    )  # fmt: skip
    add("--no-binmasks", action="store_true", help="write no binmask000.tif ...")
    add("--gpu", type=int, metavar="N", help="run on this GPU (default: the CPU)")


def run(args: argparse.Namespace) -> int:
    """Segment all frames, then track."""
    from pyunet.inference.engine import load_model
    from pyunet.zoo import find_model
    from pyunet_tracking.frames import Frames
    from pyunet_tracking.raw_results import RawResults
    from pyunet_tracking.segmentation import Segmentation

    started = time.monotonic()
    out = Path(args.out_dir)
    _check_options(args, out)
    model = load_model(find_model(args.model), args.weights, gpu=args.gpu)
    frames = Frames.of(args.in_dir, volumes=len(model.axes) == 3)
    _check_leftovers(out, len(frames))
    key = _key(args, model.deploy, frames.digest())
    work = Segmentation.of(
        model, frames,
        tiles=args.tiles, normalise=args.norm_image, scale=args.scale_image,
    )  # fmt: skip
    shape = (work.classes, *frames.shape[1:])
    results = RawResults(out, key, frames=len(frames), shape=shape)
    _segment(work, results)
    results.finish("probabilities" if model.gives_probabilities else "scores")
    tracks = _track(args, out, results)
    _report(out, work, tracks, time.monotonic() - started)
    return 0


def _check_options(args: argparse.Namespace, out: Path) -> None:
    """Refuse before any work is done what would fail or harm after it."""
    from pyunet.errors import DataError
    from pyunet.files import followed
    from pyunet_tracking.linking import import_laptrack
    from pyunet_tracking.release import GreedyTracker

    if (out.exists() or out.is_symlink()) and not out.is_dir():
        raise DataError(
            f"{out}: is not a folder; expected a folder or a new name for OUT_DIR"
        )
    if followed(out) == followed(args.in_dir):
        raise DataError(f"{out}: is the folder of the frames; take another OUT_DIR")
    GreedyTracker(min_area_px=args.min_area, foi_border_px=args.foi_border)
    if args.linking == "laptrack":
        import_laptrack()


def _check_leftovers(out: Path, frames: int) -> None:
    """Refuse a folder with masks of a longer sequence: they would stay between ours."""
    from pyunet.errors import DataError

    masks = [*out.glob("mask*.tif"), *out.glob("binmask*.tif")]
    for path in masks:
        number = path.stem.removeprefix("bin").removeprefix("mask")
        if number.isdecimal() and int(number) >= frames:
            raise DataError(
                f"{path}: is of another sequence, this one has {frames} frame(s); "
                "delete it or take another OUT_DIR"
            )


def _key(args: argparse.Namespace, deploy: Path, frames: str) -> str:
    """Say what scores depend on."""
    files = [_hash_file(path) for path in (deploy, Path(args.weights))]
    options = [args.norm_image, args.scale_image, args.tiles]
    return json.dumps(["release 2015", *files, *options, frames])


def _hash_file(path: Path) -> str:
    state = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            state.update(block)
    return state.hexdigest()


def _segment(work: Segmentation, results: RawResults) -> None:
    from tqdm import tqdm

    missing = results.missing()
    kept = len(work.frames) - len(missing)
    if kept:
        LOG.info("%s: %d frame(s) are there already", results.path, kept)
    try:
        with tqdm(
            total=len(missing) * work.tiles.passes,
            desc="segment", unit="pass", disable=None,
        ) as progress:  # fmt: skip
            for index in missing:
                results.add(index, work.scores(index, done=progress.update))
    except KeyboardInterrupt:
        done = len(work.frames) - len(results.missing())
        LOG.info(
            "%d of %d frame(s) are kept; the same command continues from there",
            done, len(work.frames),
        )  # fmt: skip
        raise


def _track(args: argparse.Namespace, out: Path, results: RawResults) -> list[Track]:
    """Write all masks and the table, or none."""
    import numpy as np
    from tqdm import tqdm

    from pyunet.files import new_files
    from pyunet_tracking.challenge import TRACKS, format_tracks, mask_name, write_mask

    tracks: list[Track] = []
    with new_files(out) as place:
        if not args.no_binmasks:
            with closing(results.labels()) as labels:
                for index, frame in enumerate(labels):
                    binary = np.where(frame > 0, np.uint8(255), np.uint8(0))
                    write_mask(place(f"bin{mask_name(index)}"), binary)
        with closing(results.labels()) as labels:
            masks = _link(args, labels, tracks)
            for index, mask in enumerate(
                tqdm(masks, "track", results.frames, unit="frame", disable=None)
            ):
                write_mask(place(mask_name(index)), mask)
        place(TRACKS).write_text(format_tracks(tracks), encoding="utf-8")
    return tracks


def _link(
    args: argparse.Namespace, labels: Iterator[NDArray[Any]], tracks: list[Track]
) -> Iterator[NDArray[np.uint16]]:
    """Give the masks; the tracks are in the list when the last one is out."""
    from pyunet_tracking.linking import link_frames
    from pyunet_tracking.release import GreedyTracker

    options = {
        "min_area_px": args.min_area,
        "foi_border_px": args.foi_border,
        "fill_holes": args.fill_holes,
    }
    if args.linking == "laptrack":
        masks, new_tracks = link_frames(labels, **options)
        yield from masks
        tracks += new_tracks
    else:
        tracker = GreedyTracker(**options)
        yield from map(tracker.update, labels)
        tracks += tracker.tracks


def _report(out: Path, work: Segmentation, tracks: list[Track], seconds: float) -> None:
    from pyunet.inference.tiling import format_shape
    from pyunet_tracking.challenge import TRACKS

    parents = sum(track.parent > 0 for track in tracks)
    say(
        f"{out / TRACKS}: {len(tracks)} track(s), {parents} with a parent, in "
        f"{len(work.frames)} frame(s) of {format_shape(work.frames.shape[1:])} pixels, "
        f"{len(work.tiles.starts)} tile(s) of {format_shape(work.tiles.tile)} each, "
        f"{seconds:.1f} s"
    )
