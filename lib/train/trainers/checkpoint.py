"""Checkpoints that are written completely or not at all, and whose damage is detected.

A checkpoint is a torch.save file of a dict of tensors and plain types. `<file>.sha256` beside it lists the valid
checksums. They are needed because neither torch.save nor safetensors detects flipped bytes.
"""

import hashlib
import os
import re
from pathlib import Path

import torch

from ...errors import UserError
from ...files import atomic_path, write_text


class Store:
    """The checkpoints of one run, in a folder: <Net>_ep%04d.pth.tar after epochs, <Net>_last.pth.tar in between.

    Args:
        folder: pathlib.Path.
        network: the network's class name, <Net>.
        keep: number of epoch checkpoints that are kept, in addition to the best one.
    """

    def __init__(self, folder, network, keep=2):
        self.folder, self.network, self.keep = folder, network, keep
        self.last, self.final = folder / f"{network}_last.pth.tar", folder / f"{network}_final.safetensors"

    def epochs(self):
        """The existing checkpoints of epochs, {epoch: file}."""
        pattern = re.compile(rf"{re.escape(self.network)}_ep(\d+)\.pth\.tar")
        found = ((pattern.fullmatch(file.name), file) for file in self.folder.glob("*.pth.tar"))
        return {int(match[1]): file for match, file in found if match}

    def save_last(self, content):
        write(self.last, content)

    def save_epoch(self, content):
        """Save the checkpoint of a finished epoch, and then remove those that are no longer kept."""
        write(self.folder / f"{self.network}_ep{content['epoch']:04d}.pth.tar", content)
        epochs = self.epochs()
        kept = {*sorted(epochs)[-self.keep :], content["best"]["epoch"]}
        for path in [self.last, *(path for epoch, path in epochs.items() if epoch not in kept)]:
            path.unlink(missing_ok=True)
            _sidecar(path).unlink(missing_ok=True)

    def newest(self, say):
        """The content of the newest undamaged checkpoint, or None if there are no checkpoints.

        Damaged checkpoints are reported through `say`.

        Raises:
            UserError: all checkpoints are damaged.
        """
        damaged, found = [], []
        for path in [self.last, *self.epochs().values()]:
            if path.exists():
                try:
                    found.append((_peek(path), path))
                except UserError as error:
                    damaged.append(str(error))
        content = None
        for _, path in sorted(found, reverse=True):
            try:
                content = read(path)
                break
            except UserError as error:
                damaged.append(str(error))
        for text in damaged:
            say(f"not usable: {text}")
        if content is None:
            if damaged:
                raise UserError("no checkpoint here is whole; --resume never starts anew", self.folder)
            return None
        say(f"going on from {path} (epoch {content['epoch']}, step {content['step']})")
        return content

    def put_aside(self):
        """Move all files into a new folder previous_<n>, which is never read. Returns that folder, or None if empty."""
        files = [path for path in self.folder.glob(f"{self.network}_*") if path.is_file()]
        if not files:
            return None
        number = 1
        while (self.folder / f"previous_{number}").exists():
            number += 1
        aside = self.folder / f"previous_{number}"
        aside.mkdir()
        for path in files:
            path.rename(aside / path.name)
        return aside


def write(path, content):
    """Write a dict of tensors and plain types to `path`. If the process dies, `path` is the old or the new file.

    Raises:
        MachineError: the file cannot be written (disk full). The old file is kept.
    """
    with atomic_path(path) as temporary:
        with open(temporary, "wb") as file:
            hashed = _HashedFile(file)
            try:
                torch.save(content, hashed)
            except RuntimeError as error:  # torch reports a full disk as an error of its archive
                raise hashed.error or error from error
        # The checksum file is written first and lists the old and the new file. Whichever exists is then valid.
        before = _listed(path)[:1] if path.exists() else []
        lines = [f"{digest}  {path.name}\n" for digest in (hashed.digest.hexdigest(), *before)]
        write_text(_sidecar(path), "".join(lines))
    _sync_folder(path.parent)


def read(path, verify=True):
    """Read the dict in a checkpoint, to the CPU.

    Args:
        path: path of the checkpoint.
        verify: also check its checksum.

    Raises:
        UserError: the file is missing, damaged or not a checkpoint.
    """
    path = Path(path)
    try:
        if verify:
            with open(path, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else None
                digest = digest or hashlib.sha256(path.read_bytes()).hexdigest()  # Python 3.10
            listed = _listed(path)
            if digest not in listed:
                reason = "its checksum is wrong" if listed else f"no checksum in {_sidecar(path).name} beside it"
                raise UserError(f"damaged checkpoint: {reason}", path)
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", path) from error
    content = _load(path)
    if not isinstance(content, dict) or not {"net", "epoch", "step"} <= set(content):
        raise UserError("is no checkpoint of this trainer (no net, epoch and step in it)", path)
    if not {"optimisers", "optimizer"} & set(content):
        raise UserError("is no checkpoint of this trainer (no optimisers in it)", path)
    return content


def _peek(path):
    """The step of a checkpoint, without reading its tensors."""
    content = _load(path, mmap=True)
    step = content.get("step") if isinstance(content, dict) else None
    if not isinstance(step, int):
        raise UserError("damaged checkpoint, or none of this trainer", path)
    return step


def _load(path, **options):
    try:
        return torch.load(path, map_location="cpu", weights_only=True, **options)
    except Exception as error:  # noqa: BLE001 -- damage raises many kinds of exceptions
        reason = (str(error).strip() or type(error).__name__).split("\n")[0][:100]
        raise UserError(f"damaged checkpoint ({reason})", path) from error


def _listed(path):
    try:
        lines = _sidecar(path).read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    return [line.split()[0] for line in lines if line.strip()]


def _sidecar(path):
    return path.with_name(f"{path.name}.sha256")


def _sync_folder(folder):
    """Write a folder to the disk. Otherwise a rename can be lost in a power failure."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class _HashedFile:
    """Hashes the data written through it, and stores the system's error, which torch.save hides."""

    def __init__(self, file):
        self.file, self.digest, self.error = file, hashlib.sha256(), None

    def write(self, data):
        try:
            self.digest.update(data)
            return self.file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self):
        self.file.flush()
