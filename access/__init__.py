"""The access server: who may reach what.

It alone has a database, and never carries machine traffic.
"""
