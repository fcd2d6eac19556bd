import socket
import struct
from ipaddress import ip_address
from pathlib import Path

from agent.interfaces import connected_lans, own_addresses, parse_fib_trie, parse_if_inet6, parse_route

ROUTE_HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"


def row(interface: str, destination: str, gateway: str, mask: str) -> str:
    # As the kernel prints them: in the machine's own byte order.
    a, b, c = (f"{struct.unpack('=I', socket.inet_aton(text))[0]:08X}" for text in (destination, gateway, mask))
    return f"{interface}\t{a}\t{b}\t0003\t0\t0\t0\t{c}\t0\t0\t0\n"


WAN = row("wan0", "0.0.0.0", "192.168.2.1", "0.0.0.0") + row("wan0", "192.168.2.0", "0.0.0.0", "255.255.255.0")
LAN = row("lan0", "192.168.0.0", "0.0.0.0", "255.255.255.0")
FIB = """Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 127.0.0.1
        /32 host LOCAL
     +-- 192.168.0.0/24 2 0 2
        |-- 192.168.0.1
           /32 host LOCAL
        |-- 192.168.0.255
           /32 link BROADCAST
"""
INET6 = (
    "fe800000000000000000000000000001 02 40 20 80 lan0\n00000000000000000000000000000001 01 80 10 80 lo\nrubbish\n\n"
)


def proc(folder: Path, route: str) -> Path:
    (folder / "route").write_text(ROUTE_HEAD + route)
    (folder / "fib_trie").write_text(FIB)
    (folder / "if_inet6").write_text(INET6)
    return folder


def test_a_router_declares_its_inner_side_only(tmp_path: Path) -> None:
    assert connected_lans(proc(tmp_path, WAN + LAN)) == ("192.168.0.0/24",)


def test_a_machine_with_one_side_declares_it(tmp_path: Path) -> None:
    assert connected_lans(proc(tmp_path, WAN)) == ("192.168.2.0/24",)


def test_own_addresses(tmp_path: Path) -> None:
    expected = {ip_address(a) for a in ("127.0.0.1", "192.168.0.1", "fe80::1", "::1")}
    assert own_addresses(proc(tmp_path, "")) == expected


def test_nothing_to_read(tmp_path: Path) -> None:
    assert own_addresses(tmp_path) == frozenset()
    assert connected_lans(tmp_path) == ()


def test_rubbish_is_skipped() -> None:
    assert parse_fib_trie("|-- x\n /32 host LOCAL\n") == []
    assert parse_if_inet6("zz\n") == []
    assert parse_route(ROUTE_HEAD + "short\nx\tZZ\tZZ\t0\t0\t0\t0\tZZ\t0\n") == ([], set())


def test_this_machine_has_loopback() -> None:
    assert ip_address("127.0.0.1") in own_addresses()
