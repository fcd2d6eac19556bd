"""What strangers' bytes may do to the readers, looked for by machine: `make fuzz`, and a short run in the tests.

Each module is one target: `one(data)` raises on whatever must not happen, `seeds()` are inputs to begin with.
"""
