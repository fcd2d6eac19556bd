"""Administration of machines: devices, their services, activation keys, release."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from access import adhoc, devices, permissions, public_ports, services, summaries
from access.api.deps import Body, FromWebproxy, FullSession, Parts, permitted
from access.api.relay import Done
from access.db import Unit
from access.permissions import Rights
from access.sessions import Who
from access.targets import MAX_NETWORKS
from access.users import Actor
from panelgate.clock import iso
from panelgate.log import Secret

router = APIRouter(prefix="/admin/v1", tags=["administration: machines"], dependencies=[FromWebproxy])

Name = Annotated[str, Field(max_length=200)]
Slug = Annotated[str, Field(max_length=64)]
Text = Annotated[str, Field(max_length=4000)]
Networks = Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=4 * MAX_NETWORKS)]
Options = dict[str, Any]  # panelgate.options: checked there, option by option
Port = Annotated[int, Field(ge=1, le=65535)]
MayCreate = Annotated[Who, Depends(permitted("device.create"))]


class NewDevice(Body):
    """A new device entry; an empty slug is made of the name."""

    slug: Slug = ""
    name: Name
    site: Name = ""
    description: Text = ""
    lan: Networks = Field(default_factory=list)


class DeviceChange(Body):
    """What to change of a device; what is missing or null stays. The slug is its address and stays for life."""

    name: Name | None = None
    site: Name | None = None
    description: Text | None = None
    lan: Networks | None = None
    level: Annotated[str, Field(max_length=16)] | None = None


class NewService(Body):
    """A new service; `port` and `tls_verify` default to what its protocol usually has."""

    slug: Slug = ""
    name: Name
    host: Annotated[str, Field(max_length=64)]
    port: Port | None = None
    protocol: Annotated[str, Field(max_length=16)]
    path: Annotated[str, Field(max_length=2000)] = "/"
    visible: bool = False
    password: Annotated[str, Field(max_length=200)] | None = None
    tls_verify: Annotated[str, Field(max_length=16)] | None = None
    tls_pin: Annotated[str, Field(max_length=200)] | None = None
    options: Options = Field(default_factory=dict)


class ServiceChange(Body):
    """What to change of a service; what is missing or null stays. `password`: "" clears it.

    `options` replace those there are as a whole.
    """

    slug: Slug | None = None
    name: Name | None = None
    host: Annotated[str, Field(max_length=64)] | None = None
    port: Port | None = None
    protocol: Annotated[str, Field(max_length=16)] | None = None
    path: Annotated[str, Field(max_length=2000)] | None = None
    visible: bool | None = None
    password: Annotated[str, Field(max_length=200)] | None = None
    tls_verify: Annotated[str, Field(max_length=16)] | None = None
    tls_pin: Annotated[str, Field(max_length=200)] | None = None
    options: Options | None = None


class NewKey(BaseModel):
    """An activation key, shown once, when it expires, and the command to paste on the agent's machine."""

    key: str
    expires: str
    command: str


def _actor(who: Who) -> Actor:
    return Actor(who.user_id, who.user, who.address)


@contextmanager
def _writing(kernel: Parts, who: Who) -> Iterator[tuple[Unit, Rights]]:
    with kernel.store.account(who.account_id, write=True) as unit:
        yield unit, permissions.rights_of(unit, who.user_id, who.role)


@router.post("/devices")
def create_device(kernel: Parts, who: MayCreate, body: NewDevice) -> dict[str, Any]:
    """A new device, before any agent: {device}."""
    with _writing(kernel, who) as (unit, rights):
        device = devices.create(
            unit, _actor(who), slug=body.slug, name=body.name, site=body.site, description=body.description,
            lan=body.lan, loopback=kernel.settings.lan_loopback,
        )  # fmt: skip
        return {"device": summaries.device_detail(unit, rights, device)}


@router.patch("/devices/{device_id}")
def change_device(kernel: Parts, who: FullSession, device_id: str, body: DeviceChange) -> dict[str, Any]:
    """Change a device: {device}."""
    with _writing(kernel, who) as (unit, rights):
        device = devices.need(unit, device_id)
        rights.require("device.change", device.id)
        change = devices.Change(body.name, body.site, body.description, body.lan, body.level)
        devices.change(unit, _actor(who), device, change, loopback=kernel.settings.lan_loopback)
        return {"device": summaries.device_detail(unit, rights, device)}


@router.delete("/devices/{device_id}")
def delete_device(kernel: Parts, who: FullSession, device_id: str) -> Done:
    """Remove a device; its agent is cut off at once."""
    with _writing(kernel, who) as (unit, rights):
        device = devices.need(unit, device_id)
        rights.require("device.delete", device.id)
        devices.delete(unit, _actor(who), device)
    return Done()


@router.post("/devices/{device_id}/activation-key")
def new_activation_key(kernel: Parts, who: FullSession, device_id: str) -> NewKey:
    """A one-time key for the device's agent; earlier unused ones are void."""
    with _writing(kernel, who) as (unit, rights):
        device = devices.need(unit, device_id)
        rights.require("device.activation_key", device.id)
        key, expires = devices.new_activation_key(unit, _actor(who), device, kernel.authority.certificate)
    command = f"panelgate agent enrol --key {key} --access {kernel.settings.url}"
    return NewKey(key=key, expires=iso(expires), command=command)


@router.post("/devices/{device_id}/release")
def release(kernel: Parts, who: FullSession, device_id: str) -> Done:
    """Unbind the agent: its certificate is revoked, its serial may enrol elsewhere."""
    with _writing(kernel, who) as (unit, rights):
        device = devices.need(unit, device_id)
        rights.require("device.release", device.id)
        devices.release(unit, _actor(who), device)
    return Done()


@router.post("/devices/{device_id}/services")
def create_service(kernel: Parts, who: FullSession, device_id: str, body: NewService) -> dict[str, Any]:
    """A new service: {service}."""
    with _writing(kernel, who) as (unit, rights):
        device = devices.need(unit, device_id)
        rights.require("service.create", device.id)
        given = body.model_dump()
        given["password"] = Secret(body.password) if body.password is not None else None
        service = services.create(unit, kernel.keyring, _actor(who), device, services.Fields(**given))
        public_ports.give(unit, kernel.service_ports, service)
        return {"service": summaries.service_summary(service, manages=True)}


@router.patch("/services/{service_id}")
def change_service(kernel: Parts, who: FullSession, service_id: str, body: ServiceChange) -> dict[str, Any]:
    """Change a service: {service}. Where it leads, and what its pages may call, only by who manages the device."""
    with _writing(kernel, who) as (unit, rights):
        device, service = services.need(unit, service_id)
        rights.require("service.change", device.id, service.id)
        given = body.model_dump(exclude_none=True)
        if body.password is not None:
            given["password"] = Secret(body.password)
        if services.leads_elsewhere(service, given):
            rights.require("service.change", device.id)
        services.change(unit, kernel.keyring, _actor(who), device, service, given)
        return {"service": summaries.service_summary(service, manages=True)}


@router.post("/services/{service_id}/keep")
def keep_service(kernel: Parts, who: FullSession, service_id: str) -> dict[str, Any]:
    """Turn a service that an address in a link made into a listed one: {service}."""
    with _writing(kernel, who) as (unit, rights):
        device, service = services.need(unit, service_id)
        rights.require("service.create", device.id)
        adhoc.keep(unit, _actor(who), device, service)
        return {"service": summaries.service_summary(service)}


@router.delete("/services/{service_id}")
def delete_service(kernel: Parts, who: FullSession, service_id: str) -> Done:
    """Remove a service."""
    with _writing(kernel, who) as (unit, rights):
        device, service = services.need(unit, service_id)
        rights.require("service.delete", device.id, service.id)
        services.delete(unit, _actor(who), device, service)
    return Done()
