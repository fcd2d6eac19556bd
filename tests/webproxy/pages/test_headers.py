from panelgate.names import Sites
from tests.fakes.portal_browser import browse
from webproxy.pages.headers import content_policy, page_headers


def test_browsers_are_told_to_stay_with_https():
    assert "strict-transport-security" not in page_headers(Sites())
    assert page_headers(Sites("example.com", "https", 443))["strict-transport-security"].startswith("max-age=")


def test_the_policy_allows_ours_only():
    policy = content_policy(Sites())
    assert "default-src 'none'" in policy
    assert "form-action 'self' http://*.apps.localhost:8080" in policy
    assert "unsafe" not in policy
    assert "http" not in content_policy(None)


async def test_every_page_carries_the_headers():
    async with browse() as client:
        for path in ("/machines", "/nope", "/sign-in", "/a/b", "/live-x"):
            headers = (await client.get(path)).headers
            assert headers["content-security-policy"] == content_policy(Sites())
            assert headers["cache-control"] == "no-store"
            assert headers["referrer-policy"] == "same-origin"
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cross-origin-opener-policy"] == "same-origin"
