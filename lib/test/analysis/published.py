"""Scores that papers print of a dataset, shown beside measured ones. None of them was measured here.

LaTOT: Zhu et al., arXiv:2202.05659. PR, NPR and SR of the paper are p5, np_auc and auc here. Tables IV and V are read
as those of all 434 videos, Table VI as that of the 165 test videos, since its trackers are trained on the others. The
released code writes whole pixels; `--result_rounding none trunc` shows what that costs.
"""

NAMES = ("p5", "np_auc", "auc")
SCORES = {
    "latot": {
        "Super-DiMP (Table IV)": (0.602, 0.494, 0.401),
        "+ features distilled": (0.616, 0.514, 0.407),
        "+ scores distilled": (0.620, 0.513, 0.402),
        "+ ratings distilled": (0.622, 0.513, 0.408),
        "MKDNet: all three": (0.631, 0.517, 0.413),
    },
    "latot_test": {
        "ATOM (Table VI)": (0.486, 0.355, 0.286),
        "ATOM trained on LaTOT": (0.520, 0.385, 0.317),
        "Super-DiMP": (0.521, 0.406, 0.329),
        "Super-DiMP trained on LaTOT": (0.565, 0.439, 0.354),
    },
}
ATTRIBUTES = {  # auc
    "latot": {
        "MKDNet (Table V)": {
            "SV": 0.441,
            "FM": 0.264,
            "OV": 0.171,
            "IV": 0.474,
            "CM": 0.378,
            "MB": 0.141,
            "BC": 0.404,
            "SO": 0.448,
            "PO": 0.299,
            "FO": 0.227,
            "AM": 0.156,
            "LI": 0.522,
        }
    }
}
