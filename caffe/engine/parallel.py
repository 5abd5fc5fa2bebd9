"""Several processes that train one net together, over torch.distributed."""

from __future__ import annotations

import multiprocessing.util
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.distributed as dist

from caffe.engine import common
from caffe.errors import CheckError, PeerError

_MEETING = timedelta(minutes=30)
# for the tests of one; who dies is noticed at once, and `caffe train` sees who stops
_PATIENCE = timedelta(days=1)
_REQUESTS = ("stop", "snapshot")


class Peers(Protocol):
    """What a solver asks of the processes that train with it."""

    rank: int
    count: int

    def agree(self, request: str) -> str:
        """Give all processes the same request if any of them has one."""

    def tell(self, data: bytes) -> bytes:
        """Give all processes what rank 0 has."""


class Alone:
    """The one process of a training.

    Examples
    --------
    >>> Alone().agree("stop")
    'stop'
    """

    rank = 0
    count = 1

    def agree(self, request: str) -> str:
        """Give the request back."""
        return request

    def tell(self, data: bytes) -> bytes:
        """Give the data back."""
        return data


class Group:
    """Processes that exchange tensors: through NCCL on GPUs, through Gloo on CPUs.

    On CPUs they share the cores of the machine, unless ``OMP_NUM_THREADS`` says how
    many each uses.

    Parameters
    ----------
    rank, count : int
        Number of this process, and how many there are.
    uid : bytes
        What `new_uid` gave, the same in all of them.

    Raises
    ------
    CheckError
        If the numbers or the uid make no sense.
    PeerError
        If the others do not come within half an hour.
    """

    def __init__(self, rank: int, count: int, uid: bytes) -> None:
        if not 0 <= rank < count:
            raise CheckError(
                f"solver_rank is {rank}: expected 0 to {count - 1}, as solver_count "
                f"is {count}"
            )
        self.rank, self.count = rank, count
        self._meeting_place = _meeting_place(uid)
        if dist.is_initialized():
            dist.destroy_process_group()
        on_gpu = common.device().type == "cuda"
        if not on_gpu:
            _share_cores(count)
        with self._noticing_loss():
            store = dist.FileStore(  # type: ignore[attr-defined]
                str(self._meeting_place), count
            )
            store.set_timeout(_MEETING)
            dist.init_process_group(
                # requests of the loop go through the host in either case
                "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
                store=store,
                rank=rank,
                world_size=count,
                timeout=_PATIENCE,
            )
        # unlike atexit's, this is also called where a process of a script ends
        multiprocessing.util.Finalize(self, self.close, exitpriority=1)

    def average(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replace tensors by their means over all processes, in one exchange."""
        self._exchange(tensors, self._mean)

    def broadcast(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replace tensors by those of rank 0, in one exchange."""
        self._exchange(tensors, lambda flat: dist.broadcast(flat, src=0))

    def agree(self, request: str) -> str:
        """Give all processes the same request if any has one, "stop" before others."""
        asked = torch.tensor([int(request == known) for known in _REQUESTS])
        with self._noticing_loss():
            dist.all_reduce(asked)
        wanted = [name for name, votes in zip(_REQUESTS, asked, strict=True) if votes]
        return wanted[0] if wanted else "none"

    def tell(self, data: bytes) -> bytes:
        """Give all processes the data of rank 0, which must be as long in each."""
        numbers = torch.tensor(list(data), dtype=torch.uint8)
        with self._noticing_loss():
            dist.broadcast(numbers, src=0)
        return bytes(numbers.tolist())

    def close(self) -> None:
        """Leave the group."""
        if dist.is_initialized():
            dist.destroy_process_group()
        # the store removes it only if every process has let go of every part of the
        # group before it ends, which torch does not promise
        self._meeting_place.unlink(missing_ok=True)

    def _mean(self, flat: torch.Tensor) -> None:
        dist.all_reduce(flat)
        flat.mul_(1 / self.count)

    def _exchange(
        self,
        tensors: Sequence[torch.Tensor],
        how: Callable[[torch.Tensor], object],
    ) -> None:
        if not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        with self._noticing_loss():
            how(flat)
        parts = flat.split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view(tensor.shape))

    @contextmanager
    def _noticing_loss(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0]
            raise PeerError(
                f"rank {self.rank} of {self.count} can't reach the others: {reason}"
            ) from error


class NCCL:
    """pycaffe's exchange of gradients between solvers, one process each.

    On GPUs it goes through NCCL, on CPUs through Gloo. `caffe.set_solver_count` and
    `caffe.set_solver_rank` come first, then the solver, then this; then::

        nccl.bcast()
        solver.add_callback(nccl)
        solver.step(n)

    Before each update the gradients are then the means over all solvers. Caffe's
    `layer_wise_reduce` (an exchange for every layer during the backward,
    ``net.after_backward(nccl)``) is accepted and changes nothing: all gradients are
    exchanged at once, after it.

    Parameters
    ----------
    solver : Solver
    uid : bytes
        From `new_uid`, the same in all processes.

    Raises
    ------
    CaffeError
        As `Group`.
    """

    def __init__(self, solver: Any, uid: bytes) -> None:
        self._solver = solver
        self.group = Group(common.solver_rank(), common.solver_count(), uid)

    @staticmethod
    def new_uid() -> bytes:
        """Make the name under which the processes of one training meet."""
        name = f"caffe-{secrets.token_hex(16)}"
        return os.fsencode(Path(tempfile.gettempdir(), name))

    def bcast(self) -> None:
        """Start all solvers from the weights of rank 0."""
        with torch.no_grad():
            self.group.broadcast(
                [item.blob.tensor(common.device()) for item in self._learnable()]
            )

    def on_start(self) -> None:
        """Do nothing: weights that start equal stay equal."""

    def on_gradients_ready(self) -> None:
        """Replace the gradients by their means over all solvers."""
        self.group.average(
            [item.blob.grad_tensor(common.device()) for item in self._learnable()]
        )

    def __call__(self, layer: int) -> None:
        """Do nothing: as a hook of a net's backward (`layer_wise_reduce`)."""

    def close(self) -> None:
        """Leave the group."""
        self.group.close()

    def _learnable(self) -> list[Any]:
        found: list[Any] = self._solver.net.learnable
        return found


def has_nccl() -> bool:
    """Tell whether `NCCL` works here: with Gloo it does so without a GPU, too."""
    return dist.is_available()


def _share_cores(count: int) -> None:
    """Keep processes from waiting for each other's threads."""
    if count > 1 and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // count))


def _meeting_place(uid: Any) -> Path:
    path = Path(os.fsdecode(uid)) if isinstance(uid, (bytes, str)) else Path()
    if not path.is_absolute() or not path.parent.is_dir():
        raise CheckError(f"uid {uid!r}: expected what caffe.NCCL.new_uid() gave")
    return path
