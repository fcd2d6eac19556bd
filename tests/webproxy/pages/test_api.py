from tests.fakes.portal_access import FakeAccess
from webproxy.pages.api import Api


async def test_paths_and_session_of_both_interfaces():
    access = FakeAccess()
    api = Api(access, "full-token")
    assert (await api.portal("GET", "/session"))["stage"] == "full"
    assert (await api.admin("GET", "/users"))["users"]
    assert [path for _, path, _ in access.calls] == ["/webproxy/v1/session", "/admin/v1/users"]
