import jinja2
import pytest

from webproxy.pages.templates import FOLDER, environment, render


@pytest.mark.parametrize("name", sorted(file.name for file in FOLDER.glob("*.html")))
def test_all_compile(name):
    assert environment().get_template(name)


def test_a_missing_name_is_our_mistake_and_a_missing_field_is_empty():
    env = environment()
    with pytest.raises(jinja2.UndefinedError):
        env.from_string("{{ nothing }}").render()
    assert env.from_string("{{ row.nothing.more }}|{{ time(row.x) }}|{{ row.y|size }}").render(row={}) == "|—|"


def test_values_are_escaped():
    assert environment().from_string("{{ x }}").render(x="<b>") == "&lt;b&gt;"


def test_service_origins_have_their_own_base():
    html = render(
        "problem.html",
        "/.pg/static/",
        kind="x",
        picture="lock",
        listed=[],
        polled=False,
        portal="",
        account="",
        manage="",
        title="t",
        happened="h",
        todo="d",
        reference="r",
        on_portal=False,
        retry_seconds=None,
    )
    assert "/.pg/static/js/problem.js" in html
    assert '"/static/' not in html
