"""The demonstration's commands as processes."""

import json
import signal
import socket
import subprocess
import sys

import pytest

ANY_PORT = ["--host", "127.0.0.1", "--port", "0"]


@pytest.mark.parametrize(
    ("words", "event"), [(["hmi", *ANY_PORT], "hmi shown"), (["panel", "--own", *ANY_PORT], "panel shown")]
)
def test_says_when_it_is_shown_and_ends_when_told(words: list[str], event: str):
    command = [sys.executable, "-c", "from demo.cli import group; group()", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = json.loads(process.stdout.readline())
        assert line["event"] == event
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) in (0, -signal.SIGTERM)


@pytest.mark.parametrize("words", [["hmi"], ["panel", "--own"]])
def test_port_in_use_is_said_in_a_sentence(words: list[str]):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-c", "from panelgate.cli import main; main()", "demo", *words]
        command += ["--host", "127.0.0.1", "--port", port]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 1
    assert f"cannot listen on 127.0.0.1 port {port}" in ended.stderr
    assert "Traceback" not in ended.stderr
