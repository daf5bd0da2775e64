"""The record's types, which the engine's host imports."""

from __future__ import annotations

import subprocess
import sys


def test_importing_the_types_starts_no_threads():
    code = (
        "import sys, bemsweep.records; print([name for name in ('pyarrow', 'zarr', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
