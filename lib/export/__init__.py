"""Running a tracker's network by other engines than torch, and measuring it, stage by stage.

A tracker that can do so is `Staged` (lib/contracts.py): it lists its stages, each a module with example inputs, and
lets others run them. graphs.py writes stages as ONNX files, engines.py runs those, compiled.py compiles stages by
torch, profile.py counts and times them. Nothing here knows a particular network.
"""
