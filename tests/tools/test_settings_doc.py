"""docs/settings.md says what the code does."""

from tools.settings_doc import DOCUMENT, ROLES, page


def test_page_is_what_the_code_says():
    assert DOCUMENT.read_text(encoding="utf-8") == page(), "run: make docs"


def test_every_setting_is_explained():
    for role in ROLES:
        for name, field in role.model_fields.items():
            assert (field.description or "").endswith("."), name
