"""ToMP: a transformer predicts the filter that locates the target and measures it, without online optimisation."""

from .model import ALIAS, ToMP, ToMPHead, box_at, clip_box, ltrb_map, released_state, tomp

__all__ = ["ALIAS", "ToMP", "ToMPHead", "box_at", "clip_box", "ltrb_map", "released_state", "tomp"]
