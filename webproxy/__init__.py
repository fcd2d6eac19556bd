"""The web proxy: what a browser meets. Portal pages, sign-in, and one origin per service.

Stateless beside caches; it never touches the database.
"""
