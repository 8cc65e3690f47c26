"""Several processes on one training: their number, sums and means over them. With one process nothing happens."""

import datetime
import os
from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from ...errors import MachineError

MESSAGE = 2**24  # values that go in one message

_hosts = None  # the gloo group in which hosts agree without waiting for a GPU


def rank():
    """Number of this process among all, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world():
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def start(device):
    """Join the other processes, if torchrun started this one, and return this process's torch.device.

    device: "auto", "cpu", "cuda" or "cuda:N"; of several processes each takes the GPU of its local rank.
    """
    global _hosts
    if "LOCAL_RANK" not in os.environ or int(os.environ.get("WORLD_SIZE", 1)) == 1:
        from ...cli import choose_devices

        return torch.device(choose_devices(device, 1)[0])
    gpu = device != "cpu" and torch.cuda.is_available()
    chosen = torch.device(f"cuda:{os.environ['LOCAL_RANK']}" if gpu else "cpu")
    if gpu:
        torch.cuda.set_device(chosen)
    dist.init_process_group("nccl" if gpu else "gloo")
    # Validation is rank 0's alone and may take hours; the others wait in this group.
    _hosts = dist.new_group(backend="gloo", timeout=datetime.timedelta(hours=24))
    return chosen


def stop():
    """Leave the other processes."""
    global _hosts
    if dist.is_initialized():
        dist.destroy_process_group()
        _hosts = None


def total(values):
    """The sum of a tensor over all processes, on its device; no gradient."""
    if dist.is_initialized():
        dist.all_reduce(values)
    return values


def average(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its mean over all processes. All processes pass tensors of the same shapes."""
    for bucket in _buckets(tensors):
        flat = torch.cat([tensor.flatten() for tensor in bucket]) / world()
        dist.all_reduce(flat)
        _unpack(flat, bucket)


def broadcast(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by that of process 0."""
    for bucket in _buckets(tensors):
        flat = torch.cat([tensor.flatten() for tensor in bucket])
        dist.broadcast(flat, 0)
        _unpack(flat, bucket)


def _buckets(tensors):
    """Lists of tensors of one type that go in one message; none with one process."""
    bucket: list[Tensor] = []
    for tensor in sorted(tensors, key=lambda each: str(each.dtype)) if dist.is_initialized() else ():
        if bucket and (tensor.dtype != bucket[0].dtype or sum(each.numel() for each in bucket) > MESSAGE):
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket


@torch.no_grad()
def _unpack(flat, tensors):
    for tensor, values in zip(tensors, flat.split([each.numel() for each in tensors]), strict=True):
        tensor.copy_(values.view(tensor.shape))


def agree(*numbers):
    """The largest of each of these ints over all processes, by the hosts alone: a GPU is not waited for."""
    if not dist.is_initialized():
        return numbers
    values = torch.tensor(numbers)
    dist.all_reduce(values, dist.ReduceOp.MAX, group=_hosts)
    return values.tolist()


def is_about_peers(error):
    """Whether a RuntimeError says that another process is gone."""
    return isinstance(error, dist.DistError) or "gloo" in str(error)


def peer_lost(error):
    """The MachineError to raise then."""
    return MachineError(f"process {rank()} of {world()} lost another one: {str(error).splitlines()[0][:120]}")
