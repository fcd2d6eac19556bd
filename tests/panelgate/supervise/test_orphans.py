"""Children and the death of their parent."""

import os
import subprocess
import sys

from panelgate.supervise.orphans import die_with_parent

PARENT = """
import subprocess, sys
from panelgate.supervise.orphans import die_with_parent
child = subprocess.Popen([sys.executable, "-c", "import signal; print(flush=True); signal.pause()"],
                         stdout=sys.stdout, preexec_fn=die_with_parent(), start_new_session=True)
print(child.pid, flush=True)
child.wait()
"""


def test_child_dies_when_its_parent_is_killed():
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert "".join(sorted(parent.stdout.readline() + parent.stdout.readline())).strip().isdigit()
        parent.kill()
        # The child holds the pipe's other end: the end of file comes when it, too, is gone.
        assert parent.stdout.read() == ""


def test_child_of_a_parent_that_died_already_does_not_start():
    process = subprocess.run(
        [sys.executable, "-c", "print('started')"],
        preexec_fn=die_with_parent(parent=os.getpid() + 1_000_000),
        capture_output=True,
        check=False,
    )
    assert (process.returncode, process.stdout) == (1, b"")


def test_child_with_a_living_parent_runs():
    ended = subprocess.run(
        [sys.executable, "-c", "print(1)"], preexec_fn=die_with_parent(), capture_output=True, check=True
    )
    assert ended.stdout == b"1\n"
