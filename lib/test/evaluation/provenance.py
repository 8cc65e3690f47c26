"""What results were made from, noted beside them: source, weights, settings and version of the code.

Names alone do not tell two runs apart: another checkpoint, another --set or another folder of the same name would find
the old files "already there". The note is `_made_from.json` in the folder of a run and a dataset.
"""

import contextlib
import datetime
import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from ... import __version__
from ...data.frames import ImageFrames, OrderedFrames, VideoFrames
from ...data.sequence import Sequence as Video
from ...errors import MachineError, UserError
from ...files import write_text
from . import results

log = logging.getLogger(__name__)

NOTE = "_made_from.json"
HEAD = 2**20  # bytes of a video that are looked at
SECTIONS = ("MODEL", "DATA", "TEST")  # of a configuration: what tracking depends on


def describe(tracker: str, settings: Mapping, weights: Any, enhancer: str | None) -> dict[str, Any]:
    """What a run depends on besides its videos, as plain JSON values.

    Args:
        tracker: name of the tracker and its configuration.
        settings: the configuration with all changes of the command line.
        weights (path): of the tracker, a file or folder; or None.
        enhancer: name or file of the enhancer before the tracker; or None.
    """
    made = {"tracker": tracker, "code": __version__, "weights": file_digest(weights), "enhancer": file_digest(enhancer)}
    chosen = {key: value for key, value in settings.items() if not isinstance(value, Mapping) or key in SECTIONS}
    return {**made, "settings": json.loads(json.dumps(dict(_flat(chosen)), default=str))}


def claim(
    run: results.Run, dataset: str, sequences: Sequence[Video], made: Mapping, source: Any, overwrite: bool
) -> None:
    """Note what the results of `sequences` will be made from, unless the folder holds results of something else.

    Args:
        run, dataset: where the results are.
        sequences: the lib.data.sequence.Sequence objects that are to be tracked.
        made: see `describe`.
        source (path): folder of the dataset; None for a benchmark.
        overwrite: the results of `sequences` that are of something else are removed, as they will be tracked again.

    Raises:
        UserError: results of another run, or of other videos of the same names, in one line that names both.
    """
    note = results.boxes_path(run, dataset, "x").with_name(NOTE)
    now: dict = {
        "source": str(source or dataset),
        "run": dict(made),
        "videos": {one.name: _digest(one) for one in sequences},
    }
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MachineError(f"cannot write: {error.strerror}", note.parent) from error
    with _locked(note):
        there = set(results.sequences(run, dataset))
        before = _read(note)
        if before is None and there:
            log.warning("%s: results without a note of what they were made from; taken for this run's", note.parent)
        elif before is not None:
            _check(before, now, there, run, dataset, overwrite, note.parent)
            now["videos"] = {**before["videos"], **now["videos"]}
        write_text(note, json.dumps(now, indent=1) + "\n")


def describe_source(source: Any) -> dict[str, str] | str:
    """What tells one video from another: of a file or folder its path and a digest; of a camera the time as well."""
    path = Path(source)
    if not path.exists():
        return f"{source} at {datetime.datetime.now().isoformat(timespec='seconds')}"
    digest = hashlib.sha256()
    for file in _files(path):
        digest.update(str(file.relative_to(path)).encode())
        digest.update(file_mark(file) if path.is_file() else str(file.stat().st_size).encode())
    return {"name": str(path.resolve()), "sha256": digest.hexdigest()}


def is_there(path: Path, made: Mapping) -> bool:
    """Whether the boxes file `path` is there, complete, and made from the same; see `describe` and `note`.

    Raises:
        UserError: it is there, and made from something else or nobody knows what.
    """
    if not path.is_file():
        return False
    before = _read_plain(path.with_suffix(".json"))
    if before is None:
        choice = "--overwrite replaces it, --runid N keeps both"
        raise UserError(f"is there, without a note of what it was made from. {choice}", path)
    what = difference(before["made"], made)
    for key in ("source", "box", "frames", "first_frame"):
        then, now = before["made"].get(key), json.loads(json.dumps(made.get(key)))
        if not what and then != now:
            what = f"{key} {_said(then) if then else 'none'} then, {_said(now) if now else 'none'} now"
    if what:
        raise UserError(f"boxes of another run: {what}. --overwrite replaces them, --runid N keeps both", path)
    return bool(before["complete"])


def note(path: Path, made: Mapping, complete: bool) -> None:
    """Write beside the boxes file `path` what it was made from, and whether it holds every frame that was asked for."""
    write_text(path.with_suffix(".json"), json.dumps({"made": made, "complete": complete}, indent=1) + "\n")


def difference(before: Mapping, now: Mapping) -> str:
    """The first thing in which two descriptions differ, as "WHAT then, WHAT now"; "" where they are the same.

    A setting that only one of them has is none: a newer version of the code may know more of them.
    """
    for key in ("tracker", "weights", "enhancer"):
        if before.get(key) != now.get(key):
            return f"{key} {_said(before.get(key))} then, {_said(now.get(key))} now"
    for key, value in now["settings"].items():
        if key in before["settings"] and before["settings"][key] != value:
            return f"{key} {before['settings'][key]} then, {value} now"
    if before.get("code") != now["code"]:
        return f"version {before.get('code')} of the code then, {now['code']} now"
    return ""


def _check(before, now, there, run, dataset, overwrite, folder):
    """Raise UserError where results that are there are of something else and stay; with `overwrite` remove them."""
    what = difference(before["run"], now["run"])
    if what:
        stale = there
    else:
        changed = {name for name, digest in now["videos"].items() if before["videos"].get(name, digest) != digest}
        stale = changed & there
        what = f"another {min(stale)}: {before['source']} then, {now['source']} now" if stale else ""
    if not stale:
        return
    if not overwrite:
        raise UserError(f"results of another run: {what}. --overwrite replaces them, --runid N keeps both", folder)
    left = stale - now["videos"].keys()
    if left:
        raise UserError(
            f"results of another run: {what}. {len(left)} of them, such as {min(left)}, would stay among the new ones: "
            f"overwrite all sequences, or keep both with --runid N",
            folder,
        )
    for name in stale:
        results.written(run, dataset, name).unlink()


def _digest(sequence: Video) -> str:
    """Of the ground truth, and of the first frame's file or the head of the video."""
    digest = hashlib.sha256(sequence.boxes_xywh.tobytes())
    with contextlib.suppress(UserError, OSError):  # frames that are not there are reported when they are tracked
        digest.update(_look(sequence.opener()))
    return digest.hexdigest()[:16]


def _look(frames):
    if isinstance(frames, OrderedFrames):
        return _look(frames.frames)
    if isinstance(frames, ImageFrames):
        return frames.read(0)
    if isinstance(frames, VideoFrames):
        return file_mark(frames.path)
    return b""  # made in memory from the sequence's name


def file_mark(path: Path) -> bytes:
    """What tells one large file from another: its size and a digest of its beginning."""
    with open(path, "rb") as file:
        return str(path.stat().st_size).encode() + hashlib.sha256(file.read(HEAD)).digest()


def file_digest(path):
    """{name, sha256} of a file or a folder's files; a name that is no file, as it is; None for None."""
    if path is None or not Path(path).exists():
        return None if path is None else str(path)
    path, digest = Path(path), hashlib.sha256()
    for file in _files(path, below=False):
        # What is deleted meanwhile is no file of weights: whether those are there, the tracker says.
        with contextlib.suppress(FileNotFoundError), open(file, "rb") as opened:
            while block := opened.read(HEAD):
                digest.update(block)
    return {"name": path.name, "sha256": digest.hexdigest()}


def _files(path, below=True):
    """The file itself, or the files of a folder in order; below: also those of the folders in it."""
    if path.is_file():
        return [path]
    return sorted(each for each in path.glob("**/*" if below else "*") if each.is_file())


def _said(value):
    return f"{value['name']} ({value['sha256'][:8]})" if isinstance(value, dict) else str(value)


def _flat(settings, prefix=""):
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _read(note):
    if not note.is_file():
        return None
    try:
        text = json.loads(note.read_text())
        run = {**text["run"], "settings": dict(text["run"]["settings"])}
        return {"source": text["source"], "videos": dict(text["videos"]), "run": run}
    except (ValueError, KeyError, TypeError):
        raise UserError("damaged: it should say what the results beside it were made from", note) from None


def _read_plain(path):
    if not path.is_file():
        return None
    try:
        text = json.loads(path.read_text())
        return {"made": {**text["made"], "settings": dict(text["made"]["settings"])}, "complete": text["complete"]}
    except (ValueError, KeyError, TypeError):
        raise UserError("damaged: it should say what the boxes beside it were made from", path) from None


@contextlib.contextmanager
def _locked(note):
    """Evaluations that start at the same time write the note one after the other, where the file system has locks."""
    lock = FileLock(note.with_name(f".{note.name}.lock"), fallback_to_soft=False)
    try:
        lock.acquire(timeout=60)
    except OSError:
        yield
        return
    try:
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
