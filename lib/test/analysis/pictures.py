"""The pictures of the HTML report: the hardest and the easiest sequences, and where each tracker loses the target."""

import base64
import math
from html import escape
from typing import NamedTuple

import numpy as np

from ...errors import UserError
from ..evaluation import results
from . import plots, strips, tables

HARDEST, EASIEST, VIEWS = 4, 2, 3  # sequences shown, frames of each
SHOWN_TRACKERS = 4
FULL_WIDTH = 560  # px of an embedded frame
ZOOM_SIDE = (48, 240)  # px of the frame, at least and at most, around the target
BINS = 240  # stretches of time of an overlap line

STYLE = """
.view { display: grid; background: #000; border-radius: 6px; overflow: hidden; position: relative; margin: 0 }
.view svg { width: 100%; display: block }
.view figcaption { position: absolute; left: 6px; top: 3px; font-size: 11.5px; color: #fff;
  text-shadow: 0 0 3px #000, 0 0 3px #000 }
.view image { filter: brightness(var(--gain)) }
.zoom image { image-rendering: pixelated }
.view rect { fill: none; stroke-width: 1.6px; vector-effect: non-scaling-stroke }
.view rect.own { stroke-width: 3px }
.view rect.frame { stroke: #fff; stroke-width: 1px; stroke-dasharray: 3 3; opacity: .6 }
.view polygon { stroke: #000; stroke-width: 1px; vector-effect: non-scaling-stroke }
.views { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(330px, 100%), 1fr)); gap: 10px;
  align-items: start }
.views.two { grid-template-columns: repeat(auto-fit, minmax(min(440px, 100%), 1fr)); gap: 14px 20px }
.views + .times { margin-top: 14px }
.films { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(440px, 100%), 1fr)); gap: 16px 20px;
  margin-top: 16px }
.film h4 { font-size: 13px; font-weight: 600; margin: 0 0 6px }
.film h4 small, h3 small { font-size: inherit; color: var(--soft); font-weight: 400; margin-left: 6px }
.film > div { display: grid; grid-template-columns: repeat(3, 1fr); gap: 5px }
.times { display: grid; grid-template-columns: minmax(72px, max-content) 1fr; gap: 8px 12px; align-items: start;
  font-size: 13px; align-content: start }
.times svg { width: 100%; height: 34px; display: block; border-bottom: 1px solid var(--soft) }
.times small { color: var(--soft); font-size: 12px; display: block; line-height: 1.3;
  margin-top: 3px }
.times .ends { display: flex; justify-content: space-between }
.times path { fill-opacity: .22; stroke-width: 1.6px; vector-effect: non-scaling-stroke; stroke-linejoin: round }
.times rect.lost { fill: var(--lost); fill-opacity: .2 }
.times rect.bar { fill: var(--lost) }
.times rect.absent { fill: var(--soft); fill-opacity: .25 }
"""


class Shown(NamedTuple):
    """One tracker on one sequence. boxes: (N, 4) px, 0-based. overlap: as `strips.overlaps` returns it."""

    label: str
    place: int
    auc: float
    boxes: np.ndarray
    overlap: np.ndarray

    @property
    def colour(self):
        return plots.style(self.place)[0]


def html(report, sequences, runs):
    """The cards of the sequences where the first trackers of a report did worst and best on average, as text.

    Frames are decoded here; where that fails the card says why. Arguments as those of `report.html`.
    """
    trackers = report["trackers"][:SHOWN_TRACKERS]
    order = tables.sequence_scores({**report, "trackers": trackers}, "auc")
    order = [each for each in order if each[0]["visible"] and not all(math.isnan(value) for value in each[1])]
    easiest = order[len(order) - min(EASIEST, len(order) // 2) :][::-1]
    hardest = order[: min(HARDEST, len(order) - len(easiest))]
    by_name = {sequence.name: sequence for sequence in sequences}
    cards = []
    for kind, pairs in (("hard", hardest), ("easy", easiest)):
        for fact, values in pairs:
            sequence = by_name[fact["name"]]
            shown = _shown(report, sequence, runs, values)
            try:
                body = _card(sequence, shown, films=kind == "hard")
            except UserError as error:
                body = f"<p>No pictures: {escape(str(error))}</p>"
            side = tables.number(fact["side_px"], 1)
            cards.append(
                f'<div class="card"><h3>{escape(sequence.name)} <small>{kind}, {len(sequence)} frames, target of '
                f"{side} px</small></h3>{body}</div>"
            )
    return "".join(cards)


def key(place, label):
    """A tracker's name behind its colour, from which its first word is not parted."""
    first, *others = escape(label).split(" ", 1)
    square = f'<i class="key" style="background:{plots.style(place)[0]}"></i>'
    return " ".join([f'<span class="whole">{square}{first}</span>', *others])


def _shown(report, sequence, runs, aucs):
    shown = []
    for tracker, place, auc in zip(report["trackers"], plots.places(report), aucs, strict=False):
        path = results.find(runs[tracker["label"]], report["dataset"], sequence.name)
        if path is not None:
            boxes = results.boxes_of(path, sequence)
            overlap = strips.overlaps(boxes, sequence.boxes_xywh, sequence.visible)
            shown.append(Shown(tracker["label"], place, auc, boxes, overlap))
    return shown


def _card(sequence, shown, films):
    """Where anything is lost, one frame beside the times and a film of every loss; else a few frames of all."""
    frames = sequence.frames()
    lost = [(one, loss) for one in shown if films and (loss := strips.worst_loss(one.overlap))]
    if lost:
        first = lost[0][1].start
        strip = "".join(_film(frames, sequence, shown, one, loss) for one, loss in lost)
        return (
            f'<div class="views two">{_view(frames[first], sequence, first, shown)}{_times(shown)}</div>'
            f'<div class="films">{strip}</div>'
        )
    visible = np.flatnonzero(sequence.visible)
    chosen = np.unique(visible[np.linspace(0, len(visible) - 1, VIEWS + 1).round().astype(int)[1:]])
    views = "".join(_view(frames[int(index)], sequence, index, shown) for index in chosen)
    return f'<div class="views">{views}</div>{_times(shown)}'


def _times(shown):
    """The overlap along time, a line a tracker, with what is lost marked."""
    rows = []
    for one in shown:
        count, words = len(one.overlap), strips.in_words(one.overlap)
        absent = _spans(np.isnan(one.overlap))
        bars = "".join(
            f'<rect class="absent" x="{low}" y="0" width="{high - low}" height="1"/>' for low, high in absent
        )
        for loss in strips.losses(one.overlap):
            place = f'x="{loss.start}" width="{loss.stop - loss.start}"'
            bars += f'<rect class="lost" {place} y="0" height="1"/><rect class="bar" {place} y="0.9" height="0.1"/>'
        points = strips.binned(np.nan_to_num(one.overlap), BINS)
        line = " ".join(f"L{frame:g} {1 - value:.3f}" for frame, value in points)
        path = f'<path d="M0 1{line}L{count} 1Z" fill="{one.colour}" stroke="{one.colour}"/>'
        rows.append(
            f"<span>{key(one.place, one.label)}</span><div>"
            f'<svg viewBox="0 0 {count} 1" preserveAspectRatio="none" role="img" aria-label="overlap of '
            f'{escape(one.label)} by frame, {words}">{bars}{path}</svg><small>AUC {100 * one.auc:.1f}, {words}</small>'
            "</div>"
        )
    return (
        f'<div class="times">{"".join(rows)}<span></span><small class="ends"><span>frame 0</span><span>overlap 0 to 1'
        f"</span><span>{len(shown[0].overlap) - 1}</span></small></div>"
    )


def _spans(flags):
    """[(first, after the last)] of every run of true flags."""
    steps = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(int)))
    return list(zip(steps[::2].tolist(), steps[1::2].tolist(), strict=True))


def _film(frames, sequence, shown, one, loss):
    """The last frame before a loss, the first lost, and the tenth."""
    moments = ((loss.before, "before"), (loss.start, "lost"), (loss.later, f"{strips.PATIENCE}th lost"))
    views = []
    for index, word in moments:
        window = _window(frames[index], sequence.boxes_xywh[index], shown, index)
        views.append(_figure(f"{index}, {word}", _zoom(*window, sequence, shown, index, own=one.place)))
    until = "to the end" if loss.stop == len(sequence) else f"found again at {loss.stop}"
    title = f"{key(one.place, one.label)} <small>lost from frame {loss.start}, {until}</small>"
    return f'<div class="film"><h4>{title}</h4><div>{"".join(views)}</div></div>'


def _view(image, sequence, index, shown):
    """A whole frame, and what is around the target beside it."""
    import cv2

    height, width = image.shape[:2]
    part, left, top, side = _window(image, sequence.boxes_xywh[index], shown, index)
    scale = min(1, FULL_WIDTH / width)
    full = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    body = (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="frame {index}">'
        f"{_image(full, 0, 0, width, height, 82)}{_rects(sequence, shown, index)}"
        f'<rect class="frame" x="{left}" y="{top}" width="{side}" height="{side}"/></svg>'
        f"{_zoom(part, left, top, side, sequence, shown, index)}"
    )
    return _figure(f"frame {index}", body, f"grid-template-columns:{width / height:.3f}fr 1fr")


def _figure(caption, body, style=""):
    return f'<figure class="view" style="{style}">{body}<figcaption>{caption}</figcaption></figure>'


def _window(image, truth, shown, index):
    """(part, left, top, side): the square around the true target that is shown, cut from the frame."""
    height, width = image.shape[:2]
    x, y, w, h = truth
    side = int(min(np.clip(8 * np.sqrt(w * h), *ZOOM_SIDE), width, height))
    left = int(np.clip(x + w / 2 - side / 2, 0, width - side))
    top = int(np.clip(y + h / 2 - side / 2, 0, height - side))
    return image[top : top + side, left : left + side], left, top, side


def _zoom(part, left, top, side, sequence, shown, index, own=None):
    arrows = "".join(_arrow(one.boxes[index], left, top, side, one.colour) for one in shown)
    return (
        f'<svg class="zoom" viewBox="{left} {top} {side} {side}" role="img" aria-label="around the target">'
        f"{_image(part, left, top, side, side, 90)}{_rects(sequence, shown, index, own)}{arrows}</svg>"
    )


def _rects(sequence, shown, index, own=None):
    rects = [_rect(one.boxes[index], one.colour, one.place == own) for one in shown[::-1]]
    return "".join([*rects, _rect(sequence.boxes_xywh[index], plots.TRUTH, False)])


def _rect(box, colour, own):
    if not np.isfinite(box).all():
        return ""
    x, y, w, h = box
    mark = ' class="own"' if own else ""
    return f'<rect{mark} x="{x:.2f}" y="{y:.2f}" width="{max(w, 0):.2f}" height="{max(h, 0):.2f}" stroke="{colour}"/>'


def _arrow(box, left, top, side, colour):
    """A triangle at the border of a window, towards a box that lies outside it."""
    x, y, w, h = box
    inside = x < left + side and y < top + side and x + w > left and y + h > top
    if inside or not np.isfinite(box).all():
        return ""
    middle = np.array([left + side / 2, top + side / 2])
    towards = np.array([x + w / 2, y + h / 2]) - middle
    towards /= np.abs(towards).max()
    tip = middle + towards * side * 0.48
    along = towards / np.hypot(*towards) * side * 0.06
    across = along[::-1] * (-0.6, 0.6)
    points = " ".join(f"{px:.2f},{py:.2f}" for px, py in (tip, tip - along + across, tip - along - across))
    return f'<polygon points="{points}" fill="{colour}"/>'


def _image(image, x, y, width, height, quality):
    import cv2

    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    source = f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
    return f'<image href="{source}" x="{x}" y="{y}" width="{width}" height="{height}" preserveAspectRatio="none"/>'
