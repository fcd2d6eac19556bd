import gzip

import pytest

from tests.fakes.portal_browser import browse
from webproxy.pages import assets


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "css").mkdir()
    (tmp_path / "css/a.css").write_text("a{}")
    (tmp_path / "css/a.css.gz").write_bytes(gzip.compress(b"a{}"))
    (tmp_path / "package.json").write_text("{}")
    monkeypatch.setattr(assets, "ROOTS", (tmp_path,))
    return tmp_path


def test_the_right_version_is_kept_for_ever(folder):
    version = assets.address("css/a.css").partition("?v=")[2]
    status, headers, body = assets.answer("css/a.css", version, None, "")
    assert (status, body) == (200, b"a{}")
    assert "immutable" in headers["cache-control"]
    assert headers["content-type"].startswith("text/css")
    assert assets.answer("css/a.css", None, None, "")[1]["cache-control"] == "no-cache"
    assert assets.answer("css/a.css", None, f'"{version}"', "")[0] == 304
    assert assets.address("css/a.css", "/.pg/static/").startswith("/.pg/static/css/a.css?v=")


def test_packed_where_the_browser_takes_it(folder):
    _, headers, body = assets.answer("css/a.css", None, None, "br, gzip")
    assert headers["content-encoding"] == "gzip"
    assert gzip.decompress(body) == b"a{}"


@pytest.mark.parametrize(
    "path",
    ["package.json", "css/../package.json", "css/..", "/etc/passwd", "css//a.css", "css/.a", "js/x.js", "", "css"],
)
def test_nothing_else_goes_out(folder, path):
    assert assets.answer(path, None, None, "")[0] == 404


def test_a_changed_file_is_read_again(folder):
    before = assets.address("css/a.css")
    (folder / "css/a.css").write_text("b{color:red}")
    assert assets.address("css/a.css") != before


async def test_the_portal_serves_them():
    async with browse(token=None) as client:
        assert (await client.get("/static/css/panelgate.css")).status_code == 200
        assert (await client.get("/static/package.json")).status_code == 404
