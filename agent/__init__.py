"""The agent on a machine's LAN: outbound connections only, its own list of services, refuses everything else.

It runs on the base install: no web framework, no database; uvloop only where it happens to be.
"""
