"""Errors in the words of somebody who stands in front of the machine: what happened, and what to do."""

from typing import Final

from panelgate.errors import PanelgateError

NEW_KEY: Final = (
    "In the portal open the device, make a new activation key, and run the command shown there on this machine."
)

WORDS: Final = {
    "access_down": "The access server can't be reached. Check this machine's network, and that it lets HTTPS out.",
    "access_untrusted": "The access server's certificate is not from this agent's installation. Is the address right, "
    "and does nothing between here and there open encrypted connections?",
    "relay_down": "The relay can't be reached. Check that the firewall lets encrypted connections out to it.",
    "relay_timeout": "The relay did not answer in time. Check this machine's network.",
    "relay_untrusted": "The relay's certificate is not from this agent's installation. Does something between here and "
    "there open encrypted connections?",
    "no_relay": "The installation has no relay at the moment. This agent connects by itself as soon as there is one.",
    "device_revoked": "This agent's certificate was withdrawn: the device was released or enrolled on another machine. "
    + NEW_KEY,
    "certificate_expired": "This agent's certificate has expired: it was without a connection for too long. " + NEW_KEY,
    "certificate_not_yet_valid": "This agent's certificate is not valid yet: the clock here is slow. Set it.",
    "assertion_expired": "This machine's clock differs too much from the server's. Set it: timedatectl set-ntp true",
    "ticket_expired": "This machine's or the relay's clock is wrong. Set it: timedatectl set-ntp true",
    "ticket_not_yet_valid": "This machine's or the relay's clock is wrong. Set it: timedatectl set-ntp true",
    "wrong_key": "This activation key does not exist. Copy it again, or make a new one. " + NEW_KEY,
    "key_withdrawn": "This activation key was withdrawn: a newer one was made. " + NEW_KEY,
    "key_used": "This activation key has been used. " + NEW_KEY,
    "key_expired": "This activation key has expired: it is good for seven days. " + NEW_KEY,
    "replaced": "Another agent connected as this one: its files were probably copied to another machine. "
    "Stop one of them and enrol it with a key of its own.",
    "revoked": "The access server sent this agent away: the device was released, deleted, or enrolled elsewhere. "
    + NEW_KEY,
    "old_counter": "Another connection of this device is newer. If this goes on, its files were copied somewhere else.",
}

# Where trying again soon is pointless, and would only fill logs.
HOPELESS: Final = frozenset({"device_revoked", "certificate_expired", "access_untrusted", "replaced", "revoked"})


def explain(error: PanelgateError) -> str:
    """The sentence for an error: ours when we have one, else the one it came with."""
    return WORDS.get(error.code, error.message)
