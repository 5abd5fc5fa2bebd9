"""The Fiji plugin "U-Net Segmentation" as the command line programs meet it.

Its processes and argument lists (caffe_unet_cli.md, sections 5 to 7, corrected by
fiji_observed.md). `tests.support.plugin_files` writes its files, and
`tests.support.plugin_log` reads logs as it does.
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.support import plugin_files as files
from tests.support.plugin_log import Curves, JavaError, Progress, classify, parse_int

ROOT = Path(__file__).parents[2]
LIMIT_S = 120  # the plugin waits for ever; a test must not
SNAPSHOT = re.compile(r"^.* Snapshotting to HDF5 file ", re.ASCII)


class PluginError(Exception):
    """A message in front of the user.

    Attributes
    ----------
    log : str
        All of the program's standard error.
    """

    def __init__(self, message: object, log: str) -> None:
        super().__init__(message)
        self.log = log


class Job:
    """A program that runs, with a thread at each of its streams.

    Attributes
    ----------
    pid : int
        What ``kill -2`` gets; -1 if the plugin does not know it.
    out, err : list of str
        Lines so far.
    status : int or None
        What `wait` gave.
    snapshot : str
        Weights that were written after a cancel.
    """

    def __init__(
        self,
        process: subprocess.Popen[str],
        *,
        read: Callable[[str], None] = lambda line: None,
        pid: int = -1,
        first_line_is_pid: bool = False,
        remote: bool = False,
    ) -> None:
        self.process = process
        self.pid = pid
        self.out: list[str] = []
        self.err: list[str] = []
        self.status: int | None = None
        self.cancelled = False
        self._leaves = False
        self.snapshot = ""
        self._read = read
        self._waits_for_pid = first_line_is_pid
        self._remote = remote
        self._error: JavaError | None = None
        self._news = threading.Condition()
        streams = ((process.stdout, self.out), (process.stderr, self.err))
        self._open = len(streams)
        self._threads = [
            threading.Thread(target=self._follow, args=arguments, daemon=True)
            for arguments in streams
        ]
        for thread in self._threads:
            thread.start()

    @property
    def log(self) -> str:
        """All of the standard error."""
        return "\n".join(self.err)

    def wait_for(self, text: str) -> None:
        """Wait until a line of either stream has a text."""
        with self._news:
            found = self._news.wait_for(
                lambda: self._has(text) or not self._open, LIMIT_S
            )
        assert found, f"no {text!r} in time"
        assert self._has(text), f"no {text!r} in\n{self.log}"

    def wait(self) -> int:
        """Wait for the end and give the exit status that Java sees."""
        try:
            status = self.process.wait(LIMIT_S)
        finally:
            if self.process.returncode is None:
                self.process.kill()
                self.process.wait()
            for thread in self._threads:
                thread.join(LIMIT_S)
            self._close()
        if self._error:
            raise self._error
        killed = -1 if self._remote else 128 - status
        self.status = status if status >= 0 else killed
        return self.status

    def leave(self) -> None:
        """Close the pipes, each after one line more."""
        self._leaves = True

    def _close(self) -> None:
        process = self.process
        for stream in (process.stdin, process.stdout, process.stderr):
            stream.close()  # type: ignore[union-attr]

    def _has(self, text: str) -> bool:
        return any(text in line for line in [*self.out, *self.err])

    def _follow(self, stream: Any, lines: list[str]) -> None:
        for text in stream:
            line = text.rstrip("\n")
            with self._news:
                lines.append(line)
                try:
                    self._take(line, stream is self.process.stdout)
                except JavaError as error:
                    self._error = self._error or error
                self._news.notify_all()
            if self._leaves:
                stream.close()
                break
        with self._news:
            self._open -= 1
            self._news.notify_all()

    def _take(self, line: str, is_out: bool) -> None:
        if is_out and self._waits_for_pid:
            self._waits_for_pid = False
            self.pid = parse_int(line)
        elif self._error:
            return
        elif not self.cancelled:
            self._read(line)
        elif SNAPSHOT.match(line):
            self.snapshot = line.partition(" Snapshotting to HDF5 file ")[2]

    @property
    def snapshot_iteration(self) -> int:
        """Iteration of the snapshot that was written after a cancel."""
        name = self.snapshot.partition("_iter_")[2]
        return parse_int(name.partition(".caffemodel.h5")[0])


class PluginClient:
    """The plugin with one process folder.

    Parameters
    ----------
    folder : Path
        Process folder, and the programs' working directory.
    programs : Path
        Folder with ``caffe_unet`` and ``caffe``.
    gpu : str, default ""
        Nothing, a number, or "all".
    remote : bool, default False
        Commands are texts for the shell of an account, as over SSH.
    java : int, default 17
        Under Java 8 the plugin knows the number of a local process.
    relative : bool, default False
        The process folder's preference is empty, so that paths are relative to the
        working directory.
    options : mapping
        More for `subprocess.Popen`.
    """

    def __init__(
        self,
        folder: Path,
        programs: Path,
        *,
        gpu: str = "",
        remote: bool = False,
        java: int = 17,
        relative: bool = False,
        **options: Any,
    ) -> None:
        self.folder = folder
        self.gpu = gpu
        self.remote = remote
        self.java = java
        self.place = "" if relative else f"{folder}/"
        self.ident = "unet-7d3a0f6e-5f0c-4b0e-9c51-0a3a5fbd3f10"
        self.caffe_unet = str(programs / "caffe_unet")
        self.caffe = str(programs / "caffe")
        self.calls: list[str] = []
        self._options = options

    def path(self, suffix: str) -> str:
        """Name a file of the job as the plugin writes it into arguments and lists."""
        return f"{self.place}{self.ident}{suffix}"

    def unet(self, *words: object) -> Job:
        """Call ``caffe_unet`` with any arguments, to the end."""
        job = self._start([self.caffe_unet, *words])
        job.wait()
        return job

    def prepare(
        self,
        model: Any,
        train: Sequence[Any],
        valid: Sequence[Any] = (),
        *,
        tile_in: Sequence[int],
        iterations: int,
        interval: int = 1,
        classes: Sequence[str] = ("Background", "cell"),
    ) -> Curves:
        """Write all files of a finetuning; samples as for `files.write_training`."""
        names = [self.path(f"_train_{n}.h5") for n in range(len(train))]
        for name, sample in zip(names, train, strict=True):
            files.write_training(self.folder / name, model, sample, classes)
        tiles = []
        for number, sample in enumerate(valid):
            stem = f"{self.folder}/{self.ident}_valid_{number}"
            tiles += files.write_tiles(stem, model, sample, tile_in)
        lists = (self.path("-trainfilelist.txt"), self.path("-validfilelist.txt"))
        for name, lines in zip(lists, (names, tiles), strict=True):
            (self.folder / name).write_text("".join(f"{line}\n" for line in lines))
        net = files.finetuning_net(
            model, lists[0], lists[1] if tiles else "", tile_in, len(classes)
        )
        solver = files.finetuning_solver(
            model,
            self.path(""),
            iterations,
            interval=interval,
            tiles=len(tiles),
            gpu=bool(self.gpu),
        )
        (self.folder / self.path("-model.prototxt")).write_text(net)
        (self.folder / self.path("-solver.prototxt")).write_text(solver)
        return Curves(len(classes) - 1, iterations, interval)

    def usable(self) -> bool:
        """Make the two bare calls before every job."""
        return all(
            self._start([program]).wait() == 0
            for program in (self.caffe_unet, self.caffe)
        )

    def check(self, model: object, weights: object, channels: int = 1) -> Job:
        """Ask whether a model and weights fit, to the end."""
        words = ["-model", model, "-weights", weights, "-n_channels", channels]
        gpu = ["-gpu", self.gpu] if self.gpu else []
        action = "check_model_and_weights_h5"
        if self.remote:
            text = (
                f'{self.caffe_unet} {action} -model "{model}" -weights "{weights}" '
                f"-n_channels {channels} {' '.join(gpu)}"
            )
            job = self._start_remote(text)
        else:
            job = self._start([self.caffe_unet, action, *words, *gpu])
        job.wait()
        return job

    def predict(
        self, model: object, weights: object, *tiling: str, progress: Progress
    ) -> Job:
        """Start a segmentation of the file ``P<id>.h5``, which its result replaces."""
        file = self.path(".h5")
        words = ["tiled_predict", "-infileH5", file, "-outfileH5", file]
        words += ["-model", model, "-weights", weights, "-iterations", "0", *tiling]
        return self._run(self.caffe_unet, words, progress.read)

    def segment(
        self, model: object, weights: object, *tiling: str, channels: int = 1
    ) -> Progress:
        """Segment the file ``P<id>.h5``: bare calls, check, prediction."""
        assert self.usable()
        job = self.check(model, weights, channels)
        if job.status != 0:
            cause = classify(job.log) if self.remote else "Model/Weight check failed"
            raise PluginError(cause, job.log)
        return self.segment_by_macro(model, weights, *tiling)

    def segment_by_macro(
        self, model: object, weights: object, *tiling: str
    ) -> Progress:
        """Segment the file ``P<id>.h5`` as a macro does, by one call."""
        progress = Progress()
        job = self.predict(model, weights, *tiling, progress=progress)
        if job.wait() != 0:
            raise PluginError(classify(job.log), job.log)
        return progress

    def train(self, *words: str, curves: Curves) -> Job:
        """Start ``caffe train`` with an argument list."""
        self.calls = ["train", *words]
        return self._run(self.caffe, self.calls, curves.read, trains=True)

    def finetune(self, weights: object | None, *, curves: Curves) -> Job:
        """Start a finetuning of files that were written before."""
        given = [] if weights is None else ["-weights", str(weights)]
        gpu = ["-gpu", self.gpu] if self.gpu else []
        words = ["-solver", self.path("-solver.prototxt"), *given, *gpu]
        return self.train(*words, "-sigint_effect", "stop", curves=curves)

    def resume(self, job: Job, *, curves: Curves) -> Job:
        """Go on from the snapshot of a cancelled finetuning."""
        state = job.snapshot.replace("caffemodel.h5", "solverstate.h5")
        words = self.calls[1:]
        if "-weights" in words:
            place = words.index("-weights")
            words[place : place + 2] = ["-snapshot", state]
        else:
            words += ["-snapshot", state]
        return self.train(*words, curves=curves)

    def cancel_segmentation(self, job: Job) -> int:
        """Press Cancel; give the exit status."""
        self._interrupt(job)
        if not self.remote:
            job.process.terminate()
        Path(self.folder, f"{self.ident}.h5").unlink()  # at once: nobody waits
        return job.wait()

    def cancel_finetuning(self, job: Job) -> int:
        """Press Cancel; give the exit status.

        What the plugin does not know the number of it only asks to end, and deletes
        all that it wrote for it without waiting.
        """
        self._interrupt(job)
        if job.pid == -1:
            job.process.terminate()
            for path in self.folder.glob(f"{self.ident}[-_]*"):
                if "snapshot" not in path.name:
                    path.unlink()
        return job.wait()

    def _interrupt(self, job: Job) -> None:
        job.cancelled = True
        if job.pid == -1:
            return
        kill = ["kill", "-2", str(job.pid)]
        line = " ".join(kill)
        subprocess.run(["sh", "-c", line] if self.remote else kill, check=False)

    def _run(
        self,
        program: str,
        words: Sequence[object],
        read: Callable[[str], None],
        *,
        trains: bool = False,
    ) -> Job:
        if not trains and self.gpu:
            words = [*words, "-gpu", self.gpu]
        if self.remote:
            text = f"echo $$ && exec {program} {' '.join(map(str, words))}"
            return self._start_remote(text, read=read, first_line_is_pid=True)
        job = self._start([program, *words], read=read, first_line_is_pid=trains)
        if self.java == 8:
            job.pid = job.process.pid
        return job

    def _start_remote(self, text: str, **how: Any) -> Job:
        return self._start(["sh", "-c", text], remote=True, **how)

    def _start(self, words: Sequence[object], **how: Any) -> Job:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            list(map(str, words)),
            cwd=self.folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            **self._options,
        )
        self.job = Job(process, **how)
        return self.job
