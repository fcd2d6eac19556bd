import json

import pytest

from tools import vendor


@pytest.fixture
def modules(tmp_path, monkeypatch):
    folder = tmp_path / "static" / "node_modules"
    for name in vendor.PACKAGES:
        (folder / name).mkdir(parents=True)
        (folder / name / "package.json").write_text(json.dumps({"version": "1.0.0", "license": "MIT"}))
    (folder / "@novnc/novnc/LICENSE.txt").write_text("Mozilla Public License")
    for source, _ in vendor.FILES:
        (folder / source).parent.mkdir(parents=True, exist_ok=True)
        (folder / source).write_text("a{}\n/*# sourceMappingURL=a.map */")
    for source, _ in vendor.FOLDERS:
        (folder / source).mkdir(parents=True, exist_ok=True)
        (folder / source / "x.js").write_text("export {};")
    for kind in ("outline", "filled"):
        (folder / "@tabler/icons/icons" / kind).mkdir(parents=True)
        for name in ("eye", "circle"):
            (folder / "@tabler/icons/icons" / kind / f"{name}.svg").write_text(
                '<svg\n width="24"\n><path stroke="none" d="M0 0h24v24H0z" fill="none" />\n  <path d="M1 1"/>\n</svg>'
            )
    monkeypatch.setattr(vendor, "MODULES", folder)
    monkeypatch.setattr(vendor, "VENDOR", tmp_path / "static" / "vendor")
    return folder


def test_a_sprite_of_the_named_icons(modules):
    assert vendor.icon_file("eye")
    assert vendor.icon_file("filled-circle")
    assert vendor.icon_file("nope") is None


def test_names_are_found_in_templates_and_code():
    names = vendor.icon_names()
    assert {"device-desktop", "filled-circle", "plus", "search-off"} <= names


def test_everything_is_copied_with_its_licence(modules, monkeypatch):
    monkeypatch.setattr(vendor, "icon_names", lambda: {"eye", "filled-circle"})
    vendor.main()
    sprite = (vendor.VENDOR / "icons.svg").read_text()
    assert '<symbol id="eye" viewBox="0 0 24 24"><path d="M1 1"/></symbol>' in sprite
    assert b"sourceMappingURL" not in (vendor.VENDOR / "tabler/tabler.min.css").read_bytes()
    assert (vendor.VENDOR / "tabler/tabler.min.css.gz").is_file()
    assert (vendor.VENDOR / "novnc/core/x.js").is_file()
    assert "Mozilla Public License" in (vendor.VENDOR / "LICENCES.txt").read_text()


def test_an_unknown_icon_stops_it(modules):
    with pytest.raises(SystemExit, match="no icon called nope"):
        vendor.sprite({"nope"})


def test_the_lock_file_names_no_registry():
    lock = (vendor.ROOT / "static/package-lock.json").read_text()
    assert "resolved" not in lock
    assert "http" not in json.dumps([package.get("resolved", "") for package in json.loads(lock)["packages"].values()])
