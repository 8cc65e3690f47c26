"""What the datasets' own files do not say: which sequences belong to a benchmark, which frames, and what they show.

Names and numbers as their authors publish them: LaSOT's and UAV123's as the GOT-10k toolkit lists them, OTB's as its
site and PyTracking do, LaTOT's as in test.txt beside its code (github.com/ZYB0726/MKDNet).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Facts:
    """Of one sequence. folder: of its frames, where that is not called like it. first, last: the numbers in its frames'
    file names, where the folder holds more. skipped: rows at the beginning of its ground truth that do not count.
    """

    folder: str = ""
    first: int = 0
    last: int = 0
    skipped: int = 0
    attributes: tuple = ()


def _numbered(text):
    """`ant 4 8; box` -> [["ant", "4", "8"], ["box"]]."""
    return [entry.split() for entry in text.split(";")]


# Abbreviations in the order of the flags in the datasets' attribute files.
LASOT_FLAGS = ("IV", "POC", "DEF", "MB", "CM", "ROT", "BC", "VC", "SV", "FOC", "FM", "OV", "LR", "ARC")
LATOT_FLAGS = ("SV", "FM", "OV", "IV", "CM", "MB", "BC", "SO", "PO", "FO", "AM", "LI")
UAV123_FLAGS = ("SV", "ARC", "LR", "FM", "FOC", "POC", "OV", "BC", "IV", "VC", "CM", "SOB")
VOT_TAGS = ("camera_motion", "illum_change", "occlusion", "size_change", "motion_change")

_LASOT_TEST = """
airplane 1 9 13 15; basketball 1 6 7 11; bear 2 4 6 17; bicycle 2 7 9 18; bird 2 3 15 17; boat 3 4 12 17; book 3
10 11 19; bottle 1 12 14 18; bus 2 5 17 19; car 2 6 9 17; cat 1 3 18 20; cattle 2 7 12 13; chameleon 3 6 11 20;
coin 3 6 7 18; crab 3 6 12 18; crocodile 3 4 10 14; cup 1 4 7 17; deer 4 8 10 14; dog 1 7 15 19; drone 2 7 13
15; electricfan 1 10 18 20; elephant 1 12 16 18; flag 2 3 5 9; fox 2 3 5 20; frog 3 4 9 20; gametarget 1 2 7 13;
gecko 1 5 16 19; giraffe 2 10 13 15; goldfish 3 7 8 10; gorilla 4 6 9 13; guitar 3 8 10 16; hand 2 3 9 16; hat 1
2 5 18; helmet 5 11 13 19; hippo 1 7 9 20; horse 1 4 12 15; kangaroo 2 5 11 14; kite 4 6 10 15; leopard 1 7 16
20; licenseplate 6 12 13 15; lion 1 5 12 20; lizard 1 3 6 13; microphone 2 6 14 16; monkey 3 4 9 17; motorcycle
1 3 9 18; mouse 1 8 9 17; person 1 5 10 12; pig 2 10 13 18; pool 3 7 12 15; rabbit 10 13 17 19; racing 10 15 16
20; robot 1 5 8 19; rubicCube 1 6 14 19; sepia 6 8 13 16; shark 2 3 5 6; sheep 3 5 7 9; skateboard 3 8 16 19;
spider 14 16 18 20; squirrel 8 11 13 19; surfboard 4 5 8 12; swing 10 14 17 20; tank 6 9 14 16; tiger 4 6 12 18;
train 1 7 11 20; truck 3 6 7 16; turtle 5 8 9 16; umbrella 2 9 17 19; volleyball 1 13 18 19; yoyo 7 15 17 19;
zebra 10 14 16 17
"""
LASOT_TEST = tuple(f"{name}-{number}" for name, *numbers in _numbered(_LASOT_TEST) for number in numbers)

_LATOT_TEST = """
aircraft 3 4 8 11 13; ant 4 8 11 12 16 17; badminton 2 6 7 11 12; bait 1; balloon 1 7 16; bat 1; bee 2 10;
bicycle 3 4 5; bird 1 4 14 17 19 20-1 21-2 22-3 25; boat 1 2; bowling 1 5 9; car 1 2 10 16 22 24 26 27 30 31
33-2 33-3 35 37 43 44 51 53; dice 2; eagle 1; electric_bicycle 5 6 7; fish 1 3 5 7; fly 3 4-1 7 8; golf 1 2 6 8
11 13; hoodle 1 3 5; insect 1; jet 1 5 6 7; kite 1 6 7 9 12 15; Kongming_Lantern 1 7 8 13 15 21 22; ladybird 6
12 13; Paraglider 8 9 10; people 2 4 5 10 12 14 19 21 23 25 30 31 37 39 40 43 45 46 48 51 52; pingpang 2 4 5 7;
poker_box; sheep 2 3; shuttlecock 4 8 10 13 14 15; skateboard 1; snake_head 4; soccer 5 11 17 20 21; star 2 3 4
6 13; surfing 3 4; tennis 2 3 8 12 13 17 20; volleyball 1 2 3; yoyo 7 9 10
"""
LATOT_TEST = tuple(name + number for name, *numbers in _numbered(_LATOT_TEST) for number in numbers or [""])

# One folder of frames for several sequences: `car1` holds car1_1, frames 1 to 751, and so on.
_UAV123_PARTS = """
bird1 1-253 775-1477 1573-2437; car1 1-751 751-1627 1627-2629; car6 1-487 487-1807 1807-2953 2953-3925
3925-4861; car8 1-1357 1357-2575; car16 1-415 415-1993; group1 1-1333 1333-2515 2515-3925 3925-4873; group2
1-907 907-1771 1771-2683; group3 1-1567 1567-2827 2827-4369 4369-5527; person2 1-1189 1189-2623; person4 1-1501
1501-2743; person5 1-877 877-2101; person7 1-1249 1249-2065; person8 1-1075 1075-1525; person12 1-601 601-1621;
person14 1-847 847-1813 1813-2923; person17 1-1501 1501-2347; person19 1-1243 1243-2791 2791-4357; truck4 1-577
577-1261; uav1 1-1555 1555-2377 2473-3469
"""
# The number of the last frame of those that have a folder to themselves.
_UAV123_LAST = """
bike1 3085; bike2 553; bike3 433; boat1 901; boat2 799; boat3 901; boat4 553; boat5 505; boat6 805; boat7 535;
boat8 685; boat9 1399; building1 469; building2 577; building3 829; building4 787; building5 481; car1_s 1475;
car2 1321; car2_s 320; car3 1717; car3_s 1300; car4 1345; car4_s 830; car5 745; car7 1033; car9 1879; car10
1405; car11 337; car12 499; car13 415; car14 1327; car15 469; car17 1057; car18 1207; person1 799; person1_s
1600; person2_s 250; person3 643; person3_s 505; person6 901; person9 661; person10 1021; person11 721; person13
883; person15 1339; person16 1147; person18 1393; person20 1783; person21 487; person22 199; person23 397;
truck1 463; truck2 385; truck3 535; uav2 133; uav3 265; uav4 157; uav5 139; uav6 109; uav7 373; uav8 301;
wakeboard1 421; wakeboard2 733; wakeboard3 823; wakeboard4 697; wakeboard5 1675; wakeboard6 1165; wakeboard7
199; wakeboard8 1543; wakeboard9 355; wakeboard10 469
"""
UAV123 = {name: Facts("", 1, int(last)) for name, last in _numbered(_UAV123_LAST)} | {
    f"{folder}_{number}": Facts(folder, int(first), int(last))
    for folder, *parts in _numbered(_UAV123_PARTS)
    for number, (first, _, last) in enumerate((part.partition("-") for part in parts), 1)
}

_OTB_ATTRIBUTES = """
Basketball IV OCC DEF OPR BC; Biker SV OCC MB FM OPR OV LR; Bird1 DEF FM OV; Bird2 OCC DEF FM IPR OPR; BlurBody
SV DEF MB FM IPR; BlurCar1 MB FM; BlurCar2 SV MB FM; BlurCar3 MB FM; BlurCar4 MB FM; BlurFace MB FM IPR; BlurOwl
SV MB FM IPR; Board SV MB FM OPR OV BC; Bolt OCC DEF IPR OPR; Bolt2 DEF BC; Box IV SV OCC MB IPR OPR OV BC LR;
Boy SV MB FM IPR OPR; Car1 IV SV MB FM BC LR; Car2 IV SV MB FM BC; Car24 IV SV BC; Car4 IV SV; CarDark IV BC;
CarScale SV OCC FM IPR OPR; ClifBar SV OCC MB FM IPR OV BC; Coke IV OCC FM IPR OPR BC; Couple SV DEF FM OPR BC;
Coupon OCC BC; Crossing SV DEF FM OPR BC; Crowds IV DEF BC; Dancer SV DEF IPR OPR; Dancer2 DEF; David IV SV OCC
DEF MB IPR OPR; David2 IPR OPR; David3 OCC DEF OPR BC; Deer MB FM IPR BC LR; Diving SV DEF IPR; Dog SV DEF OPR;
Dog1 SV IPR OPR; Doll IV SV OCC IPR OPR; DragonBaby SV OCC MB FM IPR OPR OV; Dudek SV OCC DEF FM IPR OPR OV BC;
FaceOcc1 OCC; FaceOcc2 IV OCC IPR OPR; Fish IV; FleetFace SV DEF MB FM IPR OPR; Football OCC IPR OPR BC;
Football1 IPR OPR BC; Freeman1 SV IPR OPR; Freeman3 SV IPR OPR; Freeman4 SV OCC IPR OPR; Girl SV OCC IPR OPR;
Girl2 SV OCC DEF MB OPR; Gym SV DEF IPR OPR; Human2 IV SV MB OPR; Human3 SV OCC DEF OPR BC; Human4_2 IV SV OCC
DEF; Human5 SV OCC DEF; Human6 SV OCC DEF FM OPR OV; Human7 IV SV OCC DEF MB FM; Human8 IV SV DEF; Human9 IV SV
DEF MB FM; Ironman IV SV OCC MB FM IPR OPR OV BC LR; Jogging_1 OCC DEF OPR; Jogging_2 OCC DEF OPR; Jump SV OCC
DEF MB FM IPR OPR; Jumping MB FM; KiteSurf IV OCC IPR OPR; Lemming IV SV OCC FM OPR OV; Liquor IV SV OCC MB FM
OPR OV BC; Man IV; Matrix IV SV OCC FM IPR OPR BC; Mhyang IV DEF OPR BC; MotorRolling IV SV MB FM IPR BC LR;
MountainBike IPR OPR BC; Panda SV OCC DEF IPR OPR OV LR; RedTeam SV OCC IPR OPR LR; Rubik SV OCC IPR OPR;
Shaking IV SV IPR OPR BC; Singer1 IV SV OCC OPR; Singer2 IV DEF IPR OPR BC; Skater SV DEF IPR OPR; Skater2 SV
DEF FM IPR OPR; Skating1 IV SV OCC DEF OPR BC; Skating2_1 SV OCC DEF FM OPR; Skating2_2 SV OCC DEF FM OPR;
Skiing IV SV DEF IPR OPR; Soccer IV SV OCC MB FM IPR OPR BC; Subway OCC DEF BC; Surfer SV FM IPR OPR LR; Suv OCC
IPR OV; Sylvester IV IPR OPR; Tiger1 IV OCC DEF MB FM IPR OPR; Tiger2 IV OCC DEF MB FM IPR OPR OV; Toy SV FM IPR
OPR; Trans IV SV OCC DEF; Trellis IV SV IPR OPR BC; Twinnings SV OPR; Vase SV FM IPR; Walking SV OCC DEF;
Walking2 SV OCC LR; Woman IV SV OCC DEF MB FM OPR
"""
# Parts of what is in the folder. Of Tiger1 the first five frames do not count, as in PyTracking and what follows it.
_OTB_SPANS: dict[str, tuple[int, int, int]] = {
    "BlurCar1": (247, 988, 0),
    "BlurCar3": (3, 359, 0),
    "BlurCar4": (18, 397, 0),
    "David": (300, 770, 0),
    "Diving": (1, 215, 0),
    "Football1": (1, 74, 0),
    "Freeman3": (1, 460, 0),
    "Freeman4": (1, 283, 0),
    "Tiger1": (6, 354, 5),
}
OTB = {
    name: Facts("", *_OTB_SPANS.get(name, (0, 0, 0)), attributes=tuple(words))
    for name, *words in _numbered(_OTB_ATTRIBUTES)
}
