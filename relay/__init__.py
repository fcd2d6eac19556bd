"""The relay: a blind splice between a web proxy's circuit and an agent's.

It sees ciphertext, verifies tickets, and keeps nothing that a restart may not lose.
"""
