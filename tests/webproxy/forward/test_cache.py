from __future__ import annotations

from email.utils import formatdate

import pytest

from panelgate.response import ResponseReader
from webproxy.forward import cache
from webproxy.forward.cache import Asks, Caches, Entry, Shelf, asks_of, storable
from webproxy.forward.request import read

WALL = 1_800_000_000.0
BROWSER = {"User-Agent": "b", "Accept": "*/*", "Accept-Encoding": "gzip", "Sec-Fetch-Mode": "cors"}


def get(target: str = "/a", method: str = "GET", **headers: str) -> Asks | None:
    rows = {"Host": "x"} | BROWSER | {name.replace("_", "-"): value for name, value in headers.items()}
    return asks_of(read(method.encode(), target.encode(), "1.1", [(k.encode(), v.encode()) for k, v in rows.items()]))


def asks(target: str = "/a", **headers: str) -> Asks:
    found = get(target, **headers)
    assert found is not None
    return found


def reader(*lines: str, status: str = "200 OK", body: bytes = b"body") -> ResponseReader:
    made = ResponseReader()
    head = [f"HTTP/1.1 {status}", *lines, f"Content-Length: {len(body)}"]
    made.feed("\r\n".join(head).encode() + b"\r\n\r\n" + (body if status[0] == "2" else b""))
    assert made.head is not None
    return made


def keep(
    shelf: Shelf, *lines: str, target: str = "/a", body: bytes = b"body", now: float = 0.0, **headers: str
) -> Entry | None:
    one = asks(target, **headers)
    head = reader(*lines, body=body).head
    assert head is not None
    copy = shelf.copy(one, head, 7, now)
    if copy is None:
        return None
    assert copy.add(body)
    shelf.store(copy, WALL)
    return shelf.find(one)


@pytest.fixture
def shelf() -> Shelf:
    found = Caches().shelf("a", "u", "s")
    assert found is not None
    return found


@pytest.mark.parametrize(("lines", "kept"), [
    (['ETag: "1"'], True), (["Last-Modified: Sat, 31 Jan 2026 12:00:00 GMT"], True),
    (["Cache-Control: max-age=9"], True),
    (["Expires: " + formatdate(WALL, usegmt=True), "Date: " + formatdate(WALL - 9, usegmt=True)], True), ([], False),
    (['ETag: "1"', "Cache-Control: no-cache"], True), (['ETag: "1"', "Cache-Control: private, max-age=0"], True),
    (['ETag: "1"', "Cache-Control: No-Store"], False), (['ETag: "1"', "Set-Cookie: a=b"], False),
    (['ETag: "1"', "Vary: Accept-Encoding, Origin"], True), (['ETag: "1"', "Vary: *"], False),
    (['ETag: "1"', "Vary: Cookie"], False), (['ETag: "1"', "Vary: Accept-Encoding", "Vary: X-Role"], False),
    (['ETag: "1"', "Content-Type: text/event-stream"], False),
    (['ETag: "1"', "Content-Type: multipart/x-mixed-replace; boundary=x"], False),
    (['ETag: "1"', "Content-Range: bytes 0-3/9"], False), (['ETag: "1"', "X-Long: " + "x" * 17_000], False),
    (["Cache-Control: max-age=soon"], False), (["Cache-Control: max-age=0"], False), (["Expires: 0"], False),
    (["Cache-Control: max-age=9", "Cache-Control: max-age=99"], False), (["Cache-Control: max-age=9, no-cache"], False),
    (["Pragma: no-cache", "Expires: " + formatdate(4e9, usegmt=True)], False),
])  # fmt: skip
def test_what_may_be_kept(lines: list[str], kept: bool) -> None:
    head = reader(*lines).head
    assert head is not None
    assert storable(head, authorized=False) is kept


@pytest.mark.parametrize("status", ["206 Partial Content", "201 Created", "203 Other"])
def test_only_whole_plain_answers(status: str) -> None:
    head = reader('ETag: "1"', status=status).head
    assert head is not None
    assert not storable(head, authorized=False)


def test_an_answer_to_a_signed_request_is_kept_only_when_it_says_so() -> None:
    plain, public = reader('ETag: "1"').head, reader('ETag: "1"', "Cache-Control: public, max-age=1").head
    assert plain is not None
    assert public is not None
    assert not storable(plain, authorized=True)
    assert storable(public, authorized=True)


def test_the_verdict_is_noted_on_the_head(shelf: Shelf) -> None:
    live, plain = reader("Content-Type: application/json").head, reader('ETag: "1"').head
    assert live is not None
    assert plain is not None
    assert shelf.copy(asks(), live, 0, 0.0) is None
    assert live.unkept
    # What isn't kept of a signed request may be of another one, though the device sends the same head.
    assert shelf.copy(asks(Authorization="Basic x"), plain, 0, 0.0) is None
    assert not plain.unkept
    assert shelf.copy(asks(), plain, 0, 0.0) is not None
    assert not plain.unkept


def test_requests_that_are_none_of_its_business() -> None:
    assert get(method="POST", Origin="http://x", Content_Length="0") is None
    assert get(method="HEAD") is None
    for extra in ({"Range": "bytes=0-1"}, {"If_Range": "x"}, {"Cache_Control": "no-store"}, {"X_Requested_With": "x"},
                  {"Cache_Control": "only-if-cached"}):  # fmt: skip
        assert get(**extra) is None


def test_a_header_that_a_page_made_up_leaves_nothing_behind(shelf: Shelf) -> None:
    assert get(X_Original_Format="evil") is None
    # And those it may set are part of what a request is told apart by.
    for headers in ({"Accept": "application/evil"}, {"Accept_Language": "xx"}, {"Accept_Encoding": "br"},
                    {"User_Agent": "other"}, {"Authorization": "Basic x"}):  # fmt: skip
        assert keep(shelf, 'ETag: "1"', "Cache-Control: public", body=b"evil", **headers)
    assert shelf.find(asks()) is None
    assert len(shelf) == 5


def test_memo_on_the_head() -> None:
    head = read(b"GET", b"/", "1.1", [(b"Host", b"x"), (b"Range", b"bytes=0-")])
    assert asks_of(head) is None
    assert head.asks is False
    assert asks_of(head) is None
    head = read(b"GET", b"/", "1.1", [(b"Host", b"x")])
    assert asks_of(head) is asks_of(head)


def test_fresh_as_long_as_the_device_said(shelf: Shelf) -> None:
    entry = keep(shelf, "Cache-Control: max-age=60", "Date: " + formatdate(WALL - 10, usegmt=True))
    assert entry is not None
    assert entry.is_fresh(49)
    assert not entry.is_fresh(50)
    entry = keep(shelf, "Cache-Control: max-age=60", "Age: 55")
    assert entry is not None
    assert entry.is_fresh(4)
    assert not entry.is_fresh(5)
    entry = keep(shelf, "Expires: " + formatdate(WALL + 20, usegmt=True), "Date: " + formatdate(WALL, usegmt=True))
    assert entry is not None
    assert entry.is_fresh(19)
    assert not entry.is_fresh(20)


def test_nothing_is_guessed(shelf: Shelf) -> None:
    for lines in (
        ["Last-Modified: Sat, 31 Jan 2015 12:00:00 GMT"],
        ['ETag: "1"', "Cache-Control: no-cache, max-age=60"],
        # A device whose clock is years behind.
        ["Cache-Control: max-age=60", "Date: Thu, 01 Jan 1970 00:10:00 GMT", 'ETag: "1"'],
    ):
        entry = keep(shelf, *lines)
        assert entry is not None
        assert not entry.is_fresh(0)


def test_what_the_browser_wants_asked() -> None:
    for headers in ({"Cache_Control": "no-cache"}, {"Pragma": "no-cache"}, {"Cache_Control": "max-age=0"}):
        assert asks(**headers).verify
    assert not asks().verify


def test_our_validators_take_the_place_of_the_browsers(shelf: Shelf) -> None:
    entry = keep(shelf, 'ETag: W/"1"', "Last-Modified: Sat, 31 Jan 2026 12:00:00 GMT")
    assert entry is not None
    asked = entry.conditional(b'GET / HTTP/1.1\r\nHost: x\r\nIf-None-Match: "theirs"\r\nIf-Modified-Since: x\r\n\r\n')
    assert asked == (
        b'GET / HTTP/1.1\r\nHost: x\r\nIf-None-Match: W/"1"\r\nIf-Modified-Since: Sat, 31 Jan 2026 12:00:00 GMT\r\n\r\n'
    )


@pytest.mark.parametrize(("headers", "status"), [
    ({}, 200), ({"If_None_Match": '"1"'}, 304), ({"If_None_Match": '"0", W/"1"'}, 304), ({"If_None_Match": "*"}, 304),
    ({"If_None_Match": '"2"'}, 200), ({"If_Modified_Since": "Sat, 31 Jan 2026 12:00:00 GMT"}, 304),
    ({"If_Modified_Since": "Sat, 31 Jan 2026 12:00:01 GMT"}, 304),
    ({"If_Modified_Since": "Sat, 31 Jan 2026 11:59:59 GMT"}, 200), ({"If_Modified_Since": "nonsense"}, 200),
    ({"If_None_Match": '"2"', "If_Modified_Since": "Sat, 31 Jan 2026 12:00:00 GMT"}, 200),
])  # fmt: skip
def test_the_browsers_own_condition(shelf: Shelf, headers: dict[str, str], status: int) -> None:
    entry = keep(
        shelf, 'ETag: W/"1"', "Last-Modified: Sat, 31 Jan 2026 12:00:00 GMT", "Content-Encoding: gzip",
        "Content-Type: text/css",
    )  # fmt: skip
    assert entry is not None
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    request = f"GET / HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode()
    head, body = entry.answer(request)
    assert (head.status, body) == ((status, b"body") if status == 200 else (304, b""))
    assert (b"gzip" in head.values(b"content-encoding")) is (status == 200)
    assert head.values(b"etag") == [b'W/"1"']
    assert entry.answer(request, 12.9)[0].values(b"age") == [b"12"]


def test_a_304_renews_and_says_the_rest(shelf: Shelf) -> None:
    entry = keep(shelf, 'ETag: "1"', "Content-Type: text/css", "Content-Encoding: gzip", "Cache-Control: no-cache")
    assert entry is not None
    told = reader('ETag: "1"', "Cache-Control: max-age=5", "Content-Type: evil/type", "Set-Cookie: a=b",
                  status="304 Not Modified").head  # fmt: skip
    assert told is not None
    shown = shelf.renewed(entry, told, 7, 100.0, WALL)
    assert shown is not None
    assert shown.head.values(b"set-cookie") == [b"a=b"]
    stored = shelf.find(asks())
    assert stored is not None
    assert stored.head.values(b"set-cookie") == []
    assert stored.head.values(b"content-type") == [b"text/css"]
    assert stored.head.values(b"content-encoding") == [b"gzip"]
    assert stored.is_fresh(104)
    assert not stored.is_fresh(105)
    assert stored.body == b"body"


def test_a_304_about_something_else_or_that_takes_it_back(shelf: Shelf) -> None:
    entry = keep(shelf, 'ETag: "1"')
    assert entry is not None
    other = reader('ETag: "2"', status="304 Not Modified").head
    assert other is not None
    assert shelf.renewed(entry, other, 7, 0.0, WALL) is None
    assert len(shelf) == 0
    entry = keep(shelf, 'ETag: "1"')
    assert entry is not None
    never = reader("Cache-Control: no-store", status="304 Not Modified").head
    assert never is not None
    shown = shelf.renewed(entry, never, 7, 0.0, WALL)
    assert shown is not None
    assert shown.body == b"body"
    assert len(shelf) == 0


def test_a_change_forgets_all_that_is_kept_of_an_address(shelf: Shelf) -> None:
    keep(shelf, 'ETag: "1"')
    keep(shelf, 'ETag: "1"', Accept="text/html")
    keep(shelf, 'ETag: "1"', target="/a?b")
    shelf.invalidate(b"/a")
    shelf.invalidate(b"/never")
    assert len(shelf) == 1
    assert shelf.find(asks("/a?b")) is not None


def test_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    caches = Caches(60_000)
    one, two = caches.shelf("a", "u", "1"), caches.shelf("a", "u", "2")
    assert one is not None
    assert two is not None
    monkeypatch.setattr(cache, "SHELF_LIMIT", 40_000)
    monkeypatch.setattr(cache, "BODY_LIMIT", 20_000)
    for number in range(5):
        keep(one, 'ETag: "1"', target=f"/{number}", body=b"x" * 10_000)
    assert len(one) == 3
    assert one.find(asks("/4")) is not None
    assert one.find(asks("/0")) is None
    for number in range(5):
        keep(two, 'ETag: "1"', target=f"/{number}", body=b"x" * 10_000)
    assert (len(one), len(two)) == (1, 3)
    assert caches.size == one.size + two.size <= 60_000
    copy = one.copy(asks(), reader('ETag: "1"').head, 0, 0.0)  # type: ignore[arg-type]
    assert copy is not None
    assert copy.add(b"x" * (20_000 - cache.PIECE_COST))
    assert not copy.add(b"x")
    head = reader('ETag: "1"', body=b"x" * 20_001).head
    assert head is not None
    assert not storable(head, authorized=False)
    caches.drop(list(caches))
    assert caches.size == 0
    assert keep(one, 'ETag: "1"') is None


def test_nobody_elses_shelf() -> None:
    caches = Caches()
    names = [("a", "u", "s"), ("a", "v", "s"), ("a", "u", "t"), ("b", "u", "s")]
    shelves = [caches.shelf(*name) for name in names]
    assert len({id(shelf) for shelf in shelves}) == 4
    assert caches.shelf("a", "u", "s") is shelves[0]
    assert shelves[0] is not None
    assert shelves[1] is not None
    keep(shelves[0], 'ETag: "1"')
    assert shelves[1].find(asks()) is None
    assert Caches(0).shelf("a", "u", "s") is None


def test_numbers_without_end_are_large_and_no_error(shelf: Shelf) -> None:
    entry = keep(shelf, "Cache-Control: max-age=" + "9" * 5000, "Age: " + "9" * 5000)
    assert entry is not None
    assert entry.age == entry.lifetime == cache.LIFETIME_LIMIT
    assert not entry.is_fresh(0.0)


def test_answers_on_their_way_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Devices that stop in the middle of many answers hold no more than this, whosever they are."""
    monkeypatch.setattr(cache, "ARRIVING_LIMIT", 1000)
    caches = Caches()
    shelves = [caches.shelf("a", "u", str(number)) for number in range(3)]
    head = reader('ETag: "1"').head
    assert head is not None
    copies = [shelf.copy(asks(), head, 0, 0.0) for shelf in shelves if shelf is not None]
    first, second, third = (copy for copy in copies if copy is not None)
    assert first.add(b"x" * 400)
    assert second.add(b"x" * 400)
    assert not third.add(b"x" * 400)
    assert caches.arriving == 2 * (400 + cache.PIECE_COST)
    assert shelves[0] is not None
    shelves[0].store(first, WALL)
    assert third.add(b"x" * 400)
    second.drop()
    third.drop()
    assert caches.arriving == 0
