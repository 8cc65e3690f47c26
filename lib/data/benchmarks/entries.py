"""The benchmarks and training sets: a few declarative lines each. Adding one is adding an entry here."""

from dataclasses import dataclass, replace

from . import facts
from .annotated import Coco, ImageNetVid, Shift, Stills
from .ball_layouts import LAYOUTS as BALLS
from .layout import FOLDER_LAYOUTS, Layout, Together


@dataclass(frozen=True)
class Benchmark:
    """folders: alternatives below the data root, the first that exists is read; the last is what we call it.
    source: what it is, where to get it.

    splits: alternatives for a file of the sequences that belong to it, a name or a number from 0 (a line of list.txt)
        on each line; it lies in the folder, the folder above or <data root>/data_specs.
    official: the names of the sequences that belong to it, where that is known without a file.
    whole: folders looked for first, that hold these sequences alone and need neither.
    training: of a test set, what its training set is called here. to_train: it is one itself.
    """

    folders: tuple
    source: str
    layouts: tuple = FOLDER_LAYOUTS
    splits: tuple = ()
    official: tuple = ()
    whole: tuple = ()
    training: str = ""
    to_train: bool = False


OWN_FOLDER = (*FOLDER_LAYOUTS, Stills())
GOT10K = (
    Layout(
        boxes="{seq}/groundtruth.txt",
        frames=("{seq}/*",),
        absent=("{seq}/absence.label",),
        cover="{seq}/cover.label",
        about="{seq}/meta_info.ini",
    ),
)
GOT10K_SOURCE = "the {} split of GOT-10k (got-10k.aitestunion.com)"
ATTRIBUTES = ("att/{seq}.txt", "annos/att/{seq}.txt")  # the second as in LaSOT's evaluation toolkit
LASOT = tuple(
    Layout(
        boxes=f"{folder}/groundtruth.txt",
        frames=(f"{folder}/img/*",),
        absent=tuple(f"{folder}/{flags}.txt" for flags in ("full_occlusion", "out_of_view")),
        attributes=ATTRIBUTES,
        flags=facts.LASOT_FLAGS,
        category="{seq}",
        origin=1.0,
    )
    for folder in ("{class}/{seq}", "{seq}")
)
LASOT_SOURCE = "LaSOT (vision.cs.stonybrook.edu/~lasot), a folder for each class"
LATOT = tuple(
    replace(layout, attributes=ATTRIBUTES, flags=facts.LATOT_FLAGS, category="{seq}") for layout in FOLDER_LAYOUTS
)
LATOT_PARTS = tuple(  # in latot/train and latot/test
    replace(
        layout,
        boxes=f"{{part}}/{layout.boxes}",
        frames=tuple(f"{{part}}/{frames}" for frames in layout.frames),
        absent=tuple(f"{{part}}/{absent}" for absent in layout.absent),
    )
    for layout in LATOT
    if layout.frames
)
OTB = Layout(boxes="{seq}/groundtruth_rect.txt", frames=("{seq}/img/*",), origin=1.0, facts=facts.OTB)
UAV_AT_NIGHT = (Layout(boxes="anno/{seq}.txt", frames=("data_seq/{seq}/*",)),)
TRACKINGNET_SOURCE = "TrackingNet (tracking-net.org), {}"


BENCHMARKS = {
    # The published archive does not document its layout, so any that a user's folder may have will do.
    "lunar": Benchmark(
        folders=("lunar/test", "lunar"),
        source="the 700 night videos of Lunar Tracking; download links are at github.com/kk123321x/LunarTracking",
    ),
    "lunar_train": Benchmark(
        folders=("lunar/train",),
        source="the training videos of Lunar Tracking; download links are at github.com/kk123321x/LunarTracking",
        to_train=True,
    ),
    "latot": Benchmark(
        folders=("LaTOT", "latot"),
        source="all 434 videos of LaTOT (github.com/mmic-lcl/Datasets-and-benchmark-code)",
        layouts=(*LATOT, *LATOT_PARTS),
        training="latot_train",
    ),
    "latot_test": Benchmark(
        whole=("latot/test", "LaTOT/test"),
        folders=("LaTOT", "latot"),
        source="the 165 test videos of LaTOT (github.com/mmic-lcl/Datasets-and-benchmark-code)",
        layouts=LATOT,
        official=facts.LATOT_TEST,
        training="latot_train",
    ),
    "nt_vot211": Benchmark(
        folders=("NT-VOT211", "nt_vot211"),
        source="NT-VOT211 (github.com/LiuYuML/NV-VOT211)",
        layouts=tuple(Layout(boxes=f"{boxes}/{{seq}}.txt", frames=("sequences/{seq}/*",)) for boxes in ("GT", "anno")),
    ),
    "uavdark135": Benchmark(
        folders=("UAVDark135", "uavdark135"),
        source="UAVDark135 (vision4robotics.github.io)",
        layouts=tuple(
            Layout(boxes=f"{boxes}/{{seq}}.txt", frames=("Sequences/{seq}/*", "sequences/{seq}/*"))
            for boxes in ("anno_revise", "anno")
        ),
    ),
    "darktrack2021": Benchmark(
        folders=("DarkTrack2021", "darktrack2021"),
        source="DarkTrack2021 (darktrack2021.netlify.app)",
        layouts=UAV_AT_NIGHT,
    ),
    "nat2021": Benchmark(
        folders=("NAT2021-test", "NAT2021", "nat2021"),
        source="NAT2021-test (vision4robotics.github.io/NAT2021)",
        layouts=UAV_AT_NIGHT,
    ),
    "nat2021l": Benchmark(
        folders=("NAT2021-L-test", "NAT2021-L", "NAT2021L", "nat2021l"),
        source="NAT2021-L-test (vision4robotics.github.io/NAT2021)",
        layouts=UAV_AT_NIGHT,
    ),
    "llot": Benchmark(folders=("LLOT", "llot"), source="LLOT (arXiv 2408.11463)"),
    "lasot": Benchmark(
        folders=("lasot/test", "LaSOT", "lasot"),
        source=LASOT_SOURCE,
        layouts=LASOT,
        official=facts.LASOT_TEST,
        training="lasot_train",
    ),
    "lasot_extension_subset": Benchmark(
        folders=("LaSOT_extension_subset", "lasot_ext", "lasot_extension_subset"),
        source="the extension subset of LaSOT (vision.cs.stonybrook.edu/~lasot), 15 classes of 10",
        layouts=LASOT,
    ),
    "got10k_test": Benchmark(("got10k/test",), GOT10K_SOURCE.format("test"), GOT10K, training="got10k_train"),
    "trackingnet": Benchmark(
        folders=("TrackingNet", "trackingnet"),
        source=TRACKINGNET_SOURCE.format("TEST"),
        layouts=(Layout(boxes="TEST/anno/{seq}.txt", frames=("TEST/frames/{seq}/*",)),),
        training="trackingnet_train",
    ),
    "otb": Benchmark(
        folders=("OTB100", "OTB2015", "OTB", "otb"),
        source="the 100 sequences of OTB-2015 (cvlab.hanyang.ac.kr/tracker_benchmark)",
        layouts=(Together((OTB, replace(OTB, boxes="{seq}/groundtruth_rect.{part}.txt", name="{seq}_{part}"))),),
        official=tuple(facts.OTB),
    ),
    "uav123": Benchmark(
        folders=("UAV123", "uav123", "uav"),
        source="UAV123 (cemse.kaust.edu.sa/ivul/uav123)",
        layouts=(
            Layout(
                boxes="anno/UAV123/{seq}.txt",
                frames=("data_seq/UAV123/{folder}/*",),
                name="uav_{seq}",
                attributes=("anno/UAV123/att/{seq}.txt",),
                flags=facts.UAV123_FLAGS,
                category="{seq}",
                origin=1.0,
                facts={f"uav_{name}": fact for name, fact in facts.UAV123.items()},
            ),
        ),
        official=tuple(f"uav_{name}" for name in facts.UAV123),
    ),
    "nfs": Benchmark(
        folders=("NFS", "nfs"),
        source="Need for Speed at 30 frames a second, as prepared for PyTracking (github.com/visionml/pytracking)",
        layouts=(Layout(boxes="anno/nfs_{seq}.txt", frames=("sequences/{seq}/*",), name="nfs_{seq}"),),
    ),
    "tc128": Benchmark(
        folders=("Temple-color-128", "tc128"),
        source="Temple Color 128 (dabi.temple.edu/~hbling/data/TColor-128)",
        layouts=(Layout(boxes="{seq}/*_gt.txt", frames=("{seq}/img/*",), span="{seq}/*_frames.txt", origin=1.0),),
    ),
    "tnl2k": Benchmark(
        folders=("TNL2K_test_subset", "TNL2K", "tnl2k"),
        source="the test subset of TNL2K (github.com/wangxiao5791509/TNL2K_evaluation_toolkit)",
        layouts=(Layout(boxes="{seq}/groundtruth.txt", frames=("{seq}/imgs/*",)),),
    ),
    "dtb70": Benchmark(
        folders=("DTB70", "dtb70"),
        source="DTB70 (github.com/flyers/drone-tracking)",
        layouts=(Layout(boxes="{seq}/groundtruth_rect.txt", frames=("{seq}/img/*",), category="{seq}"),),
    ),
    "uavdt": Benchmark(
        folders=("UAVDT", "uavdt"),
        source="the single-object part of UAVDT (sites.google.com/view/grli-uavdt)",
        layouts=tuple(
            Layout(boxes=f"{boxes}/{{seq}}_gt.txt", frames=("sequences/{seq}/*", "UAV-benchmark-S/{seq}/*", "{seq}/*"))
            for boxes in ("anno", "UAV-benchmark-SOT_v1.0/anno")
        ),
    ),
    "vot": Benchmark(
        folders=("vot/sequences", "vot"),
        source="the sequences of a VOT challenge with rectangles or polygons (votchallenge.net)",
        layouts=(
            Layout(
                boxes="{seq}/groundtruth.txt",
                frames=("{seq}/color/*", "{seq}/*"),
                tags=facts.VOT_TAGS,
                tag_files=("{seq}/{tag}.tag", "{seq}/{tag}.label"),
            ),
        ),
    ),
    "avist": Benchmark(
        folders=("AVisT", "avist"),
        source="AVisT (sites.google.com/view/avist-benchmark)",
        layouts=(
            Layout(
                boxes="anno/{seq}.txt",
                frames=("sequences/{seq}/*",),
                absent=tuple(f"{flags}/{{seq}}_{flags}.txt" for flags in ("full_occlusion", "out_of_view")),
            ),
        ),
    ),
    "badminton100k": Benchmark(
        folders=("badminton100k/test", "badminton100k"),
        source="Badminton100K, laid out as TrackNetV2's shuttlecocks are",
        layouts=BALLS["badminton100k"],
    ),
    "shuttlecock": Benchmark(
        folders=("shuttlecock/test", "shuttlecock/Test", "shuttlecock"),
        source="the shuttlecocks of TrackNetV2 and V3 (github.com/qaz812345/TrackNetV3)",
        layouts=BALLS["shuttlecock"],
    ),
    "tennis": Benchmark(
        folders=("tennis",),
        source="the tennis balls of TrackNetV1 (arXiv 1907.03698); seen are visibility 1 and 2, as in WASB",
        layouts=BALLS["tennis"],
    ),
    "tennis_v1": Benchmark(
        folders=("tennis",),
        source="the same with every visibility but 0 seen, as in the port of TrackNetV1",
        layouts=BALLS["tennis_v1"],
    ),
    **{
        name: Benchmark(
            folders=(name,),
            source=f"the {name.replace('_', ' ')} balls of WASB (github.com/nttcom/WASB-SBDT)",
            layouts=BALLS[name],
        )
        for name in ("table_tennis", "volleyball", "soccer", "basketball")
    },
    "latot_train": Benchmark(
        whole=("latot/train", "LaTOT/train"),
        folders=("LaTOT", "latot"),
        source="the 269 training videos of LaTOT",
        layouts=LATOT,
        splits=("latot_train_split.txt", "train.txt"),
        to_train=True,
    ),
    "got10k_train": Benchmark(("got10k/train",), GOT10K_SOURCE.format("training"), GOT10K, to_train=True),
    "got10k_val": Benchmark(("got10k/val",), GOT10K_SOURCE.format("validation"), GOT10K),
    "got10k_vottrain": Benchmark(
        ("got10k/train",),
        GOT10K_SOURCE.format("training"),
        GOT10K,
        splits=("got10k_vot_train_split.txt",),
        to_train=True,
    ),
    "got10k_votval": Benchmark(
        ("got10k/train",), GOT10K_SOURCE.format("training"), GOT10K, splits=("got10k_vot_val_split.txt",), to_train=True
    ),
    "lasot_train": Benchmark(
        whole=("lasot/train",),
        folders=("lasot",),
        source=LASOT_SOURCE,
        layouts=LASOT,
        splits=("lasot_train_split.txt", "training_set.txt"),
        to_train=True,
    ),
    "trackingnet_train": Benchmark(
        folders=("trackingnet",),
        source=TRACKINGNET_SOURCE.format("TRAIN_0 to TRAIN_11 or some of them"),
        layouts=(Layout(boxes="TRAIN_{part}/anno/{seq}.txt", frames=("TRAIN_{part}/frames/{seq}/*",)),),
        to_train=True,
    ),
    "coco17": Benchmark(
        folders=("coco",),
        source="COCO 2017 (cocodataset.org)",
        layouts=(Coco("annotations/instances_train2017.json", "images/train2017/"),),
        to_train=True,
    ),
    "imagenet_vid": Benchmark(("vid",), "ImageNet-VID 2015 (image-net.org)", (ImageNetVid(),), to_train=True),
    "bdd100k_night": Benchmark(
        folders=("bdd100k_night",),
        source="the night images of BDD100K, as prepared for DCPT",
        layouts=(Coco("annotations/bdd100k_night.json", "images/"),),
        to_train=True,
    ),
    "exdark": Benchmark(
        folders=("ExDark", "exdark"),
        source="ExDark, as prepared for DCPT",
        layouts=(Coco("annotations/annotations.json", "images/"),),
        to_train=True,
    ),
    "shift_night": Benchmark(
        folders=("shift_night",),
        source="the night videos of SHIFT with shift_info_1fps.json, as prepared for DCPT",
        layouts=(Shift(),),
        to_train=True,
    ),
}

# What the configurations and command lines of OSTrack, PyTracking and DCPT call them, in lower case; but LASOT and
# TRACKINGNET in capitals are the training sets there, and in lower case the test sets.
ALIASES = {
    "LASOT": "lasot_train",
    "TRACKINGNET": "trackingnet_train",
    "got10k_train_full": "got10k_train",
    "got10k_official_val": "got10k_val",
    "vid": "imagenet_vid",
    "uav": "uav123",
    "otb100": "otb",
    "ntvot211": "nt_vot211",
}
