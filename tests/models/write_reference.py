"""Write corner_networks.json anew: python -m tests.models.write_reference, from the root of the checkout.

Only where a network is meant to compute something else than before.
"""

import json
from pathlib import Path

import torch

from tests.models.test_stark import build, inputs
from tests.models.test_sttrack import build as build_sttrack
from tests.models.test_sttrack import clip


def main() -> None:
    """Compute what the two networks say of the fixed crops."""
    with torch.no_grad():
        output = build(classify=True)(*inputs(templates=2))
        clips = {
            name: [found.boxes_xyxy.tolist() for found in build_sttrack(faithful=faithful)(*clip())]
            for name, faithful in (("corrected", False), ("faithful", True))
        }
    content = {
        "stark": {
            "boxes_xyxy": output.boxes_xyxy.tolist(),
            "logits": output.logits.tolist(),
            "top_left": output.top_left[:, 0].tolist(),
        },
        "sttrack": clips,
    }
    Path(__file__).with_name("corner_networks.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
