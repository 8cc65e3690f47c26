"""The stages of a Lunar, for engines other than torch to run; and a Lunar of which they run some."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ...contracts import Run, Stage
from .backbone import TemplateState
from .model import Lunar, TrackerOutput
from .query import QueryState, Readout, TemporalQuery

COUNT = 2  # samples of an example: of one alone torch would make a constant
TRUNK = (".trunk.", ".laterals.")  # of a pretrained trunk, whose inputs have ranges that eight bits cannot resolve


class Enhance(nn.Module):
    """The enhancer on crops (B, 3, S, S) with gates (B). At gate 0 a crop comes back unchanged."""

    def __init__(self, enhancer: nn.Module) -> None:
        super().__init__()
        self.enhancer = enhancer

    def forward(self, images: Tensor, gate: Tensor) -> tuple[Tensor]:
        return (torch.where((gate == 0)[:, None, None, None], images, self.enhancer.steps(images, gate)[-1]),)


class EncodeTemplate(nn.Module):
    """Lunar.encode_template; returns the tensors of the TemplateState that there are."""

    def __init__(self, network: Lunar) -> None:
        super().__init__()
        self.network = network

    def forward(self, templates: Tensor, masks: Tensor) -> tuple[Tensor, ...]:
        return _present(self.network.encode_template(templates, masks))


class Track(nn.Module):
    """Lunar.track, or with a query Lunar.readout.

    Inputs are the search crop, the tensors of the TemplateState and, with a query, the windows and the tensors of the
    QueryState. Outputs are the maps and, with a query, spatial, query and expected of the Readout.

    Args:
        network: a Lunar.
        parts: number of tensors of its TemplateState.
    """

    def __init__(self, network: Lunar, parts: int) -> None:
        super().__init__()
        self.network, self.parts = network, parts

    def forward(self, search: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        template, rest = TemplateState(*rest[: self.parts]), rest[self.parts :]
        if not self.network.remembers:
            return tuple(self.network.track(template, search))
        output, readout = self.network.readout(template, search, QueryState(*rest[1:]), rest[0])
        return *output, readout.spatial, readout.query, readout.expected


class Write(nn.Module):
    """TemporalQuery.write, from and to the tensors of a QueryState."""

    def __init__(self, query: TemporalQuery) -> None:
        super().__init__()
        self.query = query

    def forward(
        self,
        spatial: Tensor,
        query: Tensor,
        expected: Tensor,
        centre_size: Tensor,
        confidence: Tensor,
        windows: Tensor,
        *state: Tensor,
    ) -> tuple[Tensor, ...]:
        readout = Readout(spatial, query, None, None, expected)
        return self.query.write(QueryState(*state), readout, centre_size, confidence, windows).tensors()


def stages(network: Lunar) -> list[Stage]:
    """The stages of a network: its enhancer for each size of crop, the template, a frame, and writing the query."""
    device = network.normalise.mean.device
    T, Z, S = network.num_templates, network.template_size, network.search_size
    found, kind = [], torch.uint8
    if network.enhances:
        kind = torch.float32
        for size in sorted({Z, S}):
            images = torch.zeros(COUNT, 3, size, size, device=device)
            found.append(
                Stage(
                    name=f"enhance_{size}",
                    module=Enhance(network.enhancer),
                    inputs={"images": images, "gate": torch.ones(COUNT, device=device)},
                    engines=frozenset({"onnx"}),
                    part="enhance",
                    starts=T if size == Z else 0,
                    frames=1 if size == S else 0,
                )
            )
    templates = torch.zeros(COUNT, T, 3, Z, Z, dtype=kind, device=device)
    masks = torch.ones(COUNT, T, network.backbone.template_grid**2, device=device)
    found.append(
        Stage(
            name="template",
            module=EncodeTemplate(network),
            inputs={"templates": templates, "masks": masks},
            engines=frozenset({"onnx"}),
            part="template",
            starts=1,
        )
    )
    with torch.no_grad():
        template = network.encode_template(templates, masks)
    template = {name: part for name, part in template._asdict().items() if part is not None}
    inputs = {"search": torch.zeros(COUNT, 3, S, S, dtype=kind, device=device), **template}
    network_parts = (network.normalise, network.backbone, network.token_enhancer)
    axes = {name: 1 for name in ("keys", "values") if name in template}
    found.append(
        Stage(
            name="track",
            module=Track(network, len(template)),
            inputs=inputs | (_query_inputs(network.query, device) if network.remembers else {}),
            engines=frozenset({"onnx", "int8", "compile"}),
            part="network",
            inner={"network": tuple(filter(None, network_parts)), "head": (network.box_head,)},
            rest="query" if network.remembers else "network",
            batch_axes=axes,
            frames=1,
            in_float=TRUNK,
        )
    )
    if network.remembers:
        query = network.query
        # Two tensors: the exporter would take one tensor for one input.
        spatial, queried = torch.zeros(2, COUNT, query.dim, device=device)
        read = {"spatial": spatial.clone(), "query": queried.clone(), "expected": torch.zeros(COUNT, 4, device=device)}
        decided = {"centre_size": torch.ones(COUNT, 3, device=device), "confidence": torch.ones(COUNT, device=device)}
        found.append(
            Stage(
                name="write",
                module=Write(query),
                inputs=read | decided | _query_inputs(query, device),
                engines=frozenset({"onnx", "compile"}),
                part="query",
                frames=1,
            )
        )
    return found


def _query_inputs(query, device):
    return {"windows": torch.ones(COUNT, 3, device=device), **vars(query.start(COUNT, device))}


class StagedLunar:
    """A Lunar to track with, some stages of which are run by others than torch.

    Args:
        network: the Lunar itself, which does the rest.
        runs: {name of a stage: what runs it}.
    """

    def __init__(self, network: Lunar, runs: Mapping[str, Run]) -> None:
        self.network, self.runs = network, runs
        self.query, self.enhancer = network.query, network.enhancer
        self.remembers, self.enhances = network.remembers, network.enhances

    def enhance(self, images: Tensor, gate: Tensor | None = None) -> Tensor:
        """As Lunar.enhance."""
        run = self.runs.get(f"enhance_{images.shape[-1]}")
        if run is None or not self.enhances:
            return self.network.enhance(images, gate)
        flat = images.flatten(0, -4)
        flat = flat / 255 if images.dtype == torch.uint8 else flat
        gate = self.enhancer.gate_of(flat) if gate is None else gate.repeat_interleave(flat.shape[0] // gate.shape[0])
        if gate.any():
            (flat,) = run([flat, gate])
        return flat.view(images.shape)

    def encode_template(self, templates: Tensor, masks: Tensor | None = None) -> TemplateState:
        """As Lunar.encode_template."""
        run = self.runs.get("template")
        return TemplateState(*run([templates, masks])) if run else self.network.encode_template(templates, masks)

    def track(self, template: TemplateState, search: Tensor) -> TrackerOutput:
        """As Lunar.track."""
        run = self.runs.get("track")
        return TrackerOutput(*run([search, *_present(template)])) if run else self.network.track(template, search)

    def readout(
        self, template: TemplateState, search: Tensor, state: QueryState, windows: Tensor, attention: bool = False
    ) -> tuple[TrackerOutput, Readout]:
        """As Lunar.readout; where `attention` is asked for, torch does all of it."""
        run = self.runs.get("track")
        if run is None or attention:
            return self.network.readout(template, search, state, windows, attention)
        *maps, spatial, query, expected = run([search, *_present(template), windows, *state.tensors()])
        return TrackerOutput(*maps), Readout(spatial, query, None, None, expected)

    def write(
        self, state: QueryState, readout: Readout, centre_size: Tensor, confidence: Tensor, windows: Tensor
    ) -> QueryState:
        """As Lunar.write."""
        run = self.runs.get("write")
        if run is None:
            return self.network.write(state, readout, centre_size, confidence, windows)
        read = readout.spatial, readout.query, readout.expected
        return QueryState(*run([*read, centre_size, confidence, windows, *state.tensors()]))


def _present(template):
    return tuple(part for part in template if part is not None)
