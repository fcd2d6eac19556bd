"""`python -m panelgate`: the command, whose options may also come from the environment.

An option `--token` of `panelgate relay join` may be given as PANELGATE_RELAY_JOIN_TOKEN: unlike a command line,
another user's process list doesn't show it.
"""

from panelgate.cli import main

if __name__ == "__main__":
    main(prog_name="panelgate", auto_envvar_prefix="PANELGATE")
