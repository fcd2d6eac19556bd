"""What every test needs before it starts."""

# Python 3.11's ast refuses to compile a large module deep inside a call stack, and pytest rewrites this one, which
# anyio loads only when the first file is served: load it here, where the stack is flat.
from anyio import open_file as _open_file  # noqa: F401
from hypothesis import settings

# Machines are shared and noisy: a slow example is no failure, and speed is the benchmarks' business.
settings.register_profile("shared-machine", deadline=None)
settings.load_profile("shared-machine")
