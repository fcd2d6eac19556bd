"""Commands that run once."""

import os
import sys

import pytest

from panelgate.supervise.child import RoleRefused, Spec
from panelgate.supervise.once import run_once


def spec(script: str) -> Spec:
    return Spec("access", [], dict(os.environ), (sys.executable, "-c", script))


async def test_answers_what_was_printed():
    assert await run_once(spec("print(' token ')")) == "token"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("import sys; sys.exit('Error: old schema')", "access: old schema"),
        ("import sys; sys.exit(7)", "access: exit code 7"),
        ("raise ValueError('oh')", "access: ValueError: oh"),
    ],
)
async def test_failure_carries_its_own_words(script: str, said: str):
    with pytest.raises(RoleRefused) as refused:
        await run_once(spec(script))
    assert refused.value.message == said
