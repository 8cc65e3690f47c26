"""The network of `lunar` (and of OSTrack, as one of its settings): crops in, maps out."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from .backbone import TemplateState, TokenBackbone
from .query import QueryState, Readout, TemporalQuery
from .tokens import TokenEnhancer


class TrackerOutput(NamedTuple):
    """Maps over the search crop, float32, H cells a side.

    Attributes:
        score_map (B, 1, H, H): in (0, 1), how likely the target's centre lies in the cell.
        size_map (B, 2, H, H): in (0, 1), width and height in shares of the crop.
        offset_map (B, 2, H, H): centre (x, y) from the cell's upper left corner, in cells.
    """

    score_map: Tensor
    size_map: Tensor
    offset_map: Tensor


class Normalise(nn.Module):
    """Images to zero mean and unit deviation.

    Args:
        mean, std: of R, G, B in [0, 1].
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        # Not saved: they are the configuration's, and OSTrack's checkpoints have no such keys.
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """(..., 3, H, W) uint8, or float in [0, 1] -> float, normalised."""
        flat = images.flatten(0, -4).contiguous().to(self.mean.dtype)
        if images.dtype == torch.uint8:
            flat = flat / 255
        # Batch norm with fixed statistics is (x - mean) / std in one pass, several times faster than in two.
        return functional.batch_norm(flat, self.mean, self.std**2, eps=0).view(images.shape)


class Lunar(nn.Module):
    """One-stream tracker: templates and a search crop to score, size and offset maps.

    Every crop first goes through `enhance`. Tracking then calls `encode_template` once and `track` for every frame;
    training calls `forward`, which does all three. With a query both call `readout` instead of `track`, decide where
    the target is, and call `write`. The query's state goes in and comes out: nothing is kept on the module between
    calls.

    Images are RGB, uint8 or float in [0, 1]; normalisation is the first layer. State-dict keys are OSTrack's.
    build.py makes the parts from a configuration.

    Args:
        backbone: a TokenBackbone: crops to features (B, C, G, G).
        head: features to maps, such as lib/models/parts/head.py's.
        num_templates: templates T per sample.
        image_mean, image_std: of R, G, B in [0, 1].
        query: what the network remembers from frame to frame; None for a network that knows only the templates.
        enhancer: an Enhancer through which crops go first (lib/models/enhancer), or None.
        token_enhancer: what the backbone's search features go through, or None.
    """

    def __init__(
        self,
        *,
        backbone: TokenBackbone,
        head: nn.Module,
        num_templates: int,
        image_mean: Sequence[float],
        image_std: Sequence[float],
        query: TemporalQuery | None = None,
        enhancer: nn.Module | None = None,
        token_enhancer: TokenEnhancer | None = None,
    ) -> None:
        super().__init__()
        self.num_templates = num_templates
        self.template_size, self.search_size = backbone.template_size, backbone.search_size
        self.normalise = Normalise(image_mean, image_std)
        # In this order: an optimiser's state goes by the order of the parameters.
        self.enhancer = enhancer
        self.backbone = backbone
        self.box_head = head
        self.query = query
        self.token_enhancer = token_enhancer

    @property
    def remembers(self) -> bool:
        """Whether there is a query."""
        return self.query is not None

    @property
    def enhances(self) -> bool:
        """Whether crops go through an enhancer."""
        return self.enhancer is not None

    def enhance(self, images: Tensor, gate: Tensor | None = None) -> Tensor:
        """Images through the enhancer.

        Args:
            images (..., 3, H, W): uint8, or float in [0, 1].
            gate (B), for the leading B: how far the enhancer's gate is open; None to derive it from each crop's own
                brightness.

        Returns:
            The same images without an enhancer, else float in [0, 1].
        """
        if not self.enhances:
            return images
        flat = images.flatten(0, -4)
        flat = flat / 255 if images.dtype == torch.uint8 else flat
        if gate is not None:
            gate = gate.repeat_interleave(flat.shape[0] // gate.shape[0])
        return self.enhancer(flat, gate).view(images.shape)

    def encode_template(self, templates: Tensor, masks: Tensor | None = None) -> TemplateState:
        """What `track` needs to know of the target.

        Args:
            templates (B, T, 3, Z, Z): as `enhance` returns them.
            masks (B, T, Lz): from data.crop.coverage; needed with token types only.

        Raises:
            ValueError: templates or masks of another shape than the network was built for.
        """
        Z, T = self.template_size, self.num_templates
        if templates.ndim != 5 or templates.shape[1:] != (T, 3, Z, Z):
            raise ValueError(f"templates {tuple(templates.shape)}: expected (B, {T}, 3, {Z}, {Z})")
        return self.backbone.encode_template(self.normalise(templates), masks)

    def track(self, template: TemplateState, search: Tensor) -> TrackerOutput:
        """Maps of one frame.

        Args:
            template: of B samples.
            search (B, 3, S, S): as `enhance` returns it.

        Raises:
            ValueError: a search crop of another shape than the network was built for.
        """
        return self.locate(*self.features(template, search))

    def features(
        self, template: TemplateState, search: Tensor, hint: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """What `locate` needs: features (B, C, G, G), and the normalised search crop.

        Args:
            template, search: as for `track`.
            hint: see the backbone's forward.
        """
        S = self.search_size
        if search.ndim != 4 or search.shape[1:] != (3, S, S):
            raise ValueError(f"search crop {tuple(search.shape)}: expected (B, 3, {S}, {S})")
        search = self.normalise(search)
        features = self.backbone(template, search, hint)
        return (self.token_enhancer(features) if self.token_enhancer else features), search

    def locate(self, features: Tensor, search: Tensor) -> TrackerOutput:
        """Maps from what `features` returned."""
        return TrackerOutput(*self.box_head(features, search))

    def readout(
        self,
        template: TemplateState,
        search: Tensor,
        state: QueryState,
        windows: Tensor,
        attention: bool = False,
    ) -> tuple[TrackerOutput, Readout]:
        """Maps of one frame with the query. The caller decides where the target is, then calls `write`.

        Args:
            template, search: as for `track`.
            state: QueryState of the B samples, before the frame.
            windows (B, 3), float: centre and side of what the search crop shows (px), in one frame of reference for all
                frames of a video.
            attention: whether the Readout includes the attention weights.

        Returns:
            The maps, and what the query read.
        """
        query = self.query
        expectation = query.expectation(state, windows)
        features, seen = self.features(template, search, query.hint(expectation))
        readout = query.read(state, expectation, features, windows, attention)
        return self.locate(query.modulate(features, readout), seen), readout

    def write(
        self, state: QueryState, readout: Readout, centre_size: Tensor, confidence: Tensor, windows: Tensor
    ) -> QueryState:
        """The query's state after the frame; see TemporalQuery.write."""
        return self.query.write(state, readout, centre_size, confidence, windows)

    def forward(self, templates: Tensor, masks: Tensor | None, search: Tensor) -> TrackerOutput:
        """Enhance, encode_template and track: (B, T, 3, Z, Z), (B, T, Lz) or None, (B, 3, S, S) -> TrackerOutput."""
        return self.track(self.encode_template(self.enhance(templates), masks), self.enhance(search))
