"""A search crop with its score map and boxes, for TensorBoard."""

import cv2
import numpy as np
import torch

from ...models.lunar.decode import decode

TRUTH, FOUND = (0, 255, 0), (255, 64, 64)  # RGB


def draw(batch, output, count=4):
    """The first crops of a batch in a row: boxes above (truth green, found red), the score map below.

    Args: batch as lib/train/data makes it; output: TrackerOutput of its crops. Returns (3, 2 S, count S) uint8.
    """
    search = batch["search_images"][:count, 0]
    size = search.shape[-1]
    found, _, _ = decode(output)
    found = found[: len(search)].float().cpu().numpy() * size
    truth = np.nan_to_num(batch["search_anno"][: len(search), 0].cpu().numpy()) * size
    columns = []
    for crop, score, (x, y, w, h), (cx, cy, fw, fh) in zip(
        search.cpu().numpy(), output.score_map[: len(search), 0].float().cpu().numpy(), truth, found, strict=True
    ):
        above = np.ascontiguousarray(crop.transpose(1, 2, 0))
        _box(above, x, y, x + w, y + h, TRUTH)
        _box(above, cx - fw / 2, cy - fh / 2, cx + fw / 2, cy + fh / 2, FOUND)
        heat = cv2.resize((score * 255).astype(np.uint8), (size, size), interpolation=cv2.INTER_NEAREST)
        below = cv2.cvtColor(cv2.applyColorMap(heat, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)
        columns.append(np.concatenate([above, below]))
    return torch.from_numpy(np.concatenate(columns, axis=1)).permute(2, 0, 1)


def _box(image, left, top, right, bottom, colour):
    corners = np.clip([left, top, right, bottom], -1e4, 1e4).round().astype(int).tolist()
    cv2.rectangle(image, corners[:2], corners[2:], colour, 1)
