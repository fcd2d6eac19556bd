from tests.fakes.portal_browser import Page
from webproxy.pages import problem


def test_a_service_page_has_everything_and_its_own_files():
    body = problem.render_problem(
        "device_offline",
        title="Press 4 is offline",
        happened="<b>",
        todo="Wait.",
        reference="ab12",
        retry_seconds=None,
        facts={
            "device": "Press 4",
            "since": "2026-01-31T12:00:00Z",
            "portal": "http://portal.localhost:8080",
            "secret": "no",
        },
    ).decode()
    seen = Page(body)
    assert "&lt;b&gt;" in body
    assert 'data-poll="/.pg/status"' in body
    assert "ab12" in seen.words
    assert "no" not in [attrs.get("value") for attrs in seen.all("input")]
    assert all(attrs["src"].startswith("/.pg/static/") for attrs in seen.all("script"))
    assert all(attrs["href"].startswith("/.pg/static/") for attrs in seen.all("link"))
    assert seen.all("a", href="http://portal.localhost:8080")


def test_retry_counts_down():
    body = problem.render_problem("timeout", title="t", happened="h", todo="d", reference="r", retry_seconds=4.6)
    assert b'data-retry="5"' in body


def test_not_found_is_always_the_same():
    assert problem.not_found().body == problem.not_found().body
    assert problem.not_found().status_code == 404


def test_references_differ():
    assert problem.new_reference() != problem.new_reference()
