"""`python -m panelgate`."""

import os
import subprocess
import sys


def test_options_may_come_from_the_environment():
    ended = subprocess.run(
        [sys.executable, "-m", "panelgate", "run"],
        env={**os.environ, "PANELGATE_RUN_PORT": "none"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert "'none' is not a valid integer" in ended.stderr
