"""Devices that speak TLS of every age: `openssl s_server`, which still serves what Python no longer does."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "127.0.0.1"
SECONDS = 20.0  # until s_server listens, or openssl has made a key, on a busy machine


async def run(*arguments: str, cwd: Path) -> None:
    """Run openssl to its end; AssertionError with its words when it fails."""
    process = await asyncio.create_subprocess_exec(
        "openssl", *arguments, cwd=cwd, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(SECONDS):
        _, words = await process.communicate()
    assert process.returncode == 0, words.decode()


async def old_certificate(directory: Path, key: str = "rsa:1024", digest: str = "sha1") -> tuple[str, ...]:
    """A self-signed certificate as panels made them; s_server's options for it."""
    await run(
        "req", "-x509", "-nodes", "-newkey", key, f"-{digest}", "-days", "30", "-subj", "/CN=panel",
        "-keyout", "old.key", "-out", "old.crt", cwd=directory,
    )  # fmt: skip
    return "-cert", "old.crt", "-key", "old.key"


@asynccontextmanager
async def s_server(directory: Path, *options: str) -> AsyncIterator[int]:
    """`openssl s_server` with `options`, answering every request with a page; yields its port."""
    process = await asyncio.create_subprocess_exec(
        "openssl", "s_server", "-accept", f"{HOST}:0", "-www", *options, cwd=directory,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield await _port(process)
    finally:
        process.kill()
        await process.communicate()


async def _port(process: asyncio.subprocess.Process) -> int:
    assert process.stdout is not None
    said: list[str] = []
    async with asyncio.timeout(SECONDS):
        while line := (await process.stdout.readline()).decode():
            said.append(line)
            if line.startswith("ACCEPT "):
                return int(line.rpartition(":")[2])
    raise AssertionError("".join(said))


class OwnAuthority:
    """A plant's own authority, and certificates from it."""

    def __init__(self, name: str = "Plant authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = self._builder(self._name, self._key.public_key(), timedelta(days=30))
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.pem = made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()

    def issue(
        self, directory: Path, names: Sequence[str] = (HOST,), *, expired: bool = False, common: str = "panel"
    ) -> tuple[str, ...]:
        """A certificate for `names` (addresses and names) in `directory`; s_server's options for it."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
        life = timedelta(days=-1) if expired else timedelta(days=30)
        made = self._builder(subject, key.public_key(), life)
        if names:
            general = [x509.IPAddress(ip_address(name)) if name[0].isdigit() else x509.DNSName(name) for name in names]
            made = made.add_extension(x509.SubjectAlternativeName(general), critical=False)
        signed = made.sign(self._key, hashes.SHA256())
        (directory / "own.crt").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        (directory / "own.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        self.last = signed.fingerprint(hashes.SHA256()).hex()
        return "-cert", "own.crt", "-key", "own.key"

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, life: timedelta) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key)
            .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=9))
            .not_valid_after(now + life)
        )  # fmt: skip
