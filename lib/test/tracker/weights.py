"""Which file of weights a tracker is to use."""

import logging
import re
from importlib.util import find_spec
from pathlib import Path

from ... import registry
from ...cli import invocation
from ...errors import UserError

log = logging.getLogger(__name__)


def find_weights(script, config_name, config, paths, checkpoint=None, runid=None):
    """The weights of one experiment, or None for a tracker that has none, or runs graphs that ship, without torch.

    checkpoint: a file (for OpenCV's Nano a folder), `latest`, or the number of a trained epoch; None for the usual
        places: config.TEST.CHECKPOINT or else <script>_<config>.safetensors under pretrained/, then the last trained.
    runid: where a checkpoint of that epoch was trained, it is taken, as ODTrack's users know.
    Raises UserError naming every place looked in.
    """
    named = config.get("TEST", {}).get("CHECKPOINT", "")
    if not registry.tracking(script).network and not named:
        return None
    if checkpoint is None and find_spec("torch") is None:
        return None
    folder = paths.output / "checkpoints" / "train" / script / config_name
    trained = {int(re.search(r"_ep(\d+)", file.name)[1]): file for file in folder.glob("*_ep[0-9]*.pth.tar")}
    if checkpoint == "latest" and trained:
        return trained[max(trained)]
    if checkpoint and checkpoint.isdecimal() and int(checkpoint) in trained:
        return trained[int(checkpoint)]
    if checkpoint:
        if Path(checkpoint).exists():
            return Path(checkpoint)
        epochs = ", ".join(map(str, sorted(trained))) or "none"
        raise UserError(f"no such checkpoint; trained epochs of {script} {config_name}: {epochs}", checkpoint)
    if runid in trained:
        log.info("weights: %s, the epoch that --runid names", trained[runid])
        return trained[runid]
    usual = paths.weights(named or f"{script}_{config_name}.safetensors")
    if usual.exists():
        return usual
    if trained:
        return trained[max(trained)]
    source = config.TEST.get("SOURCE")
    if source:
        raise UserError(
            f"no weights for {script} {config_name}: get {usual.name} from {source} and put it here, or pass "
            f"--checkpoint with a file",
            usual,
        )
    train = f"; or train it: {invocation('train')} --script {script} --config {config_name}" if not named else ""
    raise UserError(
        f"no weights for {script} {config_name}: looked for {usual} and {folder}/*_ep*.pth.tar. "
        f"Put them there or pass --checkpoint with a file (OpenCV's Nano: the folder of its two ONNX files){train}"
    )
