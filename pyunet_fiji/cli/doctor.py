"""``pyunet doctor``: what the Fiji plugin will find."""

from __future__ import annotations

import argparse
from pathlib import Path

from pyunet.errors import DataError

HELP = "say what the U-Net plugin of Fiji will find here, or over SSH"
FAMILIES = ("programs", "ssh", "machine", "folders", "model")
EPILOG = """\
A line a check: ok, warning (works, or matters to some only) or problem, with the line
that mends it. The exit status is 1 if there is a problem. Nothing is changed, but by
--mend: into its snapshot of a job over SSH the plugin writes a setting under one name
and looks for it under another; --mend adds the second, and the job can be resumed.

  programs  caffe and caffe_unet as Fiji finds them here, and what ImageJ remembers
  ssh       the same for a Fiji that reaches this computer over SSH
  machine   Python, torch, GPUs, memory
  folders   the process folder and the temporary folder
  model     --model and --weights, by the plugin's own check and by their contents

Where Fiji reaches a computer over SSH, call it there in an SSH session, so that what
is wrong over SSH is a problem and not a warning; or look from Fiji's side with --ssh.

example:
  pyunet doctor --folder unet-jobs
  pyunet doctor --model cells.modeldef.h5 --weights cells.caffemodel.h5 --channels 3
  pyunet doctor --ssh me@gpu-server --folder unet-jobs
  pyunet doctor --mend cells-snapshot.h5"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add(
        "--folder",
        default="",
        metavar="DIR",
        help="the process folder of the plugin's dialog (default: where you are, with "
        "--ssh the home folder there)",
    )
    add("--model", type=Path, metavar="M.modeldef.h5", help="a model to check")
    add(
        "--weights",
        metavar="W.caffemodel.h5",
        help="weights to check with the model; with --ssh their path there",
    )
    add(
        "--channels",
        type=_positive,
        default=1,
        metavar="C",
        help="channels of the images for --weights; 3 for colour (default: 1)",
    )
    add(
        "--gpu",
        default="",
        metavar="K",
        help="the GPU of the dialog for --weights: a number or `all` (default: none)",
    )
    add("--ssh", metavar="USER@HOST", help="check another computer, over SSH")
    add(
        "--mend",
        type=Path,
        metavar="FILE",
        help="mend a snapshot of the plugin, of a finetuning over SSH",
    )
    add(
        "--only",
        action="append",
        choices=FAMILIES,
        help="only these checks; may be given several times; not with --ssh",
    )


def run(args: argparse.Namespace) -> int:
    """Print the findings; 1 if there is a problem among them."""
    from pyunet_fiji.doctor import PROBLEM, Finding, Request, examine, summary

    if args.mend:
        return _mend(args.mend)
    if args.weights and not args.model:
        raise DataError(f"--weights {args.weights}: expected --model with it")
    if args.ssh and args.only:
        raise DataError("--only: expected no --ssh")
    request = Request(
        only=tuple(args.only or ()),
        folder=args.folder,
        model=args.model,
        weights=args.weights,
        channels=args.channels,
        gpu=args.gpu,
        host=args.ssh,
    )
    findings: list[Finding] = []
    for finding in examine(request):
        findings.append(finding)
        print(finding, flush=True)
    print(f"\n{summary(findings)}")
    return int(any(finding.level == PROBLEM for finding in findings))


def _mend(path: Path) -> int:
    from pyunet_fiji.doctor import snapshots

    if snapshots.mend(path):
        print(f"{path}: mended; the plugin can resume from it")
    else:
        print(f"{path}: needed no mending")
    return 0


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number of channels: 1 or more"
        )
    return int(text)
