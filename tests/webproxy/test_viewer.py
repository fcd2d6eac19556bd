from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

from tests.fakes.vnc_site import make_session
from webproxy import viewer
from webproxy.forward.vncend import ENDS, End


def data_of(html: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="viewer-data">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def page(portal: str = "https://portal.example.com", permission: str = "operate", name: str = "Press 7") -> str:
    session = make_session(5900, permission)
    session = dataclasses.replace(session, device={**session.device, "name": name})
    return viewer.page(session, portal)[1].decode()


def test_the_policy_allows_nothing_inline_and_nobody_else() -> None:
    headers = dict(viewer.page(make_session(5900))[0])
    policy = headers[b"content-security-policy"].decode()
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "*" not in policy
    assert headers[b"cache-control"] == b"no-store"


def test_the_page_obeys_its_own_policy() -> None:
    html = page()
    assert not re.search(r"<script(?![^>]*(\bsrc=|application/json))", html)
    assert not re.search(r"\son[a-z]+=|\sstyle=", html)
    for address in re.findall(r'(?:src|href)="([^"]+)"', html):
        assert address.startswith(("/.pg/static/", "https://portal.example.com/", "data:,"))


def test_it_says_machine_and_service_and_where_it_leads() -> None:
    html = page()
    assert "<title>Press 7 · Operator panel</title>" in html
    assert 'href="https://portal.example.com/acme/press-7"' in html
    data = data_of(html)
    assert (data["machine"], data["service"], data["watch"]) == ("Press 7", "Operator panel", False)
    assert data["socket"] == "/.pg/vnc"
    assert "veil-leave" not in page(portal="")


def test_view_only_is_visible_from_the_start() -> None:
    assert re.search(r'id="watch-badge" class="viewer-watch" hidden>', page())
    html = page(permission="watch")
    assert re.search(r'id="watch-badge" class="viewer-watch">', html)
    assert data_of(html)["watch"] is True


def test_names_are_text() -> None:
    html = page(name='</script><script>alert("1")</script>')
    assert "<script>alert" not in html
    assert data_of(html)["machine"] == '</script><script>alert("1")</script>'


def test_words_for_every_end() -> None:
    words = viewer.ends("192.168.0.12:5900")
    assert set(words) == {str(int(end)) for end in ENDS}
    assert "192.168.0.12:5900" in words[str(int(End.PORT_CLOSED))]["happened"]
    for entry in words.values():
        assert "{" not in entry["title"] + entry["happened"] + entry["todo"]
        assert entry["quote"].count("{said}") == 1


def test_ipv6_targets_are_readable() -> None:
    session = make_session(5900)
    session = dataclasses.replace(session, service={**session.service, "host": "fd00::12"})
    assert "[fd00::12]:5900" in viewer.page(session)[1].decode()


def test_modules_are_asked_for_at_once() -> None:
    found = viewer.modules()
    assert "/.pg/static/js/viewer/main.js" in found
    assert "/.pg/static/js/viewer/channel.js" in found


def test_imports_are_resolved_as_browsers_do() -> None:
    assert viewer._resolve("js/viewer/main.js", "./bar.js") == "js/viewer/bar.js"
    assert viewer._resolve("js/viewer/main.js", "../../vendor/novnc/core/rfb.js") == "vendor/novnc/core/rfb.js"
    assert viewer._resolve("js/viewer/main.js", "/.pg/static/js/x.js") == "js/x.js"
    source = (
        'import { a,\n  b } from "./x.js";\nimport "./y.js";\nexport { c } from \'./z.js\';\nconst s = "./no.js";\n'
    )
    assert viewer._IMPORT.findall(source) == ["./x.js", "./y.js", "./z.js"]
