from __future__ import annotations

from panelgate.names import Sites
from webproxy.forward import places
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
