"""Enrolment: an activation key becomes an identity. The private key is made here and never leaves this machine."""

import socket
from dataclasses import dataclass
from importlib.metadata import version as package_version

from agent.state import Enrolment, State
from agent.targets import Targets
from agent.words import explain
from panelgate import introduction
from panelgate.access_client import AccessClient
from panelgate.clock import Clock
from panelgate.errors import PanelgateError, Refused, Unavailable
from panelgate.pki import Identity, Role, from_pem, make_csr, make_key, verify_issued
from panelgate.tickets import Verifier


@dataclass(frozen=True, slots=True)
class Wish:
    """What the person at the machine typed. `lan` is what enrolment declares, `declared` what he typed himself."""

    key: str
    access: str
    serial: str
    lan: tuple[str, ...]
    declared: bool


async def enrol(wish: Wish, state: State, clock: Clock | None = None) -> Enrolment:
    """Enrol with the installation at `wish.access` and fill `state`. PanelgateError with a message for people.

    Codes: those of `introduction`, bad_answer, wrong_key, key_used, key_withdrawn, key_expired, serial_bound
    """
    clock = clock or Clock()
    secret = introduction.tidy(wish.key, introduction.ACTIVATION)
    authority = await introduction.fetch_authority(wish.access, secret, clock)
    key = make_key()
    body = {
        "key": secret,
        "csr": make_csr(key),
        "serial": wish.serial,
        "version": package_version("panelgate"),
        "hostname": socket.gethostname()[:64],
        "lan": list(wish.lan),
    }
    async with AccessClient(wish.access, ca=authority, clock=clock) as client:
        try:
            answer = await client.call("POST", "/agent/v1/enrol", json=body)
        except PanelgateError as error:
            raise type(error)(error.code, explain(error), error.facts, status=error.status) from error
    try:
        device_id = str(answer["device_id"])
        certificate = from_pem(answer["certificate"])
        enrolment = Enrolment(
            wish.access.rstrip("/"),
            device_id,
            str(answer["account"]),
            str(answer["device"]),
            str(answer["name"]),
            wish.serial,
            wish.lan if wish.declared else (),
        )
        keys, token = dict(answer["ticket_keys"]), str(answer["config"])
        verifier = Verifier(keys)
    except (KeyError, TypeError, ValueError) as error:
        raise Unavailable(
            "bad_answer", "The access server's answer is incomplete. Are both of the same release?"
        ) from error
    peer = verify_issued(certificate, authority, clock.now())
    if (peer.role, peer.id) != (Role.AGENT, device_id) or certificate.public_key() != key.public_key():
        raise Refused("wrong_certificate", "The certificate that came is for somebody else. Nothing was kept.")
    Targets(device_id).accept(token, verifier)
    state.save_identity(Identity(Role.AGENT, device_id, key, certificate, authority))
    state.save_ticket_keys(keys)
    state.save_configuration(token)
    state.save_enrolment(enrolment)
    return enrolment
