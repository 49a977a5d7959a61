"""Lets the machine's clock be set for one process and its children alone: time.time() is ahead by what a file says.

Python imports this module when it starts, if its folder is on PYTHONPATH. To set the clock of a machine takes root, and
disturbs all else on it. CLOCK_BOOTTIME and CLOCK_MONOTONIC do not change when a clock is set.
"""

import mmap
import os
import struct
import time
from pathlib import Path

with Path(os.environ["CLOCK_AHEAD_BY"]).open("rb") as _file:
    _ahead_by = mmap.mmap(_file.fileno(), 8, prot=mmap.PROT_READ)
_time = time.time
time.time = lambda: _time() + struct.unpack("d", _ahead_by[:8])[0]
