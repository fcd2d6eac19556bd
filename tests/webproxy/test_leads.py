from webproxy.leads import mark_of


def test_a_mark_is_of_one_target_at_one_service() -> None:
    marks = {mark_of("a--b--c", b"/x?1"), mark_of("a--b--c", b"/x?2"), mark_of("a--b--d", b"/x?1")}
    assert len(marks) == 3
    assert all(len(mark) == 32 for mark in marks)
