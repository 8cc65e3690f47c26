"""The online tracker of ATOM."""

from . import atom_steps
from .online import OnlineTracker, crop_settings, refining_settings


class AtomTracker(OnlineTracker):
    """The tracker of script `atom`. Arguments: see OnlineTracker."""

    script = "atom"
    steps = atom_steps

    def make_settings(self) -> atom_steps.AtomSettings:
        test = self.config.TEST
        return atom_steps.AtomSettings(
            **crop_settings(self.config.DATA, test),
            **refining_settings(test),
            channels=test.CHANNELS,
            first_steps=test.FIRST_STEPS,
        )
