"""What every enhancer is: images in, images out, in steps, behind a gate that well-lit images pass untouched."""

import torch
from torch import nn

GATE = (0.2, 0.4)  # brightness up to which the gate is open, and from which it is closed


class Enhancer(nn.Module):
    """Base of the enhancers. Subclasses give `type`, `steps`, and `own`: the attributes that rebuild them.

    gate: (low, high) mean brightness up to which the gate is open (1) and from which it is closed (0).
    average: whether the frames of a video are to be averaged over time first (averaging.py), which is for whoever has
    the video to do; of single images nothing changes.
    strength: multiplier in [0, 1] of the gate before a tracker; people get all of it.
    """

    type = ""
    own = ()
    lifts = False  # whether all it does to light is a lift of the log-odds of brightness, see light.py
    number = 1  # of steps, see `steps`

    def __init__(self, gate=GATE, average=False, strength=1.0):
        super().__init__()
        low, high = gate
        if not 0 <= low < high or not 0 <= strength <= 1:
            raise ValueError(f"gate {gate}, strength {strength}: expected 0 <= low < high and 0 to 1")
        self.low, self.high, self.average = float(low), float(high), bool(average)
        self.strength = float(strength)

    @property
    def options(self):
        """{name: plain value}: what `build_enhancer(type, **options)` makes this one of."""
        own = {name: getattr(self, name) for name in ("average", "strength", *self.own)}
        return {"gate": [self.low, self.high]} | {k: list(v) if isinstance(v, tuple) else v for k, v in own.items()}

    def gate_of(self, images):
        """How much images (B, 3, H, W) in [0, 1] need: (B,) in [0, 1], exactly 0 for a well-lit one.

        By the mean of the largest channel over all pixels that are not black, as crops are beyond the frame.
        """
        value = images.amax(dim=1).flatten(1)
        seen = (value > 0).sum(dim=1).clamp(min=1)
        return self.gate_at(value.sum(dim=1) / seen)

    def gate_at(self, brightness):
        """The gate at a mean brightness, a tensor in [0, 1]: a smooth step down from `low` to `high`."""
        x = ((self.high - brightness) / (self.high - self.low)).clamp(0, 1)
        return x * x * (3 - 2 * x)

    def forward(self, images, gate=None):
        """(B, 3, H, W) float32 in [0, 1] -> the same, enhanced.

        gate: (B,) in [0, 1], best on the CPU, where looking at it waits for nothing; or None for that of these images.
        Where it is 0 an image comes back bit for bit.
        """
        gate = self.gate_of(images) if gate is None else gate
        if not torch.is_grad_enabled() and not gate.any():
            return images
        gate = gate.to(images.device, non_blocking=True)
        out = self.steps(images, gate)[-1]
        return torch.where((gate == 0)[:, None, None, None], images, out)

    def steps(self, images, gate):
        """The images after each step, the last one being the result: [(B, 3, H, W)]. gate: (B,)."""
        raise NotImplementedError
