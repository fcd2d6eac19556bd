"""The ground floor: what two or more roles share, and nothing that only one needs.

Command, settings, log, clock, errors, PKI, tickets, wire protocol, circuits. It imports no role.
"""
