"""docs/protocol.md says what the code does."""

import base64
import json
import re
from pathlib import Path

from panelgate import frames, tickets
from panelgate.frames import CircuitEnd, Kind, StreamError
from panelgate.mux import MAX_STREAMS, MAX_UNREAD, MAX_WINDOW, TABLE, WINDOW, Act, State
from panelgate.tickets import CircuitTicket, ControlTicket, Signer

DOCUMENT = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table after `heading`."""
    table = DOCUMENT.partition(heading)[2].partition("\n\n| ")[2].partition("\n\n")[0]
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def test_the_state_table() -> None:
    written = {
        (State[state], Act[act]): State[after]
        for state, acts, after in rows("<!-- states:")
        for act in acts.split(", ")
    }
    assert written == {(state, act): after for state, acts in TABLE.items() for act, after in acts.items()}


def test_the_frame_types() -> None:
    written = {}
    for number, name, stream, _, length in rows("## 4. Frames"):
        low, high = length.split("–")
        assert Kind[name] == int(number)
        written[int(number)] = (int(low), int(high), stream == "yes")
    assert written == frames.LIMITS


def test_the_codes() -> None:
    resets = {int(row[0]): row[1] for row in rows("<!-- codes:")}
    assert resets == {code.value: code.name for code in StreamError}
    ends = dict(re.findall(r"^\| (\d+) \| ([A-Z]+) \|", DOCUMENT.partition("| GOAWAY | name")[2], re.MULTILINE))
    assert {int(code): name for code, name in ends.items()} == {code: code.name for code in CircuitEnd if code < 100}
    for code in CircuitEnd:
        assert code < 100 or f"{code.value} {code.name}" in DOCUMENT


def test_the_numbers() -> None:
    assert str(WINDOW) in DOCUMENT
    assert f"at most to {MAX_WINDOW >> 20} MiB" in DOCUMENT
    assert f"limited to {MAX_UNREAD >> 20} MiB" in DOCUMENT
    assert f"At most {MAX_STREAMS} streams" in DOCUMENT
    assert f"at most {frames.MAX_DATA} bytes" in DOCUMENT
    assert f"lives for {tickets.CIRCUIT_SECONDS} s" in DOCUMENT
    assert f"{tickets.SKEW_SECONDS} s of skew" in DOCUMENT


def test_the_claims() -> None:
    signer = Signer(tickets.new_signing_key())
    circuit = signer.circuit(CircuitTicket("c", "a", "u", "s", "d", ("x",), False, "w", "f", "r", 2e9), 1e9)
    control = signer.control(ControlTicket("d", "f", "r", 1, 2e9), 1e9)
    kind, written = "", set()
    for kind_cell, claims, _ in rows("<!-- claims:"):
        kind = kind_cell or kind
        written |= {(kind, claim) for claim in re.findall(r"[a-z]{2,3}", claims)}
    made = set()
    for token in (circuit, control):
        header, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in token.split(".")[:2])
        made |= {(header["typ"], claim) for claim in claims if claim not in ("iss", "iat", "exp")}
    assert written == made
