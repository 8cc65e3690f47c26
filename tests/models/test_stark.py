"""The networks of STARK: equal to reference numbers, and exact in what masks, templates and keys mean."""

import pytest
import torch

from lib.models.parts.corner_head import CornerHead
from lib.models.parts.transformer import Tokens, Transformer
from lib.models.stark import Stark
from lib.models.stark.model import attended_map
from tests.models.recipe import hash_tensor, recipe_state

SMALL = {"backbone": "resnet18", "dim": 32, "heads": 4, "feedforward": 64, "encoder_layers": 2, "decoder_layers": 2,
         "dropout": 0.0, "head_channels": 32}  # fmt: skip


class Body(torch.nn.Module):
    pass
