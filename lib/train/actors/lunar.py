"""Forward and losses of the one-stream tracker (spec tracker.md A.4 and A.5)."""

import torch
from torch.nn import functional

from ...data.crop import coverage
from ...errors import UserError
from ...models.enhancer import save_enhancer
from ...models.lunar.decode import boxes_at, decode
from ...models.parts.precision import autocast
from ...models.parts.roi_pooling import precise_roi_pool
from ...models.parts.weights import save_weights
from .. import losses
from ..admin import distributed
from ..admin.picture import draw
from ..distillation import SEARCH, Answer, Distillable
from ..losses import corners, iou, overlap
from ..trainers.optim import make_optimiser
from .lunar_clip import follow

PEAK_WEIGHT = 0.25  # weight of the box losses at the score's peak; those at the true cell have weight 1
NWD_SIDES = 8.0, 24.0  # source px: only 1 - NWD for smaller targets, only 1 - GIoU for larger ones, a mixture between
LARGEST = 100.0  # crop sides; a larger box is an annotation error, and its square could overflow
# For distillation:
ROI, BINS = 1.5, 5  # region whose features are compared: side in target sizes, and bins per side
SPREADS, RATED = (0.05, 0.3), 16  # noise of the rated boxes in target sizes, and number of rated boxes
FLOOR = 0.01  # added to the teacher's scores when they weight score differences


# {prefix of parameter names: key of their learning rate / LR}. The first matching prefix counts.
MULTIPLIERS = {
    "backbone.patch_embed.trunk.": "TRUNK_MULTIPLIER",
    "backbone.": "BACKBONE_MULTIPLIER",
    "box_head.": "HEAD_MULTIPLIER",
}


class LunarActor(Distillable):
    """Forward and losses of the network of lib/models/lunar.

    Means are over the targets of all processes. N processes therefore make the same step as one process with the whole
    batch.

    Args:
        network: the network of lib/models/lunar, or one with the same methods.
        config: a `lunar` configuration.

    Raises:
        UserError: TRAIN.CHECKPOINTING is set and the network has no blocks.
    """

    scores = ("IoU",)

    def __init__(self, network, config):
        self.network = network
        self.options, self.factor = config.TRAIN, config.DATA.SEARCH.FACTOR
        self.template_factor = config.DATA.TEMPLATE.FACTOR
        self.influence = config.TEST.WINDOW_INFLUENCE if config.TEST.WINDOW == "expected" else 0.0
        if self.options.CHECKPOINTING:
            if not hasattr(network.backbone, "checkpointing"):
                raise UserError("TRAIN.CHECKPOINTING: this network has no blocks to recompute")
            network.backbone.checkpointing = True

    def optimisers(self):
        multipliers = {prefix: self.options[name] for prefix, name in MULTIPLIERS.items()}
        return {"network": make_optimiser(self.network, self.options, multipliers)}

    def phases(self, batch):
        yield "network", *self.batch_loss(batch)

    def batch_loss(self, batch):
        """Loss (scalar) and its parts, {name: detached scalar}, of a batch of lib/train/data."""
        if self.network.remembers:
            clips = self._clips(self.network, batch)
            return self._clip_loss(clips, self._sides(batch))
        (output, tokens), targets = self._respond(self.network, batch), tuple(self._targets(batch))
        loss, stats = self.loss(output, *targets)
        parts = self._difference(tokens, *targets)
        if self.options.FEATURE_WEIGHT:
            with torch.no_grad():
                _, clean = self._respond(self.network, batch, "clean")
            parts["feature"] = self.options.FEATURE_WEIGHT, (tokens.float() - clean.float()).square().mean()
        return _with_parts(loss, stats, parts)

    def maps(self, batch):
        """TrackerOutput of the B N search crops of a batch, frame by frame: first frames of all samples first."""
        network = self.network
        return self._clips(network, batch).output if network.remembers else self._respond(network, batch)[0]

    @property
    def feature_sizes(self):
        return (self.network.backbone.embed_dim * BINS**2,)

    def answer(self, network, batch, student=None):
        """See Distillable. The ratings are the NWD between the box at the true cell and boxes around the target.

        A network with a query also rates its own box, and its teacher sees the crops that the student chose.
        """
        windows, proposals = student.given if student else (None, None)
        if network.remembers:
            clips = self._clips(network, batch, windows)
            side = self._sides(batch)
            loss, stats = self._clip_loss(clips, side)
            output, boxes, visible = clips.output, clips.boxes, clips.visible
            features, query, windows = clips.features, clips.query, clips.windows
        else:
            boxes, visible, side = self._targets(batch)
            output, features = self._respond(network, batch)
            loss, stats = self.loss(output, boxes, visible, side)
            query = None
        target = _Target(boxes, visible, side)
        proposals = _around(target.boxes) if proposals is None else proposals
        score_loss, box_loss, ratings = self._each(output, target, proposals)
        if network.remembers:
            ratings = torch.cat([ratings, clips.quality.sigmoid()[:, None]], dim=1)
        regions = _regions(features, target.boxes, network.search_size)
        given = windows, proposals
        return Answer(loss, stats, score_loss, box_loss, output.score_map.float(), ratings, (regions,), query, given)

    def score_distance(self, student, teacher):
        """See Distillable. The mean is weighted by the teacher's scores, because most of a crop is empty background."""
        weight = (teacher.scores + FLOOR).flatten(1)
        apart = (student.scores - teacher.scores).abs().flatten(1)
        return (weight * apart).sum(dim=1) / weight.sum(dim=1)

    def target_sizes(self, batch):
        usual = {SEARCH: self.network.search_size / self.factor}
        usual["template_images"] = self.network.template_size / self.template_factor
        found = {
            f"{kind}_images": batch[f"{kind}_anno"][..., 2:] * batch[f"{kind}_images"].shape[-1]
            for kind in ("template", "search")
        }
        if "anchor_image" in batch:
            usual["anchor_image"] = usual[SEARCH]
            side = batch["anchor_centre_size"][:, 2:] / batch["anchor_window"][:, 2:] * batch["anchor_image"].shape[-1]
            found["anchor_image"] = side.expand(-1, 2)
        return {
            name: torch.where((size.isfinite() & (size > 0)).all(dim=-1, keepdim=True), size, usual[name])
            for name, size in found.items()
        }

    def _clips(self, network, batch, windows=None):
        with autocast(batch["search_images"].device.type, self.options.PRECISION):
            return follow(network, batch, self.factor, self.influence, windows)

    def _sides(self, batch):
        return batch["src_side"].transpose(0, 1).flatten(0, 1)

    def _each(self, output, target, proposals):
        """For each crop: score loss (B,), box loss (B,), and NWD (B, K) of its box to proposals (B, K, 4) cxcywh."""
        options, size = self.options, output.score_map.shape[-1]
        labels = losses.score_labels(target.boxes, size, options.LABEL, target.present)
        focal = options.FOCAL_WEIGHT * losses.focal_losses(output.score_map, labels)
        found = boxes_at(output, losses.centre_cells(target.boxes, size))
        giou, l1, _ = self._box_losses(found, target.boxes, target.side)
        box = torch.where(target.inside, options.GIOU_WEIGHT * giou + options.L1_WEIGHT * l1, 0.0)
        scale = target.side / target.boxes[:, 2:].prod(dim=1).sqrt().clamp(min=1e-6)  # crop -> source px
        constant = target.side.clamp(min=4)
        near = [losses.nwd(found * scale[:, None], one * scale[:, None], constant) for one in proposals.unbind(dim=1)]
        return focal, box, torch.stack(near, dim=1)

    def _clip_loss(self, clips, side):
        """As batch_loss for a network with a query, whose predicted IoU and expected position are also trained."""
        loss, stats = self.loss(clips.output, clips.boxes, clips.visible, side)
        sound, _ = usable(clips.boxes, clips.visible)
        quality = functional.binary_cross_entropy_with_logits(clips.quality, clips.overlap * sound)
        off = (clips.boxes[:, :2] + clips.boxes[:, 2:] / 2 - 0.5 - clips.expected[:, :2]) / clips.expected[:, 2:3]
        # Negative log-likelihood of a t-distribution (nu = 1, 2D): its heavy tails allow for any error of the memory.
        negative_log_likelihood = 1.5 * off.square().sum(dim=1).log1p() + 2 * clips.expected[:, 2].log()
        place = torch.where(sound, negative_log_likelihood, 0.0).sum() / sound.sum().clamp(min=1)
        parts = {"quality": (self.options.QUALITY_WEIGHT, quality), "place": (self.options.PLACE_WEIGHT, place)}
        return _with_parts(loss, stats, parts | self._difference(clips.features, clips.boxes, clips.visible, side))

    def _difference(self, features, boxes, visible, side):
        """{"difference": its weight and value}, or {} without the weight.

        The value is how alike search features (B, C, G, G) outside the target's box are to their mean inside: the
        cosine, negative ones as 0. The mean weights a cell by the share of it that the box covers.
        """
        if not self.options.DIFFERENCE_WEIGHT:
            return {}
        target, size = _Target(boxes, visible, side), features.shape[-1]
        inside = torch.from_numpy(coverage(target.boxes.cpu().numpy(), 1, size)).to(features.device)
        inside = inside.view(-1, 1, size, size)
        mean = (features.float() * inside).sum(dim=(2, 3), keepdim=True)
        alike = functional.cosine_similarity(features.float(), mean, dim=1)[:, None].relu()
        outside = (inside == 0) * target.inside[:, None, None, None]
        return {"difference": (self.options.DIFFERENCE_WEIGHT, (alike * outside).sum() / outside.sum().clamp(min=1))}

    def _respond(self, network, batch, which="images"):
        """(maps, search tokens). which: "images", or "clean" for the clean images, which are not enhanced."""
        templates, search = batch[f"template_{which}"], batch[f"search_{which}"]
        gate = templates.new_zeros(len(templates), dtype=torch.float32) if which == "clean" else None
        with autocast(search.device.type, self.options.PRECISION):
            state = network.encode_template(network.enhance(templates, gate), batch["template_masks"])
            count = search.shape[1]
            if count > 1:  # one target, several frames
                state = type(state).join([state] * count)
                gate = gate if gate is None else gate.repeat(count)
            crops = network.enhance(search.transpose(0, 1).flatten(0, 1), gate)
            tokens, seen = network.features(state, crops)
            return network.locate(tokens, seen), tokens

    def loss(self, output, boxes, visible, side):
        """The loss of maps.

        Args:
            output: TrackerOutput of B crops with H x H maps.
            boxes (B, 4): xywh in crop sides. Boxes of targets that are not visible can have any value, also NaN.
            visible (B,): bool.
            side (B,): sqrt(w h) of the target in its source frame, px, for the mixture of GIoU and NWD.

        Returns:
            Loss (scalar), and its parts {name: detached scalar}. They are finite for every box. An invalid box counts
            as absent: its score label is empty and it has no box losses. A target with its centre outside the crop has
            no box losses either.
        """
        options, size = self.options, output.score_map.shape[-1]
        target = _Target(boxes, visible, side)
        boxes, present, inside, side = target.boxes, target.present, target.inside, target.side
        counts = distributed.total(torch.stack([present.sum(), inside.sum()]).float()).clamp(min=1)
        peaks, targets = counts / distributed.world()

        labels = losses.score_labels(boxes, size, options.LABEL, present)
        # focal_loss divides by the peaks of this process; this replaces them with the mean over all processes.
        focal = losses.focal_loss(output.score_map, labels) * (labels == 1).sum().clamp(min=1) / peaks

        cell, peak = losses.centre_cells(boxes, size), output.score_map.flatten(1).argmax(dim=1)
        read, read_at_peak = (self._box_losses(boxes_at(output, cells), boxes, side) for cells in (cell, peak))
        giou, l1, shared, giou_peak, l1_peak, shared_peak = (
            torch.where(inside, values, 0.0).sum() / targets for values in (*read, *read_at_peak)
        )
        at_cell = options.GIOU_WEIGHT * giou + options.L1_WEIGHT * l1
        at_peak = options.GIOU_WEIGHT * giou_peak + options.L1_WEIGHT * l1_peak
        loss = options.FOCAL_WEIGHT * focal + at_cell + PEAK_WEIGHT * at_peak
        if options.NEAR_WEIGHT:
            loss = loss + options.NEAR_WEIGHT * self._near(output, labels, cell, boxes, side, inside) / targets
        stats = {
            "Loss/total": loss,
            "Loss/focal": focal,
            "Loss/giou": giou,
            "Loss/l1": l1,
            "IoU": shared,
            "IoU/peak": shared_peak,
        }
        return loss, {name: value.detach() for name, value in stats.items()}

    def _near(self, output, labels, cell, boxes, side, counted):
        """Box losses (scalar) at the cells around the true one, weighted by score label, summed over `counted` targets.

        Up to nine cells then learn the box of each target, so the box is also right if the peak is a cell off.
        """
        size = labels.shape[-1]
        around = torch.cartesian_prod(*2 * [torch.arange(-1, 2, device=cell.device)])
        places = torch.stack([cell // size, cell % size], dim=1)[:, None] + around  # (B, 9, 2) row and column
        weight = ((places >= 0) & (places < size)).all(dim=2) & around.any(dim=1) & counted[:, None]
        cells = (places.clamp(0, size - 1) * torch.tensor([size, 1], device=cell.device)).sum(dim=2)
        weight = weight * labels.flatten(1).gather(1, cells)
        weight = weight / weight.sum(dim=1, keepdim=True).clamp(min=1e-6)
        found = torch.stack([boxes_at(output, column) for column in cells.unbind(dim=1)], dim=1).flatten(0, 1)
        count = cells.shape[1]
        giou, l1, _ = self._box_losses(found, boxes.repeat_interleave(count, 0), side.repeat_interleave(count))
        return (weight.flatten() * (self.options.GIOU_WEIGHT * giou + self.options.L1_WEIGHT * l1)).sum()

    @torch.no_grad()
    def validate(self, batch):
        """Sum of the IoU of the boxes at the score's peak, and number of targets, over the crops that show one."""
        output = self.maps(batch)
        boxes, visible, _ = self._targets(batch)
        present, _ = usable(boxes, visible)
        found, _, _ = decode(output)
        return overlap(found.float(), boxes, present).sum(), present.sum()

    @torch.no_grad()
    def picture(self, batch):
        """The first search crops of a batch with their predicted boxes and score maps."""
        output = self.maps(batch)
        search, truth = batch["search_images"][:, 0], batch["search_anno"][:, 0]
        found, _, _ = decode(output)
        return "val/search", draw(search, truth, found[: len(search)], output.score_map[: len(search), 0])

    def save(self, path, **notes):
        """Write the weights. The weights of an enhancer also get a file of their own, which any tracker can use."""
        save_weights(path, self.network.state_dict(), **notes)
        if self.network.enhances:
            save_enhancer(path.with_stem(path.stem + "_enhancer"), self.network.enhancer, **notes)

    def _targets(self, batch):
        """Boxes (N, 4), visible (N,) and side (N,) of the search crops, frame by frame."""
        names = ("search_anno", "search_visible", "src_side")
        return (batch[name].transpose(0, 1).flatten(0, 1) for name in names)

    def _box_losses(self, found_cxcywh, boxes, side):
        """For each predicted box: mixture of GIoU and NWD loss, L1 loss, and IoU, each (B,)."""
        low, high = NWD_SIDES
        centred = torch.cat([boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:]], dim=1)
        found, target = corners(found_cxcywh), corners(centred)
        scale = (side / boxes[:, 2:].prod(dim=1).sqrt().clamp(min=1e-6))[:, None]  # crop -> source px
        distance = 1 - losses.nwd(found_cxcywh * scale, centred * scale, side.clamp(min=4))
        share = ((high - side) / max(high - low, 1e-6)).clamp(0, 1)
        giou = (1 - share) * losses.giou_loss(found, target) + share * distance
        return giou, losses.l1_loss(found, target), iou(found.detach(), target)


def _with_parts(loss, stats, parts):
    """Add parts, {name: (weight, value)}, to a loss and its statistics."""
    for name, (weight, value) in parts.items():
        loss, stats = loss + weight * value, {**stats, f"Loss/{name}": value.detach()}
    return loss, {**stats, "Loss/total": loss.detach()}


def usable(boxes_xywh, visible):
    """Whether boxes (B, 4), in crop sides, overlap the crop, and whether their centres lie in it: (B,) bool each.

    Boxes that are not finite, have no area or are too large count as absent.
    """
    low, sides = boxes_xywh[:, :2], boxes_xywh[:, 2:]
    sound = boxes_xywh.isfinite().all(dim=1) & (sides > 0).all(dim=1) & (sides < LARGEST).all(dim=1)
    touches = ((low < 1) & (low + sides > 0)).all(dim=1)
    centre = low + sides / 2
    present = visible & sound & touches
    return present, present & ((centre >= 0) & (centre < 1)).all(dim=1)


class _Target:
    """The targets of B crops. Crops without a target have a dummy box.

    Attributes:
        present, inside (B,): results of `usable`; `inside` also requires a known side.
        boxes (B, 4): xywh in crop sides.
        side (B,): sqrt(w h), px of the source.
    """

    def __init__(self, boxes, visible, side):
        self.present, inside = usable(boxes, visible)
        self.inside = inside & side.isfinite()
        self.boxes = torch.where(self.present[:, None], boxes, 0.25).float()
        self.side = torch.where(self.inside, side, 1.0)


def _around(boxes_xywh):
    """Random boxes (B, RATED, 4) cxcywh around targets (B, 4) xywh. Half of them are near, half are far."""
    spread = torch.tensor(SPREADS, device=boxes_xywh.device).repeat_interleave(RATED // len(SPREADS))
    noise = spread[:, None] * torch.randn(len(boxes_xywh), RATED, 4, device=boxes_xywh.device)
    low, sides = boxes_xywh[:, None, :2], boxes_xywh[:, None, 2:]
    return torch.cat([low + sides / 2 + noise[..., :2] * sides, sides * noise[..., 2:].exp()], dim=2)


def _regions(features, boxes_xywh, size):
    """Pool features (B, C, G, G) around targets (B, 4) xywh, in sides of crops of `size` px: (B, 1, C BINS^2)."""
    stride = size / features.shape[-1]
    low, sides = boxes_xywh[:, :2] * size, boxes_xywh[:, 2:] * size
    # In precise_roi_pool the centre of cell i is at i, here it is at i + 0.5.
    around = torch.cat([low - (ROI - 1) / 2 * sides - stride / 2, ROI * sides], dim=1)
    pooled = precise_roi_pool(features.float(), around[:, None], BINS, stride)[:, 0]
    normed = functional.layer_norm(pooled.movedim(1, -1), pooled.shape[1:2])
    return normed.flatten(1)[:, None]
