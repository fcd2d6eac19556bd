from __future__ import annotations

from panelgate.names import Sites
from webproxy.forward import places
from webproxy.forward.jar import Jar
from webproxy.forward.places import Places


def test_portal_services_and_nothing() -> None:
    known = Places(Sites())
    portal = known.of(b"portal.localhost:8080")
    assert portal is not None
    assert portal.is_portal
    service = known.of(b"A--b--c.apps.localhost:8080")
    assert service is not None
    assert (service.label, service.origin) == ("a--b--c", b"http://a--b--c.apps.localhost:8080")
    for host in (b"evil", b"\xff", b"portal.localhost", b"a--b--c.apps.localhost:8080.", b""):
        assert known.of(host) is None


def test_the_memory_is_bounded() -> None:
    known = Places(Sites())
    for number in range(places.CACHE_LIMIT + 10):
        known.of(b"x%d" % number)
    assert len(known._known) <= places.CACHE_LIMIT


def test_where_services_share_one_host_the_label_stands_behind_it() -> None:
    known = Places(Sites(apps="apps.localhost"))
    place = known.of(b"apps.localhost:8080/a--b--c")
    assert place is not None
    assert (place.label, place.word, place.origin) == ("a--b--c", "a--b--c", b"http://apps.localhost:8080")
    assert place.jar == Jar.below("a--b--c") == places.jar_of(Sites(apps="apps.localhost"), "a--b--c")
    portal = known.of(b"portal.localhost:8080")
    assert portal is not None
    assert portal.is_portal
    for host in (b"apps.localhost:8080", b"apps.localhost:8080/a--b", b"apps.localhost/a--b--c", b"x/a--b--c",
        b"a--b--c.apps.localhost:8080", b"portal.localhost:8080/a--b--c"):  # fmt: skip
        assert known.of(host) is None
    assert Places(Sites()).of(b"portal.localhost:8080/a--b--c") is None
