"""ToMP: a transformer predicts the filters that locate the target and its box, without online optimisation."""

from .model import ALIAS, ToMP, ToMPHead, box_at, clip_box, ltrb_map, released_state, tomp

__all__ = ["ALIAS", "ToMP", "ToMPHead", "box_at", "clip_box", "ltrb_map", "released_state", "tomp"]
