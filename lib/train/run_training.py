"""One training as one process sees it: build everything, find out where to go on, train, export the weights."""

import json
import logging
import resource
import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import cv2
import torch

from .. import config as configuration
from .. import registry
from ..config import flat
from ..errors import MachineError, UserError
from ..models.parts.weights import initialise_backbone, load_weights
from .admin import distributed
from .admin.journal import Journal
from .data import epoch_batches, make_loader
from .distillation import with_teacher
from .trainers import checkpoint
from .trainers.state import plain, restore
from .trainers.trainer import Trainer

log = logging.getLogger(__name__)

# What may differ from the checkpoint without changing a single weight.
HARMLESS = (
    "TEST.",
    "DATA.VAL.",
    "DATA.CACHE",
    "MODEL.PRETRAIN_FILE",
    "TRAIN.START",
    *(f"TRAIN.{name}" for name in ("NUM_WORKER", "NONFINITE", "CHECKPOINTING", "SAVE_INTERVAL", "KEEP")),
    *(f"TRAIN.{name}" for name in ("PRINT_INTERVAL", "VAL_EPOCH_INTERVAL", "VAL_FRAMES")),
)

NETWORK = ("MODEL.", "DATA.SEARCH.SIZE", "DATA.TEMPLATE.SIZE", "DATA.TEMPLATE.NUMBER")  # what weights have to fit
NOT_NETWORK = ("MODEL.PRETRAIN_FILE", "MODEL.ENHANCER.WEIGHTS")


@dataclass(frozen=True)
class Job:
    """What to train.

    script, name: of the experiment. config: its configuration. train, val: {name: [Sequence]}. output: folder of
    everything that is written. resume: "auto", "never" or a checkpoint's path. device: "auto" or torch's name.
    pretrained: image pre-training of the backbone. previous: weights of an earlier stage, where resume finds nothing.
    """

    script: str
    name: str
    config: dict
    train: dict
    val: dict
    output: Path
    seed: int = 42
    resume: str = "auto"
    device: str = "auto"
    dry_run: bool = False
    pretrained: Path | None = None
    previous: Path | None = None

    @property
    def folder(self):
        return self.output / "checkpoints" / "train" / self.script / self.name


def run(job, validate_tracking=None):
    """Train. validate_tracking: see Trainer. Returns the exit code: 0, or 143 or 130 after SIGTERM or SIGINT.

    Raises UserError and MachineError for what a user can mend.
    """
    device = distributed.start(job.device)
    try:
        code = _train(job, device, validate_tracking)
    except RuntimeError as error:
        if distributed.world() > 1 and distributed.is_about_peers(error):
            raise distributed.peer_lost(error) from error
        raise
    except (UserError, MachineError):
        distributed.stop()  # a group that outlives the interpreter can end the process by SIGABRT
        raise
    distributed.stop()
    return code


def _train(job, device, validate_tracking):
    config, first = job.config, distributed.rank() == 0
    torch.backends.cudnn.benchmark = device.type == "cuda"
    # A loader's process forked while OpenCV's threads exist here waits for them for ever: validation makes them.
    cv2.setNumThreads(0)
    torch.manual_seed(job.seed)
    network = registry.network(job.script, config)
    if job.pretrained is not None:
        log.info("pre-training: %s", initialise_backbone(network, job.pretrained))
    if job.previous is not None:
        log.info("earlier stage: %s", load_weights(network, job.previous, strict=False))
    actor = with_teacher(registry.actor(job.script, network, config), config)
    for module in (network, *actor.helpers.values()):
        if device.type == "cuda" and distributed.world() > 1:
            torch.nn.SyncBatchNorm.convert_sync_batchnorm(module)  # replaces the norms inside it
        module.to(device)
    train_set = registry.samples(job.script, job.train, config, seed=job.seed)
    val_set = registry.samples(job.script, job.val, config, seed=job.seed, training=False) if job.val else None
    if job.dry_run:
        return _dry_run(job, actor, train_set, device)

    store = checkpoint.Store(job.folder, type(network).__name__, config.TRAIN.KEEP)
    journal = Journal(job.output, f"{job.script}-{job.name}", first)
    trainer = Trainer(
        actor,
        config,
        train_set,
        val_set,
        store=store,
        journal=journal,
        device=device,
        seed=job.seed,
        validate_tracking=validate_tracking,
    )
    content = _find_checkpoint(job, store, journal)
    if content is not None:
        restore(trainer, content)
    journal.begin(content["step"] if content else 0, bool(content and content["finished"]))
    if content is not None and content["finished"] and content["epoch"] >= config.TRAIN.EPOCH:
        journal.say(f"{job.script} {job.name} is trained: epoch {content['epoch']} of {config.TRAIN.EPOCH} is finished")
        code = 0
    else:
        count = sum(parameter.numel() for parameter in network.parameters())
        journal.say(
            f"training {job.script} {job.name} on {distributed.world()} x {device}: {count / 1e6:.2f} M parameters, "
            f"{trainer.steps} steps an epoch, {config.TRAIN.EPOCH} epochs, seed {job.seed}"
        )
        code = trainer.run()
    if code == 0 and first:
        with trainer.averaged_weights():
            actor.save(store.final, script=job.script, config=job.name, epoch=config.TRAIN.EPOCH)
        journal.say(f"weights: {store.final}")
        if changes := network_changes(job.script, job.name, config):
            journal.say(f"they are not of the network of {job.script} {job.name}: tracking needs {changes}")
    journal.close()
    return code


def _find_checkpoint(job, store, journal):
    """The content of the checkpoint to go on from, or None. Raises UserError where that would be another training."""
    content = None
    if job.resume == "never":
        aside = store.put_aside() if distributed.rank() == 0 else None
        if aside:
            journal.say(f"--resume never: the checkpoints of an earlier run are now in {aside}")
        distributed.agree(0)
    elif job.resume == "auto":
        content = store.newest(journal.say)
    else:
        path = Path(job.resume)
        verified = path.with_name(f"{path.name}.sha256").exists()
        content = checkpoint.read(path, verify=verified)
        journal.say(f"going on from {path}{'' if verified else ', which has no checksum beside it'}")
    step = content["step"] if content else 0
    highest, lowest = distributed.agree(step, -step)
    if highest != -lowest:
        raise UserError(
            "the processes found different checkpoints: --save_dir must be one folder for all", store.folder
        )
    if content is not None:
        differs = differences(content, job.config, job.seed, distributed.world(), registry.schema(job.script).FIXED)
        if differs and job.resume == "auto":
            raise UserError(
                f"the checkpoint was made with another configuration: {'; '.join(differs)}. "
                f"--resume never starts anew, --resume FILE goes on with the new one",
                store.folder,
            )
        if differs:
            journal.say(f"not as in the checkpoint: {'; '.join(differs)}")
        if content["versions"]["torch"] != torch.__version__.split("+")[0]:
            journal.say(f"the checkpoint is torch {content['versions']['torch']}'s: equal numbers are not promised")
    return content


def differences(content, config, seed, processes, fixed=MappingProxyType({})):
    """What of a checkpoint's making differs from now and matters, as ["KEY: then -> now"]. fixed: Section.FIXED."""
    then, now = ({**fixed, **dict(flat(each))} for each in (content["config"], plain(config)))
    then |= {"--seed": content["seed"], "processes": content["processes"]}
    now |= {"--seed": seed, "processes": processes}
    return [
        f"{name}: {then.get(name)} -> {now.get(name)}"
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name) and not name.startswith(HARMLESS)
    ]


def network_changes(script, name, config):
    """The flags --set with which tracking builds the network of `config`; "" if the experiment's file describes it.

    A budget may train a smaller network than the one that `test.py script name` builds.
    """
    if registry.family(script).tracker is None:
        return ""
    own = configuration.load(script, name)
    known = dict(flat(own))
    changes = [
        f"--set {shlex.quote(f'{key}={json.dumps(value)}')}"
        for key, value in flat(config)
        if key.startswith(NETWORK) and key not in NOT_NETWORK and value != known[key]
    ]
    if not changes:
        return ""
    shapes, expected = (
        {key: value.shape for key, value in registry.network(script, each).state_dict().items()}
        for each in (config, own)
    )
    return "" if shapes == expected else " ".join(changes)


def _dry_run(job, actor, train_set, device):
    """One batch forward and backward: what it is made of, what it costs. Writes nothing."""
    size, world = job.config.TRAIN.BATCH_SIZE, distributed.world()
    keys = epoch_batches(max(size * world, len(train_set)), size, epoch=1, rank=distributed.rank(), world=world)[:1]
    began = time.monotonic()
    (batch,) = make_loader(train_set, keys, 0)
    seconds = {"data": time.monotonic() - began, "forward": 0.0, "backward": 0.0}
    batch = {name: value.to(device) for name, value in batch.items()}
    actor.network.train()
    values, began = {}, time.monotonic()
    for _, loss, stats in actor.phases(batch):
        values |= {name: value.item() for name, value in stats.items()}  # waits for the device
        seconds["forward"] += time.monotonic() - began
        began = time.monotonic()
        loss.backward()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds["backward"] += time.monotonic() - began
        began = time.monotonic()
    if device.type == "cuda":
        memory = f"{torch.cuda.max_memory_allocated() / 2**20:.0f} MiB on {device}"
    else:
        memory = f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:.0f} MiB"  # KiB on Linux
    parameters = list(actor.network.parameters())
    count = sum(parameter.numel() for parameter in parameters)
    steps = len(train_set) // (size * world * job.config.TRAIN.ACCUM)
    for name, value in batch.items():
        log.info("%-16s %-22s %s", name, tuple(value.shape), str(value.dtype).removeprefix("torch."))
    log.info("parameters: %.2f M in %d tensors", count / 1e6, len(parameters))
    log.info("steps: %d an epoch, %d epochs", steps, job.config.TRAIN.EPOCH)
    log.info("losses: %s", ", ".join(f"{name} {value:.4f}" for name, value in values.items()))
    spent = ", ".join(f"{what} {each:.3f} s" for what, each in seconds.items())
    log.info("first batch of %d (warm-up included): %s", size, spent)
    log.info("memory: %s", memory)
    return 0
