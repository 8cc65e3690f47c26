"""A Lunar network as ONNX graphs, and the same network run by another engine than torch.

`template.onnx` makes what is remembered of the templates, `track.onnx` the maps of a frame, and with a query also what
it made of the frame; with an enhancer `enhance_<size>.onnx` enhances crops before either. Batches may have any size.
What is small and follows from a decision, such as writing the query, stays in torch. `int8/track.onnx` is track.onnx in
eight bits, for onnxruntime.
"""

import hashlib
import logging
import warnings
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import nn

from ...errors import MachineError
from ...files import atomic_path
from .backbone import TemplateState
from .model import TrackerOutput
from .query import QueryState, Readout

log = logging.getLogger(__name__)

ENGINES = ("onnx", "openvino")
NEEDED = {  # to install, by what is done
    "export": "onnx onnxscript",
    "int8": "onnx onnxruntime",
    "onnx": "onnxruntime",
    "openvino": "openvino",
}
INT8 = "int8/track.onnx"
NARROW = 32  # channels; convolutions with fewer on either side take little time, and eight bits hurt them most


class _Template(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, templates, masks):
        return tuple(_known(self.network.encode_template(templates, masks)))


class _Track(nn.Module):
    def __init__(self, network, parts):
        super().__init__()
        self.network, self.parts = network, parts

    def forward(self, search, *rest):
        """rest: the parts of the TemplateState, and with a query windows and the parts of the QueryState."""
        template, rest = TemplateState(*rest[: self.parts]), rest[self.parts :]
        if not self.network.remembers:
            return tuple(self.network.track(template, search))
        output, readout = self.network.readout(template, search, QueryState(*rest[1:]), rest[0])
        return *output, readout.spatial, readout.query, readout.expected


class _Enhance(nn.Module):
    def __init__(self, enhancer):
        super().__init__()
        self.enhancer = enhancer

    def forward(self, images, gate):
        return torch.where((gate == 0)[:, None, None, None], images, self.enhancer.steps(images, gate)[-1])


def export(network, folder):
    """Write the graphs of a network (Lunar, on the CPU) into `folder`, track.onnx last. Returns the Paths.

    Raises MachineError where the packages that write ONNX are missing.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise _lack("export") from error
    for talker in ("onnxscript", "onnx_ir"):
        logging.getLogger(talker).setLevel(logging.ERROR)
    (Path(folder) / INT8).unlink(missing_ok=True)  # of the graphs that are replaced
    written = []
    for name, (module, named) in _graphs(network.eval()).items():
        dynamic = [{_batch_axis(key): "batch"} for key in named]
        if isinstance(module, _Track):
            dynamic = [dynamic[0], tuple(dynamic[1:])]
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter, about its own future
            program = torch.onnx.export(
                module,
                tuple(named.values()),
                input_names=list(named),
                dynamic_shapes=dynamic,
                dynamo=True,
                verbose=False,
            )
        path = Path(folder) / f"{name}.onnx"
        with atomic_path(path) as temporary:
            temporary.write_bytes(program.model_proto.SerializeToString())
        written.append(path)
    return written


def quantise(network, folder, use):
    """Write int8/track.onnx into the `folder` of `export`: convolutions and products with weights in eight bits.

    use: called with the network, it tracks something typical with it. What the convolutions then see is the range of
    their inputs for good; matrix products take it anew from every frame. Weights have a scale per output channel. What
    happens once a video (template.onnx) or makes pictures (enhance_<size>.onnx) stays float. Returns the Path.

    Raises MachineError where onnx or onnxruntime is missing.
    """
    try:
        import onnx
        from onnxruntime import quantization
    except ImportError as error:
        raise _lack("int8") from error
    run = ExportedLunar(network, folder, "onnx")
    seen = run.watch("track")
    use(run)
    model = onnx.load(Path(folder) / "track.onnx")
    del model.graph.value_info[:]  # the exporter's: some are of weights before they were transposed
    names = [each.name for each in model.graph.input]
    feeds = (dict(zip(names, map(_array, tensors), strict=True)) for tensors in seen)
    shapes = {each.name: each.dims for each in model.graph.initializer}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    narrow = [node.name for node in convolutions if min(shapes[node.input[1]][:2]) < NARROW]
    with atomic_path(Path(folder) / INT8) as temporary, _silence():
        quantization.quantize_static(
            model,
            temporary,
            SimpleNamespace(get_next=partial(next, feeds, None)),
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=narrow,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            reduce_range=True,  # seven bits of weights: without VNNI, products of eight overflow their 16-bit sums
        )
        quantization.quantize_dynamic(
            onnx.load(temporary),
            temporary,
            op_types_to_quantize=["MatMul", "Gemm"],
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            reduce_range=True,  # seven bits of weights: without VNNI, products of eight overflow their 16-bit sums
        )
    return Path(folder) / INT8


@contextmanager
def _silence():
    """No warnings of onnxruntime's quantisation, which go to the root logger."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _graphs(network):
    """{name: (module, {input: example})}."""
    count = 2  # samples: of one alone torch would make a constant
    T, Z, S = network.num_templates, network.template_size, network.search_size
    graphs, kind = {}, torch.uint8
    if network.enhances:
        for size in {Z, S}:
            crops = {"images": torch.zeros(count, 3, size, size), "gate": torch.ones(count)}
            graphs[f"enhance_{size}"] = _Enhance(network.enhancer), crops
        kind, network = torch.float32, network.without_enhancer()
    crops = torch.zeros(count, T, 3, Z, Z, dtype=kind)
    encoding = {"templates": crops, "masks": torch.ones(count, T, network.backbone.template_grid**2)}
    with torch.no_grad():
        template = network.encode_template(*encoding.values())
    template = {key: part for key, part in template._asdict().items() if part is not None}
    tracking = {"search": torch.zeros(count, 3, S, S, dtype=kind), **template}
    if network.remembers:
        state = network.query.start(count)
        tracking |= {"windows": torch.ones(count, 3), **vars(state)}
    return graphs | {"template": (_Template(network), encoding), "track": (_Track(network, len(template)), tracking)}


def _batch_axis(name):
    return 1 if name in ("keys", "values") else 0


def digest(network, settings=""):
    """What a network computes, as text: of its weights, its settings (also as text) and the code that it runs."""
    sums = hashlib.sha256(torch.__version__.encode())
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        sums.update(path.read_bytes())
    sums.update(f"{network}{network.remembers and network.query.modulates}{settings}".encode())
    for name, tensor in network.state_dict().items():
        sums.update(name.encode() + tensor.cpu().numpy().tobytes())
    return sums.hexdigest()[:16]


class ExportedLunar:
    """A Lunar for those who track with one: `encode_template`, `track` and `readout` run in an engine on the CPU.

    network: the Lunar itself, which does the rest. folder: where `export` wrote it. engine: one of ENGINES. precision:
    "fp32", with openvino also "bf16", with onnx also "int8" once `quantise` has been there. Raises MachineError where
    the engine is not installed.
    """

    def __init__(self, network, folder, engine, precision="fp32"):
        self.network = network
        paths = {path.stem: path for path in Path(folder).glob("*.onnx")}
        if precision == "int8":
            paths["track"] = Path(folder) / INT8
        threads = torch.get_num_threads()
        try:
            if engine == "onnx":
                self._graphs = {name: _onnx(path, threads) for name, path in paths.items()}
            else:
                self._graphs = {name: _openvino(path, threads, precision) for name, path in paths.items()}
        except ImportError as error:
            raise _lack(engine) from error

    def __getattr__(self, name):
        if name == "network":  # a copy in the making has none yet
            raise AttributeError(name)
        return getattr(self.network, name)

    def watch(self, name):
        """A list to which what the graph of that name is given, a list of tensors, is added from now on."""
        seen, run = [], self._graphs[name]

        def watched(tensors):
            seen.append([tensor.clone() for tensor in tensors])
            return run(tensors)

        self._graphs[name] = watched
        return seen

    def encode_template(self, templates, masks=None, gate=None):
        """As Lunar.encode_template."""
        return TemplateState(*self._graphs["template"]([self._seen(templates, gate), masks]))

    def track(self, template, search, gate=None):
        """As Lunar.track."""
        return TrackerOutput(*self._graphs["track"]([self._seen(search, gate), *_known(template)]))

    def readout(self, template, search, state, windows, gate=None, attention=False):
        """As Lunar.readout; with `attention` torch does all of it."""
        if attention:
            return self.network.readout(template, search, state, windows, gate, attention)
        inputs = [self._seen(search, gate), *_known(template), windows, *state.tensors()]
        *maps, spatial, query, expected = self._graphs["track"](inputs)
        return TrackerOutput(*maps), Readout(spatial, query, None, None, expected)

    def _seen(self, images, gate):
        """Images as the graphs take them: as they are, or enhanced and then float in [0, 1]."""
        if not self.network.enhances:
            return images
        flat = images.flatten(0, -4)
        flat = flat / 255 if images.dtype == torch.uint8 else flat
        gate = self.network.enhancer.gate_of(flat) if gate is None else gate.repeat_interleave(len(flat) // len(gate))
        if gate.any():
            (flat,) = self._graphs[f"enhance_{images.shape[-1]}"]([flat, gate])
        return flat.view(images.shape)


def _known(template):
    return [part for part in template if part is not None]


def _array(tensor):
    return tensor.contiguous().numpy()


def _onnx(path, threads):
    """Run a graph by onnxruntime: list of tensors -> list of tensors."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]

    def run(tensors):
        feed = dict(zip(names, map(_array, tensors), strict=True))
        return [torch.from_numpy(values) for values in session.run(None, feed)]

    return run


def _openvino(path, threads, precision):
    """Run a graph by OpenVINO: list of tensors -> list of tensors."""
    import openvino

    options = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = openvino.Core().compile_model(str(path), "CPU", options)

    def run(tensors):
        found = compiled([_array(tensor) for tensor in tensors])
        # Copied, as the engine writes its next answer into the same memory.
        return [torch.from_numpy(found[port].copy()) for port in compiled.outputs]

    return run


def _lack(what):
    return MachineError(f"{what} needs packages that are not installed: pip install {NEEDED[what]}")
