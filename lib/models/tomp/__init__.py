"""ToMP: a transformer predicts the filter that locates the target and measures it, without online optimisation."""

from .model import ToMP, ToMPHead, box_at, clip_box, ltrb_map, released_state, tomp

__all__ = ["ToMP", "ToMPHead", "box_at", "clip_box", "ltrb_map", "released_state", "tomp"]
