"""The master key and what it seals."""

from __future__ import annotations

from pathlib import Path

import pytest

from access.keyring import Keyring, token_hash
from panelgate.errors import Broken


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    return Keyring.create(tmp_path / "master.key")


def test_sealed_text_opens_in_its_context_only(keyring: Keyring) -> None:
    sealed = keyring.seal("geheim ünd lang", "totp:1")
    assert "geheim" not in sealed
    assert sealed != keyring.seal("geheim ünd lang", "totp:1")
    assert keyring.open(sealed, "totp:1") == "geheim ünd lang"
    with pytest.raises(Broken):
        keyring.open(sealed, "totp:2")


def test_damaged_text_is_refused(keyring: Keyring) -> None:
    sealed = keyring.seal("a text", "c")
    for damaged in (sealed[:-4] + "AAAA", sealed[3:], "v2." + sealed[3:], "v1.x", ""):
        with pytest.raises(Broken, match="master key"):
            keyring.open(damaged, "c")


def test_the_file_is_private_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "k" / "master.key"
    first = Keyring.create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    sealed = first.seal("x", "c")
    assert Keyring.create(path).open(sealed, "c") == "x"
    path.chmod(0o640)
    with pytest.raises(Broken, match="chmod 600"):
        Keyring.load(path)


def test_a_missing_or_damaged_file_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    with pytest.raises(Broken, match="backup"):
        Keyring.load(path)
    path.touch(0o600)
    for content in ("no base64!", "AAAA"):
        path.write_text(content)
        with pytest.raises(Broken):
            Keyring.load(path)


def test_another_key_opens_nothing(tmp_path: Path, keyring: Keyring) -> None:
    with pytest.raises(Broken):
        Keyring.create(tmp_path / "other.key").open(keyring.seal("x", "c"), "c")


def test_digests_depend_on_context_and_key(tmp_path: Path, keyring: Keyring) -> None:
    other = Keyring.create(tmp_path / "other.key")
    digests = {keyring.digest("a", "1"), keyring.digest("a", "2"), keyring.digest("b", "1"), other.digest("a", "1")}
    assert len(digests) == 4
    assert keyring.digest("a", "1") == keyring.digest("a", "1")
    assert token_hash("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2
