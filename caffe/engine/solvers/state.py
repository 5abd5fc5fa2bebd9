"""Solver states in files: Caffe's own two forms, and the side-car for exact resume."""

from __future__ import annotations

import hashlib
import io
import math
import os
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from caffe import atomic
from caffe.engine import hdf5
from caffe.errors import CaffeError, CheckError, FileError
from caffe.glog import log
from caffe.proto import blobs as protos
from caffe.proto import caffe_pb2, wire
from caffe.proto.stored import Numbers, serialise
from caffe.proto.text import check_pointer

PathLike = str | os.PathLike[str]
Arrays = dict[str, NDArray[Any]]
_FINGERPRINT = "sha256"
_RANKS = "ranks"
DIGEST_LENGTH = 64
_ODD_ARRAYS = (
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
)
_NUMBERS = (
    "base_lr", "gamma", "power", "momentum", "momentum2", "delta", "rms_decay",
    "weight_decay",
)  # fmt: skip


@dataclass
class SolverState:
    """What Caffe remembers of a solver.

    Attributes
    ----------
    iteration : int
        Number of updates done.
    learned_net : str
        File of the weights; empty: none.
    current_step : int
        See `LearningRate`.
    history : list of arrays
    """

    iteration: int
    learned_net: str
    current_step: int
    history: list[NDArray[Any]]


def draft(
    state: SolverState, path: PathLike, *, hdf5_format: bool
) -> tuple[atomic.Written, str]:
    """Write a ``.solverstate`` that is not yet in its place.

    Parameters
    ----------
    state : SolverState
    path : path
    hdf5_format : bool
        HDF5 instead of a binary SolverState.

    Returns
    -------
    atomic.Written
    str
        Its `fingerprint`.

    Raises
    ------
    FileError
        If the file can't be written.
    """
    digest = hashlib.sha256()
    parts = _counted(_parts(state, path, hdf5_format=hdf5_format), digest)
    return atomic.Written(path, parts), digest.hexdigest()


def _parts(
    state: SolverState, path: PathLike, *, hdf5_format: bool
) -> Iterable[bytes | memoryview]:
    if hdf5_format:
        return [hdf5.image(lambda file: _fill(state, file))]
    message = caffe_pb2.SolverState(
        iter=state.iteration,
        learned_net=state.learned_net,
        current_step=state.current_step,
        history=[{"shape": {"dim": values.shape}} for values in state.history],
    )
    numbers = ((Numbers(v.size, partial(np.asarray, v)), None) for v in state.history)
    return serialise(message, wire.SOLVER_STATE, numbers, path=path)


def _counted(
    parts: Iterable[bytes | memoryview], digest: Any
) -> Iterator[bytes | memoryview]:
    for part in parts:
        digest.update(part)
        yield part


def read(path: PathLike) -> SolverState:
    """Read a solver state, HDF5 if the name ends in ``.h5``.

    Raises
    ------
    FileError
        If the file is missing, truncated or something else.
    """
    if os.fspath(path).endswith(".h5"):
        with hdf5.opened(path) as file:
            return _read_hdf5(path, file)
    return _read_binary(path)


def restore_history(
    mine: list[torch.Tensor], found: list[NDArray[Any]], *, path: PathLike, method: str
) -> None:
    """Copy the history of a solver state into that of a solver.

    Parameters
    ----------
    mine : list of torch.Tensor
    found : list of ndarray
        Of any shapes with as many numbers.
    path : path
        Of the state, for messages.
    method : str
        Of the solver, for messages.

    Raises
    ------
    CheckError
        If the state is of another net or method.
    """
    if len(found) != len(mine):
        raise CheckError(
            f"{path}: Incorrect length of history blobs: the file has {len(found)}, "
            f"a {method} solver of this net has {len(mine)}"
        )
    if not os.fspath(path).endswith(".h5"):
        log("sgd_solver.cpp:318", "SGDSolver: restoring history")
    for index, (target, values) in enumerate(zip(mine, found, strict=True)):
        if target.numel() != values.size:
            raise CheckError(
                f"{path}: history blob {index} has shape {values.shape}, "
                f"this net needs {tuple(target.shape)}"
            )
        target.copy_(torch.from_numpy(values).view(target.shape))


def draft_sidecar(
    path: PathLike, arrays: Arrays, *, digest: str, place: tuple[int, int] = (0, 1)
) -> atomic.Written:
    """Write what Caffe forgets, not yet in its place beside a solver state.

    It goes there before the state, which it knows by its digest: a state that is
    there has its side-car.

    Parameters
    ----------
    path : path
        Of the state; the side-car is ``<path>.resume.npz``, that of a later rank
        ``<path>.rank1.resume.npz`` and so on.
    arrays : dict of str to ndarray
    digest : str
        `fingerprint` of the state.
    place : (int, int)
        Rank of this process and number of ranks.
    """
    buffer = io.BytesIO()
    rank, ranks = place
    named: dict[str, Any] = {
        _FINGERPRINT: np.array(digest),
        _RANKS: np.array(ranks),
        **arrays,
    }
    np.savez(buffer, **named)
    return atomic.Written(_sidecar(path, rank), [buffer.getvalue()])


def read_sidecar(path: PathLike, *, place: tuple[int, int] = (0, 1)) -> Arrays | None:
    """Read what `draft_sidecar` wrote for exactly this state and as many ranks.

    Returns
    -------
    dict or None
        None, with one warning in the log, if there is no such thing.
    """
    rank, ranks = place
    sidecar = _sidecar(path, rank)
    problem = f"{sidecar} is missing"
    if sidecar.exists():
        try:
            with zipfile.ZipFile(sidecar) as archive:
                arrays = dict(_arrays(archive))
            found = int(arrays.pop(_RANKS, np.array(1)))
            if str(arrays.pop(_FINGERPRINT, "")) != fingerprint(path):
                problem = f"{sidecar} belongs to another solver state"
            elif found != ranks:
                problem = f"{sidecar} was written by one of {found} ranks, not {ranks}"
            else:
                return arrays
        except Exception as error:  # zipfile and numpy stumble over damage in many ways
            problem = f"{sidecar} can't be read ({error})"
    log(
        "solver.cpp:530",
        f"{problem}: training goes on as in Caffe, with new random numbers and the "
        "data from its beginning",
        "W",
    )
    return None


@contextmanager
def taking_back(path: PathLike, *, place: tuple[int, int]) -> Iterator[None]:
    """Make a `FileError` of what goes wrong where a side-car's arrays are used.

    Raises
    ------
    FileError
        Naming the side-car of the state at `path`.
    """
    try:
        yield
    except CaffeError as error:
        raise FileError(f"{_sidecar(path, place[0])}: {error}") from error
    except _ODD_ARRAYS as error:
        raise FileError(
            f"{_sidecar(path, place[0])}: has an odd value "
            f"({type(error).__name__}: {error}): expected what a training left; "
            "without this file training goes on as in Caffe"
        ) from error


def fingerprint(path: PathLike) -> str:
    """SHA-256 of a file."""
    with Path(path).open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
        return digest.hexdigest()


def check_settings(param: Any) -> None:
    """Refuse what would fail during the training, or after it.

    Parameters
    ----------
    param : SolverParameter

    Raises
    ------
    CheckError
        If a count is not positive, a number none, or snapshots have no place.
    """
    for name in ("average_loss", "iter_size"):
        if getattr(param, name) < 1:
            value = getattr(param, name)
            raise CheckError(f"{name} must be 1 or more, it is {value}")
    for name in _NUMBERS:
        if not math.isfinite(getattr(param, name)):
            raise CheckError(f"{name} is {getattr(param, name)}: expected a number")
    if math.isnan(param.clip_gradients):
        raise CheckError("clip_gradients is nan: expected a number")
    if param.snapshot:
        if not param.HasField("snapshot_prefix"):
            raise CheckError(
                "In solver params, snapshot is specified but snapshot_prefix is not"
            )
        check_prefix(param.snapshot_prefix)


def check_prefix(prefix: str) -> None:
    """Make the folder of the snapshots and see that files can be put there.

    Parameters
    ----------
    prefix : str
        How the names of the snapshots begin, with their folder.

    Raises
    ------
    FileError
        If they can't.
    """
    probe = Path(f"{prefix}_iter_0.solverstate")
    try:
        probe.parent.mkdir(parents=True, exist_ok=True)
        with atomic.Draft(probe) as draft:
            draft.path.touch()
    except OSError as error:
        raise FileError(
            f"Cannot write to snapshot prefix '{prefix}': {atomic.reason(error)}"
        ) from error


def _arrays(archive: zipfile.ZipFile) -> Iterator[tuple[str, NDArray[Any]]]:
    for name in archive.namelist():
        # what is compressed could be of any size, and no training left it
        if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"{name} is compressed")
        with archive.open(name) as member:
            values = np.lib.format.read_array(member, allow_pickle=False)
            yield name.removesuffix(".npy"), values


def _sidecar(path: PathLike, rank: int) -> Path:
    whose = f".rank{rank}" if rank else ""
    return Path(f"{os.fspath(path)}{whose}.resume.npz")


def _fill(state: SolverState, file: Any) -> None:
    file.create_dataset("iter", data=np.array([state.iteration], np.int32))
    hdf5.write_text(file, "learned_net", state.learned_net)
    file.create_dataset("current_step", data=np.array([state.current_step], np.int32))
    history = file.create_group("history")
    for index, values in enumerate(state.history):
        history.create_dataset(str(index), data=values)


def _read_hdf5(path: PathLike, file: Any) -> SolverState:
    for name in ("iter", "current_step", "history"):
        if name not in file:
            raise FileError(
                f"{path}: no solver state: it has no '{name}', only "
                f"{', '.join(sorted(file)) or 'nothing'}"
            )
    arrays = file["history"]
    if not hdf5.is_group(arrays):
        raise FileError(f"{path}: no solver state: its 'history' is no group")
    history = [
        hdf5.read_numbers(arrays[str(index)], path) for index in range(len(arrays))
    ]
    return SolverState(
        iteration=hdf5.read_integer(file, "iter", path),
        learned_net=(
            hdf5.read_text(file, "learned_net") if "learned_net" in file else ""
        ),
        current_step=hdf5.read_integer(file, "current_step", path),
        history=history,
    )


def _read_binary(path: PathLike) -> SolverState:
    from google.protobuf.message import DecodeError

    try:
        raw = Path(path).read_bytes()
        check_pointer(path, raw)
        message = caffe_pb2.SolverState.FromString(raw)
        history = [protos.to_array(blob) for blob in message.history]
    except FileError:
        raise
    except FileNotFoundError:
        raise FileError(f"{path}: no such file") from None
    except OSError as error:
        raise FileError(f"{path}: {atomic.reason(error)}") from error
    except (DecodeError, CheckError) as error:
        raise FileError(
            f"{path}: not a whole solver state, perhaps truncated ({error})"
        ) from error
    except ValueError as error:  # a name with a NUL in it
        raise FileError(f"{str(path)!r}: {error}") from error
    if not message.HasField("iter"):
        raise FileError(f"{path}: no solver state: it names no iteration")
    if not isinstance(message.learned_net, str):
        raise FileError(f"{path}: learned_net {message.learned_net!r} is not UTF-8")
    return SolverState(message.iter, message.learned_net, message.current_step, history)
