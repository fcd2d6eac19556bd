from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from webproxy.forward.etags import mark_tag, unmark_tags
from webproxy.forward.rules import Rules

RULES = Rules.of("http://hmi.apps.localhost", "http", "10.0.0.5", 80)
OTHER = Rules.of("http://hmi.apps.localhost", "http", "10.0.0.6", 80)


@given(st.text("abc-/+=:.w", min_size=1), st.sampled_from(["{}", '"{}"', 'W/"{}"']))
def test_the_device_gets_its_own_tag_back(text: str, form: str) -> None:
    tag = form.format(text).encode()
    marked = mark_tag(RULES, tag)
    assert marked.startswith(b'W/"pg-')
    assert unmark_tags(RULES, marked) == tag
    assert unmark_tags(OTHER, marked) == b""


def test_lists_and_other_tags() -> None:
    marked = mark_tag(RULES, b'"a"')
    assert unmark_tags(RULES, marked + b', "b", W/"c"') == b'"a", "b", W/"c"'
    assert unmark_tags(RULES, b"*") == b"*"
    assert unmark_tags(RULES, mark_tag(OTHER, b'"a"') + b', "b"') == b'"b"'
    assert unmark_tags(RULES, b"unquoted") == b"unquoted"
