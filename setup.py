"""The package is `lib` in a checkout, as users of STARK and OSTrack expect, and `lunar_tracking` when installed."""

from setuptools import find_packages, setup

# The configurations and weights that ship lie beside `lib` in a checkout and inside the installed package.
FOLDERS = {"": "lib", ".experiments": "experiments", ".pretrained": "pretrained"}

setup(
    packages=[
        *(f"lunar_tracking{name}" for name in FOLDERS),
        *(f"lunar_tracking.{name}" for name in find_packages("lib")),
    ],
    package_dir={f"lunar_tracking{name}": folder for name, folder in FOLDERS.items()},
    package_data={
        "lunar_tracking.test.follow": ["*.html"],
        "lunar_tracking.experiments": ["*/*.yaml"],
        "lunar_tracking.pretrained": ["*.safetensors", "*_onnx/*.onnx", "*.md", "LICENSE.*"],
    },
    include_package_data=False,
)
