"""Reading and writing of weights. Reading runs no code from a file and accounts for every tensor. Writing is atomic."""

import json
import math
import pickletools
import sys
import warnings
from _compat_pickle import IMPORT_MAPPING
from abc import abstractmethod
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from ...errors import UserError
from ...files import write_bytes

EXPECTED = "expected weights: a .safetensors file, or a .pth, .pt or .pth.tar file saved by torch"

# Keys under which training programs store the state dict. The first one that contains tensors is used.
CONTAINERS = (
    "net", "model", "state_dict", "model_state_dict", "model_state", "network", "weights", "params_ema", "params",
    "ema", "model_ema", "state_dict_ema", "module", "teacher",
)  # fmt: skip

# Prefixes that wrappers add to every name: DataParallel, torch.compile, Lightning and averaging.
COUNTERS = ("n_averaged",)  # names without a prefix in averaged weights
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "ema_model.")

# Number of pickles in files of torch before 1.6: a magic number, a version, the machine, and the content.
OLD_PICKLES = 4

# Tensors of the ViT in OSTrack's checkpoints that its tracker never uses.
UNUSED = ("backbone.cls_token", "backbone.pos_embed")

# Additive terms that can be missing from a checkpoint. With zeros the network computes the same as without them.
NEUTRAL_AT_ZERO = ("backbone.type_embed",)

# Positional tables with one row per cell of a square grid. The grid depends on the crop size.
POSITIONS = ("backbone.pos_embed", "backbone.pos_embed_x", "backbone.pos_embed_z", "query.position")

# Plain values of the standard library that occur in ordinary checkpoints. All its other names are refused.
HARMLESS_MODULES = ("collections", "datetime", "pathlib")
HARMLESS_NAMES = ("argparse.Namespace", "types.SimpleNamespace") + tuple(
    f"builtins.{name}" for name in ("bool", "dict", "float", "int", "list", "str", "tuple")
)


class _StandIn:
    """Replaces a pickled class or function. It can be called and filled, but keeps and does nothing."""

    def __init__(self, *args, **kwargs):
        pass

    def __setstate__(self, state):
        pass


class _StandInDict:
    """Replaces a subclass of dict: the unpickler fills only plain ones item by item."""

    def __new__(cls, *args, **kwargs):
        return OrderedDict()


def load_state(path: str | Path) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Read the state dict in a weights file. No pickled code is run.

    Classes that are not torch's own (OSTrack pickles its Settings) are not imported; inert stand-ins replace them.
    Names of the standard library that could run code (os.system, builtins.eval, importlib...) are refused.

    Args:
        path: a .safetensors file, or a file of torch.save with a state dict, alone or under a name of CONTAINERS.

    Returns:
        {name: tensor on the CPU} without PREFIXES that all names share, and the names of the file's other content.

    Raises:
        UserError: the file is missing, damaged or not a weights file, or contains refused names.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no such file; {EXPECTED}", path)
    try:
        with path.open("rb") as file:
            head = file.read(64)
        if head[8:9] == b"{":
            content, foreign = safetensors.torch.load_file(path), []
        elif head[:2] == b"PK":
            foreign = _foreign_names(path)
            content = _load_pickle(path, foreign)
        elif head[:1] == b"\x80":  # torch's format before 1.6: a row of pickles, then the numbers
            foreign = _foreign_names(path, _old_names(path))
            content = _load_pickle(path, foreign)
        else:
            raise UserError(f"{_describe(head)}; {EXPECTED}", path)
    except UserError:
        raise
    except Exception as error:  # parsers of damaged files raise many kinds of exceptions
        reason = str(error).strip().split("\n")[0].split(". ")[0][:120]
        raise UserError(f"damaged, or pickles more than weights ({reason}); {EXPECTED}", path) from error

    if not isinstance(content, dict):
        raise UserError(f"holds a {type(content).__name__}, not a state dict; {EXPECTED}", path)
    holder, state = _held(content)
    state = _unwrapped(state or _tensors(content))
    if not state:
        classes = f" but {', '.join(foreign[:3])}: save model.state_dict() in its place" if foreign else ""
        raise UserError(f"holds no tensors{classes}; {EXPECTED}", path)
    rest = set(content) - ({holder} if holder else set(state))
    return state, sorted(map(str, rest)) + foreign


def _tensors(mapping):
    return {name: value for name, value in mapping.items() if isinstance(name, str) and torch.is_tensor(value)}


def _held(content, deeper=True):
    """(key, tensors) of the first of CONTAINERS that contains tensors, possibly nested once; else (None, {})."""
    for key in CONTAINERS:
        inner = content.get(key)
        if isinstance(inner, dict):
            state = _tensors(inner) or (_held(inner, deeper=False)[1] if deeper else {})
            if state:
                return key, state
    return None, {}


def _unwrapped(state):
    """Remove the prefixes that wrappers add, also several, if all names share them."""
    names = [name for name in state if name not in COUNTERS]
    while prefix := next((one for one in PREFIXES if names and all(name.startswith(one) for name in names)), None):
        state = {name.removeprefix(prefix): value for name, value in state.items() if name not in COUNTERS}
        names = list(state)
    return {name.removeprefix("module."): value for name, value in state.items()}


def _old_names(path):
    """The classes and functions that a file of torch before 1.6 names, without those of torch itself."""
    names = set()
    with path.open("rb") as file:
        for _ in range(OLD_PICKLES):
            for operation, argument, _ in pickletools.genops(file):
                if operation.name == "GLOBAL":
                    names.add(argument.replace(" ", "."))
    return {name for name in names if name != "collections.OrderedDict" and not name.startswith("torch.")}


def _foreign_names(path, names=None):
    """The classes and functions in a torch.save file that torch does not know. Raises UserError for refused names."""
    names = sorted(get_unsafe_globals_in_checkpoint(path) if names is None else names)
    for name in names:
        module = name.split(".")[0]
        module = IMPORT_MAPPING.get(module, module)  # Python 2 names, which pickle still writes
        if module in sys.stdlib_module_names and module not in HARMLESS_MODULES and name not in HARMLESS_NAMES:
            raise UserError(f"refused: it asks for {name}, which no weights need", path)
    return names


def _load_pickle(path, foreign=()):
    stand_ins = [(_StandInDict if name.lower().endswith("dict") else _StandIn, name) for name in foreign]
    with safe_globals(stand_ins), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # many lines about unusual pickles
        return torch.load(path, map_location="cpu", weights_only=True)


def _describe(head):
    text = head.lstrip().lower()
    if not head:
        return "empty"
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page, not weights (a download that failed?)"
    if text.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the file itself"
    return "not a weights file"


@dataclass(frozen=True)
class LoadReport:
    """The names of all tensors of the file and of the model, by what happened to them. Mismatched ones have shapes."""

    path: Path
    matched: tuple
    missing: tuple
    unexpected: tuple
    mismatched: tuple
    ignored: tuple

    @property
    def complete(self) -> bool:
        """Whether every tensor of the model came from the file, and every tensor of the file was used."""
        return not (self.missing or self.unexpected or self.mismatched)

    def __str__(self):
        parts = [f"{self.path}: {len(self.matched)} tensors fit"]
        for kind, names in (
            ("missing", self.missing),
            ("unexpected", self.unexpected),
            ("mismatched", self.mismatched),
            ("ignored", self.ignored),
        ):
            if names:
                more = f" and {len(names) - 4} more" if len(names) > 4 else ""
                parts.append(f"{len(names)} {kind} ({', '.join(names[:4])}{more})")
        return "; ".join(parts)


def load_weights(
    model: torch.nn.Module,
    path: str | Path,
    strict: bool = True,
    optional: tuple[str, ...] = (),
    unused: tuple[str, ...] = (),
) -> LoadReport:
    """Load a file of weights into a model, in place, and account for every tensor.

    Args:
        model: any module.
        path: see load_state.
        strict: whether an incomplete match is an error. After the error the model is unchanged. If false, positional
            tables of another grid are resampled (bicubic), so that a network can start from weights for other crop
            sizes.
        optional: prefixes of tensors of the model that can be missing from the file. They then keep their values.
        unused: prefixes of tensors of the file that the model never uses.

    Returns:
        LoadReport.

    Raises:
        UserError: see load_state; no tensor fits; weights are NaN or infinite; an incomplete match with `strict`.
    """
    state, ignored = load_state(path)
    return _fill(model, state, ignored, path, strict, optional, unused)


def _fill(model, state, ignored, path, strict, optional=(), unused=()):
    own = model.state_dict()
    if not strict:
        state = {**state, **_regridded(state, own)}
    left = [name for name in state if name.startswith(unused) and name not in own]
    left += [name for name in UNUSED if name in state and "backbone.pos_embed_x" in state]
    state = {name: value for name, value in state.items() if name not in left}
    matched = {name: value for name, value in state.items() if name in own and own[name].shape == value.shape}
    report = LoadReport(
        path=Path(path),
        matched=tuple(matched),
        missing=tuple(name for name in own if name not in state and not name.startswith(optional)),
        unexpected=tuple(name for name in state if name not in own),
        mismatched=tuple(
            f"{name} {tuple(value.shape)} for {tuple(own[name].shape)}"
            for name, value in state.items()
            if name in own and name not in matched
        ),
        ignored=(*left, *ignored),
    )
    bad = [name for name, value in matched.items() if not torch.isfinite(value).all()]
    if bad:
        raise UserError(f"{bad[0]} holds NaN or infinite values", path)
    if not matched:
        raise UserError(f"these weights are of another network: {report}")
    if strict and not report.complete:
        raise UserError(f"these weights do not fit the network: {report}")
    zeros = {name: torch.zeros_like(own[name]) for name in NEUTRAL_AT_ZERO if name in report.missing}
    model.load_state_dict(matched | zeros, strict=False)
    return report


def _regridded(state, own):
    """Resample the positional tables of `state` to the grids of `own` where they differ (bicubic)."""
    tables = {}
    for name in POSITIONS:
        old, new = state.get(name), own.get(name)
        if old is None or new is None or old.shape == new.shape or old.shape[-1] != new.shape[-1]:
            continue
        sides = [math.isqrt(table.shape[-2]) for table in (old, new)]
        if any(side**2 != table.shape[-2] for side, table in zip(sides, (old, new), strict=True)):
            continue
        grid = old.float().reshape(1, sides[0], sides[0], -1).permute(0, 3, 1, 2)
        grid = torch.nn.functional.interpolate(grid, (sides[1], sides[1]), mode="bicubic", align_corners=False)
        tables[name] = grid.permute(0, 2, 3, 1).reshape(new.shape)
    return tables


class PretrainedBackbone(torch.nn.Module):
    """Base of backbones that start from published weights of image classification.

    Attributes:
        new: prefixes of tensors that the published weights do not have. They stay random.
    """

    new: tuple[str, ...] = ()

    @abstractmethod
    def published(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Convert a published state dict of the whole classification network to the state dict of this module."""


def initialise_backbone(model: torch.nn.Module, path: str | Path) -> LoadReport:
    """Start the backbone of a network from image pre-training.

    - A PretrainedBackbone starts from the published weights that its method `published` converts.
    - A backbone with a pretrained trunk (lib/models/parts/efficientnet_lite.py) starts from the trunk's weights.
    - A ViT starts from MAE, DINOv2 (with or without registers), DeiT or timm. The positional table loses its class rows
      and is resampled to the network's grids (bicubic). The patch embedding is resampled to the network's patch
      (arXiv:2212.08013). The class token, decoders and classifiers in the file are ignored.

    Args:
        model: a network with a `backbone` or a `feature_extractor`.
        path: see load_state.

    Returns:
        LoadReport of the backbone alone.

    Raises:
        UserError: see load_state; a block, the patch embedding or the positions do not fit.
    """
    children = dict(model.named_children())
    vit: Any = children.get("feature_extractor", children.get("backbone"))
    if isinstance(vit, torch.nn.ModuleList):
        vit = vit[0]
    state, ignored = load_state(path)
    if isinstance(vit, PretrainedBackbone):
        return _fill(vit, vit.published(state), ignored, path, strict=True, optional=vit.new)
    if vit.trunk is not None:
        return _fill(vit.trunk, vit.trunk.folded(state), ignored, path, strict=True)
    from timm.layers import resample_abs_pos_embed, resample_patch_embed  # as long to import as torch, or longer

    state = {name.removeprefix("backbone."): value for name, value in state.items()}
    own = vit.state_dict()
    if "register_tokens" in state:  # DINOv2's name for timm's reg_token
        state["reg_token"] = state.pop("register_tokens")
    if "patch_embed.proj.weight" in state:
        patch = own["patch_embed.proj.weight"].shape[-2:]
        state["patch_embed.proj.weight"] = resample_patch_embed(state["patch_embed.proj.weight"], list(patch))
    if "pos_embed" in state:
        table = state.pop("pos_embed")
        side = math.isqrt(table.shape[1])
        table = table[:, table.shape[1] - side**2 :]
        grids = {"pos_embed": vit.search_grid, "pos_embed_x": vit.search_grid, "pos_embed_z": vit.template_grid}
        for name, grid in grids.items():
            if name in own:  # without antialiasing, as OSTrack does
                state[name] = resample_abs_pos_embed(table, [grid, grid], num_prefix_tokens=0, antialias=False)
    left_out = [name for name in state if name not in own and not name.startswith(("blocks.", "norm."))]
    state = {name: value for name, value in state.items() if name not in left_out}
    new = ("type_embed", "reg_token")  # the tracker's own, or optional
    lacking = [name for name in own if name not in state and name not in new and ".ls" not in name]
    if lacking:
        raise UserError(f"no image pre-training of a ViT: lacks {lacking[0]} and {len(lacking) - 1} more", path)
    report = _fill(vit, state, left_out + ignored, path, strict=False)
    if report.unexpected or report.mismatched:
        raise UserError(f"these weights are of another ViT: {report}")
    return report


def save_weights(path: str | Path, state: dict[str, torch.Tensor], **notes: Any) -> None:
    """Write a state dict to a .safetensors file, completely or not at all. Equal state dicts give equal bytes.

    Args:
        path: path of the file.
        state: {name: tensor}.
        notes: texts for the file's header.
    """
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}
    data = safetensors.torch.save(tensors, {name: str(text) for name, text in notes.items()})
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    if notes:  # safetensors writes them in random order
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode().ljust(end - 8)
    write_bytes(path, len(text).to_bytes(8, "little") + text + data[end:])
