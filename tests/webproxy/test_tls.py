from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from panelgate.errors import BadInput
from panelgate.pki import Authority, Role, to_pem
from webproxy import tls


def write(folder: Path, ident: str) -> tuple[Path, Path]:
    identity = Authority.create().new_identity(Role.ACCESS, ident, names=["localhost"])
    certificate, key = folder / "cert.pem", folder / "key.pem"
    certificate.write_text(to_pem(identity.certificate))
    key.write_bytes(identity.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ))  # fmt: skip
    return certificate, key


async def served(port: int) -> bytes:
    context = __import__("ssl").create_default_context()
    context.check_hostname = False
    context.verify_mode = __import__("ssl").CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    assert isinstance(der, bytes)
    return der


async def test_a_changed_certificate_is_used_for_new_connections(tmp_path: Path) -> None:
    context = tls.make_context(*write(tmp_path, "one"))

    async def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        writer.close()

    server = await asyncio.start_server(close, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    task = asyncio.get_running_loop().create_task(
        tls.keep_fresh(context, tmp_path / "cert.pem", tmp_path / "key.pem", seconds=0.02)
    )
    try:
        first = await served(port)
        await asyncio.sleep(0.05)
        (tmp_path / "key.pem").write_text("half")
        await asyncio.sleep(0.06)
        assert await served(port) == first
        write(tmp_path, "two")
        async with asyncio.timeout(5):
            while await served(port) == first:  # noqa: ASYNC110  the certificate is only seen by connecting
                await asyncio.sleep(0.02)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        server.close()
        await asyncio.sleep(0.1)


def test_unusable_files(tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        tls.make_context(tmp_path / "none", tmp_path / "none")
