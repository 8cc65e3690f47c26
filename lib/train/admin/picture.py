"""Search crops with their score maps and boxes, for TensorBoard."""

import cv2
import numpy as np
import torch
from torch import Tensor

TRUTH, FOUND = (0, 255, 0), (255, 64, 64)  # RGB


def draw(search: Tensor, truth_xywh: Tensor, found_cxcywh: Tensor, score: Tensor, count: int = 4) -> Tensor:
    """The first crops in a row: boxes above (truth green, found red), the score map below.

    Args:
        search (B, 3, S, S): uint8 crops.
        truth_xywh (B, 4): in shares of the crop; NaN counts as 0.
        found_cxcywh (B, 4): in shares of the crop.
        score (B, H, H): in [0, 1].
        count: how many crops are drawn.

    Returns:
        (3, 2 S, count S) uint8.
    """
    size = search.shape[-1]
    found = found_cxcywh[:count].float().cpu().numpy() * size
    truth = np.nan_to_num(truth_xywh[:count].cpu().numpy()) * size
    columns = []
    for crop, heat, (x, y, w, h), (cx, cy, fw, fh) in zip(
        search[:count].cpu().numpy(), score[:count].float().cpu().numpy(), truth, found, strict=True
    ):
        above = np.ascontiguousarray(crop.transpose(1, 2, 0))
        _box(above, x, y, x + w, y + h, TRUTH)
        _box(above, cx - fw / 2, cy - fh / 2, cx + fw / 2, cy + fh / 2, FOUND)
        heat = cv2.resize((heat * 255).astype(np.uint8), (size, size), interpolation=cv2.INTER_NEAREST)
        below = cv2.cvtColor(cv2.applyColorMap(heat, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)
        columns.append(np.concatenate([above, below]))
    return torch.from_numpy(np.concatenate(columns, axis=1)).permute(2, 0, 1)


def _box(image, left, top, right, bottom, colour):
    corners = np.clip([left, top, right, bottom], -1e4, 1e4).round().astype(int).tolist()
    cv2.rectangle(image, corners[:2], corners[2:], colour, 1)
