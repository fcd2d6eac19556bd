from __future__ import annotations

import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from panelgate.errors import BadInput
from webproxy import listening


@contextmanager
def files(limit: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_every_port_is_bound_at_the_address() -> None:
    first = listening.open_sockets("127.0.0.1", [0, 0])
    ports = [one.getsockname() for one in first]
    assert len({port for _, port in ports}) == 2
    assert {address for address, _ in ports} == {"127.0.0.1"}
    first[0].listen()
    with pytest.raises(BadInput, match=f"Port {ports[0][1]} at 127.0.0.1 is used by another program"):
        listening.open_sockets("127.0.0.1", [0, ports[0][1]])
    for one in first:
        one.close()


def test_both_families_of_a_name() -> None:
    both = listening.open_sockets("", [0])
    assert {one.family for one in both} >= {socket.AF_INET}
    for one in both:
        one.close()


def test_an_address_that_is_not_this_machines() -> None:
    with pytest.raises(BadInput, match="can't be used"):
        listening.open_sockets("192.0.2.1", [0])


def test_a_low_limit_of_open_files_is_raised() -> None:
    with files(500):
        listening.room_for(1000)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 1000 + listening.SPARE_FILES


def test_a_limit_that_cannot_be_raised_is_said() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard == resource.RLIM_INFINITY:
        listening.room_for(10**9)
        return
    with pytest.raises(BadInput, match="LimitNOFILE"):
        listening.room_for(hard)
