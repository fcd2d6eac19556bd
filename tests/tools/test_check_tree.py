"""The check of the tree finds what it should, and nothing in what is fine."""

import pytest

from tools.check_tree import complaints


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("a.txt", "see files.pyth" + "onhosted.org", "registry"),
        ("a.json", '"resolved": "https://registry.npm' + 'js.org/x"', "registry"),
        ("a.py", 'PATH = "/wo' + 'rk/main"', "path of one machine"),
        ("a.md", "/ho" + "me/anna/panelgate", "path of one machine"),
        ("a.js", "// TO" + "DO later", "note to oneself"),
        ("a.py", "raise NotImplemented" + "Error", "isn't written"),
        ("test_a.py", "pytest.sk" + "ip()", "doesn't run"),
        ("a.py", "time.sl" + "eep(1)", "sleep"),
        ("a.py", "x = 1\n" * 601, "601 lines"),
    ],
)
def test_finds(name: str, text: str, found: str):
    (complaint,) = complaints(name, text)
    assert found in complaint


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.py", "the root/of a tree, and /workshop/"),
        ("a.py", "asyncio.sleep(1)"),
        ("requirements/a.txt", "x\n" * 5000),
        ("a.md", "x\n" * 700),
    ],
)
def test_lets_pass(name: str, text: str):
    assert list(complaints(name, text)) == []
