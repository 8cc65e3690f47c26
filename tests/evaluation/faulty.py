"""tracking/test.py with the identity tracker replaced by one that misbehaves on sequences of certain sizes of box.

Run as a script by the tests beside it; spawned workers import it again, so the replacement holds there too.
SECONDS_A_FRAME slows it down; TRACKED names a file that gets a line with the width of the first box for every start.
"""

import os
import runpy
import signal
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[0:0] = [str(HERE), str(HERE.parents[1])]

from lib import registry  # noqa: E402
from lib.contracts import Family, Result  # noqa: E402
from lib.test.tracker.identity import IdentityTracker  # noqa: E402

RAISES, HANGS, DIES, DIVERGES = 11.0, 12.0, 13.0, 14.0  # width of the first box


class FaultyTracker(IdentityTracker):
    def initialize(self, frame, box):
        self.width = box[2]
        if "TRACKED" in os.environ:
            with open(os.environ["TRACKED"], "a") as log:  # one short write: lines of several processes do not mix
                log.write(f"{self.width:g}\n")
        return super().initialize(frame, box)

    def track(self, frame):
        if self.width == RAISES:
            raise ZeroDivisionError("on purpose")
        if self.width == HANGS:
            time.sleep(3600)
        if self.width == DIES:
            os.kill(os.getpid(), signal.SIGSEGV)
        if self.width == DIVERGES:
            return Result((0.0, 0.0, float("inf"), 1.0), 1.0, True)
        time.sleep(float(os.environ.get("SECONDS_A_FRAME", "0")))
        return super().track(frame)


registry.FAMILIES["identity"] = Family(schema=".config.identity:Identity", tracker="faulty:FaultyTracker")

if __name__ == "__main__":
    script = HERE.parents[1] / "tracking" / "test.py"
    sys.argv[0] = str(script)
    main = runpy.run_path(str(script))["main"]
    sys.exit(main())
