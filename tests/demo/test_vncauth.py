"""VNC's password scheme against values made by other programs."""

from demo import vncauth


def test_password_file_is_what_vncpasswd_writes():
    # printf 'demo1234\n' | tigervncpasswd -f | xxd -p
    assert vncauth.password_file("demo1234").hex() == "9edf04a5e47549d5"


def test_only_eight_characters_count():
    challenge = bytes(range(16))
    assert vncauth.answer("longpassword", challenge) == vncauth.answer("longpass", challenge)
    assert vncauth.answer("", challenge) != vncauth.answer("a", challenge)
    assert len(vncauth.answer("demo1234", challenge)) == 16
