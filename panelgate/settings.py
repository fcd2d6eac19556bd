"""Settings of the server roles: environment variables with the prefix PANELGATE_ROLE_, all with a default.

The agent has none of these: it must run without this library.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from panelgate.names import Sites
from panelgate.ports import KnownPorts, PortRange


class _Common(BaseSettings):
    log: Literal["json", "text"] = Field("json", description="Form of the log lines on standard output.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least level that is logged."
    )


class _Origins(_Common):
    """What access servers and web proxies must agree on, so the variables have one name for both."""

    origins: Literal["names", "ports", "paths"] = Field(
        "names", validation_alias="PANELGATE_ORIGINS",
        description="How services get an origin of their own: a name below the apps domain, or a port of the "
        "portal's host where there is no wildcard name. With paths all panels share one origin, unprotected from each "
        "other (operate.md).",
    )  # fmt: skip
    origin_ports: str = Field(
        "20000-20999", validation_alias="PANELGATE_ORIGIN_PORTS",
        description="The ports that services get, where they get ports.",
    )  # fmt: skip

    @property
    def service_ports(self) -> PortRange | None:
        """The range when services have ports, None when they have names; BadInput("bad_origin_ports")."""
        return PortRange.of(self.origin_ports) if self.origins == "ports" else None


class AccessSettings(_Origins):
    """The access server."""

    model_config = SettingsConfigDict(env_prefix="PANELGATE_ACCESS_", populate_by_name=True)

    data: Path = Field(Path("data/access"), description="Folder of the database, the authority and the master key.")
    database: str = Field("", description="SQLAlchemy address of the database; empty: SQLite in the data folder.")
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8441, description="Port to listen on.")
    names: str = Field(
        "localhost,127.0.0.1", description="Names and addresses that its own certificate carries, with commas."
    )
    url: str = Field(
        "https://127.0.0.1:8441", description="Address under which agents reach it; shown in the command to paste."
    )
    domain: str = Field("localhost", description="Domain of the installation: portal.<domain> and *.apps.<domain>.")
    signup: bool = Field(False, description="Whether anybody may create an account.")
    lan_loopback: bool = Field(
        False, description="Whether a device's LAN may be a loopback network (the demonstration)."
    )


class RelaySettings(_Common):
    """The relay."""

    model_config = SettingsConfigDict(env_prefix="PANELGATE_RELAY_")

    data: Path = Field(Path("data/relay"), description="Folder of its identity.")
    access: str = Field("https://127.0.0.1:8441", description="Address of the access server.")
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8442, description="Port to listen on.")
    url: str = Field("wss://127.0.0.1:8442", description="Address under which agents and web proxies reach it.")
    names: str = Field(
        "localhost,127.0.0.1", description="Names and addresses that its certificate carries, with commas."
    )


class WebproxySettings(_Origins):
    """The web proxy."""

    model_config = SettingsConfigDict(env_prefix="PANELGATE_WEBPROXY_", populate_by_name=True)

    data: Path = Field(Path("data/webproxy"), description="Folder of its identity.")
    access: str = Field("https://127.0.0.1:8441", description="Address of the access server.")
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8080, description="Port to listen on.")
    domain: str = Field("localhost", description="Domain of the installation: portal.<domain> and *.apps.<domain>.")
    public_host: str = Field("", description="Name of the portal; empty: portal.<domain>.")
    apps_host: str = Field(
        "", description="With paths as origins: the name of the host that all panels share; empty: apps.<domain>."
    )
    public_scheme: Literal["http", "https"] = Field(
        "http", description="Scheme that browsers use; https unless on localhost."
    )
    public_port: int = Field(0, description="Port that browsers use; 0: the port it listens on.")
    certificate: Path | None = Field(
        None, description="Certificate chain (PEM) to serve HTTPS itself; read again on change."
    )
    key: Path | None = Field(None, description="Private key (PEM) of that certificate.")
    cache_bytes: int = Field(
        256 * 1024 * 1024,
        ge=0,
        description="Bytes of memory for what machines mark cacheable, kept per user and service; 0: keep nothing.",
    )
    trusted_proxies: str = Field(
        "", description="Addresses or networks of load balancers whose X-Forwarded-For counts."
    )

    @property
    def behind_proxy(self) -> bool:
        """Whether a load balancer in front ends HTTPS."""
        return bool(self.trusted_proxies) and self.certificate is None

    def sites(self) -> Sites:
        """The installation's addresses as browsers see them; make it once, since it learns services' ports."""
        ports = self.service_ports
        known = KnownPorts(ports) if ports is not None else None
        port = self.public_port or self.port
        apps = (self.apps_host or f"apps.{self.domain}").lower() if self.origins == "paths" else ""
        return Sites(self.domain, self.public_scheme, port, self.public_host.lower(), known, apps)
