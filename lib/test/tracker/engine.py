"""What runs the stages of a tracker: torch, torch compiled, or an engine on the CPU."""

from typing import Any

from ...config.paths import paths
from ...contracts import Staged
from ...errors import UserError


def choose_engine(tracker: Staged, config: Any, device: Any) -> None:
    """Let what TEST.BACKEND and TEST.COMPILE name run a tracker.

    Args:
        tracker: running by torch.
        config: its configuration, with DATA, MODEL and TEST.
        device: torch.device of its network.

    Raises:
        UserError: TEST.BACKEND does not run on this device.
    """
    test = config.TEST
    if test.BACKEND != "torch":
        from ...export.graphs import use_engine

        if device.type != "cpu":
            raise UserError(f"TEST.BACKEND {test.BACKEND} runs on the CPU: give --device cpu")
        use_engine(tracker, f"{config.MODEL}{config.DATA}", paths().output / "export", test.BACKEND, test.PRECISION)
    elif test.get("COMPILE"):
        from ...export.compiled import compile_stages

        tracker.use(compile_stages(tracker.stages(), device))
