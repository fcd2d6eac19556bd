import json
import logging
import subprocess
import sys

from panelgate.log import Secret

SPEAK = """
import logging
from panelgate.log import Secret, configure, get_logger
configure("relay", json={json})
get_logger("here").info("circuit open", circuit="c1", password=Secret("hunter2"))
logging.getLogger("library").warning("odd %s", "thing")
try:
    1 / 0
except ZeroDivisionError:
    get_logger("here").exception("went wrong")
"""


def spoken(*, as_json: bool) -> str:
    done = subprocess.run(
        [sys.executable, "-c", SPEAK.format(json=as_json)], capture_output=True, text=True, check=True
    )
    return done.stdout


def test_json_lines_carry_role_fields_and_no_secret() -> None:
    first, second, third = [json.loads(line) for line in spoken(as_json=True).splitlines()]
    assert (first["role"], first["event"], first["circuit"], first["password"]) == (
        "relay",
        "circuit open",
        "c1",
        "***",
    )
    assert (second["role"], second["event"], second["level"]) == ("relay", "odd thing", "warning")
    assert "ZeroDivisionError" in third["exception"]


def test_text_lines_show_no_secret_either() -> None:
    text = spoken(as_json=False)
    assert "circuit open" in text
    assert "hunter2" not in text


def test_a_traceback_shows_no_local_variables() -> None:
    script = """
from panelgate.log import configure, get_logger
configure("access", json={json})
def sign_in(password):
    raise ValueError("odd")
try:
    sign_in("-".join(["hunter", "two"]))
except ValueError:
    get_logger("here").exception("went wrong")
"""
    for as_json in (True, False):
        command = [sys.executable, "-c", script.format(json=as_json)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert "ValueError" in said
        assert "hunter-two" not in said


def test_a_secret_hides_everywhere_but_in_reveal() -> None:
    secret = Secret("hunter2")
    assert "hunter2" not in f"{secret} {secret!r} {[secret]} {logging.Formatter().format(record(secret))}"
    assert secret.reveal() == "hunter2"


def test_secrets_compare_by_their_text() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert len({Secret("a"), Secret("a")}) == 1


def record(value: object) -> logging.LogRecord:
    return logging.LogRecord("x", logging.INFO, "f", 1, "%s", (value,), None)
