"""The online one-stream tracker, its network run by torch or by an exported graph."""

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...contracts import Run, Stage, Staged
from ...data.crop import window_on
from ...data.image import brightness
from ...models.enhancer.averaging import average
from ...models.lunar.backbone import TemplateState
from ...models.lunar.build import build_network
from ...models.lunar.decode import boxes_at, find, respond
from ...models.lunar.model import Lunar, TrackerOutput
from ...models.lunar.query import QueryState, Readout
from ...models.lunar.stages import COUNT, StagedLunar, stages
from ...models.parts.precision import autocast
from ...models.parts.weights import load_weights
from . import association
from .engine import choose_engine
from .lunar_rules import HANN, OneStreamRules

log = logging.getLogger(__name__)

MEANS = 4  # image px per patch px from which noise is not averaged over time


class Find(nn.Module):
    """The best box of each frame and its confidence, from the network's maps.

    Args:
        network: a Lunar; its query, if it has one, judges the confidence.
        test: section TEST of the configuration.
    """

    def __init__(self, network: Lunar, test: Any) -> None:
        super().__init__()
        self.query, self.hann, self.voting = network.query, test.WINDOW in HANN, test.BOX_VOTING
        self.influence = test.WINDOW_INFLUENCE if test.WINDOW == "expected" else 0.0

    def forward(self, score_map: Tensor, size_map: Tensor, offset_map: Tensor, *rest: Tensor) -> tuple[Tensor]:
        """Find the boxes.

        Args:
            score_map, size_map, offset_map: as in TrackerOutput.
            rest: with a Hann window what the score map is multiplied by and what is added to it, (B, 1, H, H) each;
                with a query `query` and `expected` of the Readout.

        Returns:
            (B, 5) float32: cxcywh in shares of the crop, and the confidence.
        """
        window = readout = None
        if self.hann:
            window, rest = rest[:2], rest[2:]
        if self.query is not None:
            query, expected = rest
            readout = Readout(None, query, None, None, expected)
        output = TrackerOutput(score_map, size_map, offset_map)
        return (find(output, window, self.query, readout, self.influence, self.voting),)


class LunarTracker(OneStreamRules, Staged):
    """The tracker of script `lunar`.

    Args:
        config: a `lunar` configuration.
        weights: path of a checkpoint; None for random weights, to profile.
        device: as torch names it.
        network: a Lunar to track with instead of a new one, by torch; its gradients are turned off.

    Attributes:
        watcher: if set, called in each frame with (patches (B, S, S, 3) uint8, [Crop], TrackerOutput, Readout or None).

    Raises:
        UserError: the weights do not fit the configuration, or TEST.BACKEND does not run on this device.
    """

    def __init__(self, config: Any, weights: Any = None, device: Any = "cpu", network: Lunar | None = None) -> None:
        super().__init__(config)
        self.device = torch.device(device)
        self.network = self._torch = (network if network is not None else build_network(config)).eval()
        if weights is not None:
            own_file = ("enhancer.",) if config.MODEL.ENHANCER.WEIGHTS else ()
            log.info("weights: %s", load_weights(self.network, weights, optional=own_file))
        if self.network.remembers:
            self.network.query.modulates = config.MODEL.QUERY.MODULATE and config.TEST.MODULATE
        self.network.to(self.device).requires_grad_(False)
        self.remembers = self.network.remembers
        self._best = Find(self.network, config.TEST)
        self.knows_night = config.DATA.AUGMENT.NIGHT > 0
        self.partial = not self.network.enhances  # an enhancer also measures the brightness of the whole frame
        self.watcher = None
        if network is None:
            choose_engine(self, config, self.device)

    def stages(self) -> list[Stage]:
        """As in Staged: those of the network, and finding the box in its maps."""
        grid = torch.zeros(COUNT, 1, self.cells, self.cells, device=self.device)
        inputs = {"score_map": grid, "size_map": grid.repeat(1, 2, 1, 1), "offset_map": grid.repeat(1, 2, 1, 1)}
        inner = {}
        if self.config.TEST.WINDOW in HANN:
            inputs |= {"factor": grid.clone(), "addend": grid.clone()}  # the exporter takes one tensor for one input
        if self._torch.remembers:
            query = self._torch.query
            inputs |= {"query": torch.zeros(COUNT, query.dim, device=self.device)}
            inputs |= {"expected": torch.zeros(COUNT, 4, device=self.device)}
            inner = {"query": (query.quality,)}
        find = Stage(
            name="find",
            module=self._best,
            inputs=inputs,
            engines=frozenset({"onnx", "compile"}),
            part="box",
            inner=inner,
            rest="box",
            frames=1,
        )
        return [*stages(self._torch), find]

    def use(self, runs: Mapping[str, Run]) -> None:
        """As in Staged."""
        self.runs = runs
        self.network = StagedLunar(self._torch, runs) if runs else self._torch

    @torch.inference_mode()
    def _encode(self, patches, level):
        images = self._upload([patch for patch, _ in patches], np.uint8).permute(0, 3, 1, 2)
        masks = self._upload([mask for _, mask in patches])
        with self.autocast(), self.span("template"):
            templates = self.network.enhance(images[None], self._gate([level]))
            return self.network.encode_template(templates, masks[None])

    @torch.inference_mode()
    def _first_query(self):
        return self.network.query.start(1, self.device)

    @torch.inference_mode()
    def _look(self, states, patches, crops):
        """(TrackerOutput, and with a query the Readout, the QueryState before the frame and the windows (B, 3) px)."""
        templates = [state.template for state in states]
        template = templates[0] if len(templates) == 1 else TemplateState.join(templates)
        search = self._upload(patches, np.uint8).permute(0, 3, 1, 2)
        with self.autocast():
            with self.span("enhance"):
                search = self.network.enhance(search, self._gate([state.brightness for state in states]))
            if self.remembers:
                query = QueryState.join([state.query for state in states])
                windows = self._upload([(crop.cx, crop.cy, crop.side) for crop in crops])
                with self.span("track"):
                    output, readout = self.network.readout(template, search, query, windows, self.watcher is not None)
                look = output, readout, query, windows
            else:
                with self.span("track"):
                    look = self.network.track(template, search), None, None, None
        if self.watcher is not None:
            self.watcher(patches, crops, *look[:2])
        return look

    @torch.inference_mode()
    def _find(self, look, hann, cells=None):
        output, readout, *_ = look
        inputs = [*output, *(self._upload(np.stack(hann)) if hann else ())]
        inputs += [] if readout is None else [readout.query, readout.expected]
        run = self.runs.get("find")
        with self.autocast() if self.remembers else nullcontext():
            if cells is not None:
                chosen = self._upload(cells, np.int64)
                found = find(output, None, self._best.query, readout, voting=self._best.voting, cells=chosen)
            else:
                (found,) = run(inputs) if run else self._best(*inputs)
        # The only wait for the device in a frame: all else is sent to it before it is needed.
        return found.cpu().numpy()

    @torch.inference_mode()
    def _associate(self, look, states, crops):
        """As in OneStreamRules. Candidates are the peaks of the score map, rated by the map whose peak is taken."""
        if not self.config.TEST.ASSOCIATE:
            return states, None
        output, readout, *_ = look
        hann = self._window(states, crops)
        window = tuple(self._upload(np.stack(hann))) if hann else None
        responses = respond(output.score_map, window, readout, self._best.influence).cpu()
        maps = TrackerOutput(*(each.float().cpu() for each in output))
        after, chosen = [], []
        for number, (state, crop) in enumerate(zip(states, crops, strict=True)):
            own = int(responses[number].argmax())
            cells = association.peaks(maps.score_map[number, 0], divmod(own, self.cells))
            index = torch.tensor([row * self.cells + column for row, column in cells])
            objects, choice = None, None
            if cells:
                alone = TrackerOutput(*(each[number : number + 1].expand(len(cells), -1, -1, -1) for each in maps))
                scores = responses[number].flatten()[index].tolist()
                found = boxes_at(alone, index).numpy() * crop.size
                positions = np.array([crop.to_image([*box[:2], 0, 0])[:2] for box in found])
                objects, choice = association.associate(
                    state.objects, positions, scores, index.tolist().index(own), crop.side
                )
            after.append(replace(state, objects=objects))
            chosen.append(own if choice is None else int(index[choice]))
        return after, chosen

    @torch.inference_mode()
    def _write(self, look, centre_sizes, confidences):
        _, readout, query, windows = look
        decided = [(*each, confidence) for each, confidence in zip(centre_sizes, confidences, strict=True)]
        found = self._upload(decided)
        with self.autocast(), self.span("write"):
            return self.network.write(query, readout, found[:, :3], found[:, 3], windows).split()

    def _upload(self, values, dtype=np.float32):
        """A tensor on the device, on whose way there nothing waits."""
        tensor = torch.from_numpy(np.asarray(values, dtype))
        if self.device.type != "cuda":
            return tensor.to(self.device)
        return tensor.pin_memory().to(self.device, non_blocking=True)

    def _brightness(self, image, before):
        """Mean brightness of the frames up to this one, `before` being that of the last; None without an enhancer."""
        if not self.network.enhances:
            return None
        with self.span("enhance"):
            return brightness(image, before)

    def _gate(self, levels):
        """(B,) on the CPU: the enhancer's gate at mean brightnesses; None without an enhancer."""
        if not self.network.enhances:
            return None
        return self.network.enhancer.gate_at(torch.tensor(levels, dtype=torch.float32))

    def _averaged(self, state, image, crop):
        """The State with this frame in its memory, and the frame, averaged over time about the crop.

        Both come back unchanged where no enhancer asks for averaging, where its gate is closed, and where the crop is
        so much larger than the patch that the patch's pixels are means already.
        """
        if state.brightness is None or not self.network.enhancer.average:
            return state, image
        if not self._gate([state.brightness]):
            return state, image
        if crop.side > MEANS * crop.size:
            return replace(state, memory=None), image
        x0, y0, x1, y1 = window_on(crop.cx, crop.cy, crop.side, image.shape[1::-1], 2)
        image = image.copy()
        image[y0:y1, x0:x1], memory = average(image[y0:y1, x0:x1], (x0, y0), state.memory)
        return replace(state, memory=memory), image

    def autocast(self) -> AbstractContextManager:
        """The context in which the network runs, with TEST.PRECISION."""
        return autocast(self.device.type, self.config.TEST.PRECISION)
