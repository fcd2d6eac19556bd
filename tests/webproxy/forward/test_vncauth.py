import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webproxy.forward import vncauth


def test_known_answer() -> None:
    # Both halves of the challenge are encrypted by themselves with the bit-reversed password as the key:
    # the key of "\x80" * 8 is DES's 0x01..01, whose answer to a zero block is a published test vector (NBS SP 500-20).
    assert vncauth.response("\x80" * 8, bytes(16)) == bytes.fromhex("8ca64de9c1b123a7") * 2


@given(st.text(max_size=20), st.binary(min_size=16, max_size=16))
def test_only_eight_bytes_count_and_nothing_warns(password: str, challenge: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answer = vncauth.response(password, challenge)
    assert len(answer) == 16
    assert answer == vncauth.response(password[:8] + ("x" if len(password) >= 8 else ""), challenge)


@pytest.mark.parametrize("size", [0, 8, 15, 17])
def test_a_challenge_has_sixteen_bytes(size: int) -> None:
    with pytest.raises(ValueError, match="sixteen"):
        vncauth.response("secret", bytes(size))
