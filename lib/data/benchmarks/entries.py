"""The benchmarks and training sets: a few declarative lines each. Adding one is adding an entry here."""

from dataclasses import dataclass

from lib.data.benchmarks.annotated import Coco, ImageNetVid, Shift, Stills
from lib.data.benchmarks.layout import FOLDER_LAYOUTS, Layout


@dataclass(frozen=True)
class Benchmark:
    """folders: alternatives below the data root, the first that exists is read. source: what it is, where to get it.

    splits: alternatives for a file of the sequences that belong to it, a name or a number from 0 (a line of list.txt)
        on each line; it lies in the folder, the folder above or <data root>/data_specs.
    whole: folders looked for first, that hold these sequences alone and need no such file.
    """

    folders: tuple
    source: str
    layouts: tuple = FOLDER_LAYOUTS
    splits: tuple = ()
    whole: tuple = ()


ANY_FOLDER = (*FOLDER_LAYOUTS, Stills())
GOT10K = (
    Layout(
        boxes="{seq}/groundtruth.txt", frames=("{seq}/*",), absent=("{seq}/absence.label",), cover="{seq}/cover.label"
    ),
)
GOT10K_SOURCE = "the {} split of GOT-10k (got-10k.aitestunion.com)"
LASOT = tuple(
    Layout(
        boxes=f"{folder}/groundtruth.txt",
        frames=(f"{folder}/img/*",),
        absent=tuple(f"{folder}/{flags}.txt" for flags in ("full_occlusion", "out_of_view")),
    )
    for folder in ("*/{seq}", "{seq}")
)

BENCHMARKS = {
    # The published archive does not document its layout, so any that a user's folder may have will do.
    "lunar": Benchmark(
        folders=("lunar/test", "lunar"),
        source="the 700 night videos of Lunar Tracking; download links are at github.com/kk123321x/LunarTracking",
    ),
    "lunar_train": Benchmark(
        folders=("lunar/train",),
        source="the training videos of Lunar Tracking; download links are at github.com/kk123321x/LunarTracking",
    ),
    "latot_train": Benchmark(
        whole=("latot/train", "LaTOT/train"),
        folders=("LaTOT", "latot"),
        source="the 269 training videos of LaTOT",
        splits=("latot_train_split.txt",),
    ),
    "got10k_train": Benchmark(("got10k/train",), GOT10K_SOURCE.format("training"), GOT10K),
    "got10k_val": Benchmark(("got10k/val",), GOT10K_SOURCE.format("validation"), GOT10K),
    "got10k_vottrain": Benchmark(
        ("got10k/train",), GOT10K_SOURCE.format("training"), GOT10K, splits=("got10k_vot_train_split.txt",)
    ),
    "got10k_votval": Benchmark(
        ("got10k/train",), GOT10K_SOURCE.format("training"), GOT10K, splits=("got10k_vot_val_split.txt",)
    ),
    "lasot_train": Benchmark(
        whole=("lasot/train",),
        folders=("lasot",),
        source="LaSOT (vision.cs.stonybrook.edu/~lasot), a folder for each class",
        layouts=LASOT,
        splits=("lasot_train_split.txt", "training_set.txt"),
    ),
    "trackingnet_train": Benchmark(
        folders=("trackingnet",),
        source="TrackingNet (tracking-net.org), TRAIN_0 to TRAIN_11 or some of them",
        layouts=(Layout(boxes="TRAIN_*/anno/{seq}.txt", frames=("TRAIN_*/frames/{seq}/*",)),),
    ),
    "coco17": Benchmark(
        folders=("coco",),
        source="COCO 2017 (cocodataset.org)",
        layouts=(Coco("annotations/instances_train2017.json", "images/train2017/"),),
    ),
    "imagenet_vid": Benchmark(("vid",), "ImageNet-VID 2015 (image-net.org)", (ImageNetVid(),)),
    "bdd100k_night": Benchmark(
        folders=("bdd100k_night",),
        source="the night images of BDD100K, as prepared for DCPT",
        layouts=(Coco("annotations/bdd100k_night.json", "images/"),),
    ),
    "exdark": Benchmark(
        folders=("ExDark", "exdark"),
        source="ExDark, as prepared for DCPT",
        layouts=(Coco("annotations/annotations.json", "images/"),),
    ),
    "shift_night": Benchmark(
        folders=("shift_night",),
        source="the night videos of SHIFT with shift_info_1fps.json, as prepared for DCPT",
        layouts=(Shift(),),
    ),
}

# What OSTrack's and DCPT's configurations call them, in lower case.
ALIASES = {
    "lasot": "lasot_train",
    "got10k_train_full": "got10k_train",
    "got10k_official_val": "got10k_val",
    "trackingnet": "trackingnet_train",
    "vid": "imagenet_vid",
}
