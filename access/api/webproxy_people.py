"""What the web proxy asks about people: set-up, sign-in, second factor, sessions, a user's own settings."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from access import factors, sessions, setup, signin
from access.api.deps import (
    AnySession,
    Body,
    ClientBody,
    EnrolSession,
    FactorSession,
    FromWebproxy,
    FullSession,
    Parts,
)
from access.db import not_found
from access.models.people import UserSession
from access.passwords import LONGEST, check_new
from access.sessions import Who
from panelgate.clock import iso

router = APIRouter(prefix="/webproxy/v1", tags=["web proxy: people"], dependencies=[FromWebproxy])

Password = Annotated[str, Field(min_length=1, max_length=LONGEST)]
Name = Annotated[str, Field(max_length=200)]
Code = Annotated[str, Field(min_length=1, max_length=64)]


class Done(BaseModel):
    """An answer that says no more than that it worked."""


class SetupState(BaseModel):
    """Whether the installation must be set up, and whether anybody may sign up."""

    needed: bool
    signup: bool


class SignUp(Body):
    """A new account and its administrator."""

    account: Name
    account_name: Name
    user: Name
    display_name: Name
    password: Password
    client: ClientBody

    def newcomer(self) -> setup.Newcomer:
        """The same for the code behind the API."""
        return setup.Newcomer(
            self.account, self.account_name, self.user, self.display_name, self.password, self.client.client()
        )


class SetUp(SignUp):
    """The first account: with the one-time code."""

    code: Code


class SignIn(Body):
    """The first step of signing in."""

    account: Name
    user: Name
    password: Password
    client: ClientBody


class CodeBody(Body):
    """A code from an authenticator or a recovery code."""

    code: Code


class Confirm(CodeBody):
    """A new authenticator's first code; the password only when one is replaced."""

    password: Password | None = None


class NewPassword(Body):
    """A user's own new password."""

    current: Password
    new: Annotated[str, Field(max_length=10 * LONGEST)]


class PasswordBody(Body):
    """The password once more."""

    password: Password


class Stage(BaseModel):
    """A session's token, to be sent as header Panelgate-Session, and how far it is."""

    session_token: str
    stage: str


class Recovered(Stage):
    """After a recovery code: how many are left."""

    left: int


class Secret(BaseModel):
    """A new authenticator's secret in base32 and as otpauth URI."""

    secret: str
    uri: str


class Enrolled(Stage):
    """After an authenticator was confirmed: recovery codes, shown once."""

    recovery_codes: list[str]


class RecoveryCodes(BaseModel):
    """New recovery codes, shown once."""

    recovery_codes: list[str]


class AccountName(BaseModel):
    """An account."""

    id: str
    slug: str
    name: str


class UserName(BaseModel):
    """A user."""

    id: str
    name: str
    display_name: str
    role: str


class Session(BaseModel):
    """A session and whose it is."""

    session_id: str
    stage: str
    account: AccountName
    user: UserName
    created: str
    expires: str
    idle_seconds: int


class SessionRow(BaseModel):
    """One of a user's sessions, as he sees them."""

    id: str
    created: str
    last_seen: str
    address: str
    user_agent: str
    current: bool


class Me(BaseModel):
    """A user's own page."""

    user: UserName
    sessions: list[SessionRow]
    recovery_codes_left: int
    totp_since: str | None


def _user(who: Who) -> UserName:
    return UserName(id=who.user_id, name=who.user, display_name=who.display_name, role=who.role)


@router.get("/setup")
def setup_state(kernel: Parts) -> SetupState:
    """Whether the set-up page must be shown."""
    return SetupState(needed=setup.needed(kernel.store), signup=kernel.settings.signup)


@router.post("/setup")
def set_up(kernel: Parts, body: SetUp) -> Stage:
    """Create the first account with the one-time code."""
    kernel.throttle.hit("setup", body.client.address)
    return Stage(session_token=setup.set_up(kernel, body.code, body.newcomer()), stage="enrol")


@router.post("/sign-up")
def sign_up(kernel: Parts, body: SignUp) -> Stage:
    """Create an account, where the installation allows that."""
    kernel.throttle.hit("setup", body.client.address)
    return Stage(session_token=setup.sign_up(kernel, body.newcomer()), stage="enrol")


@router.post("/sign-in")
def sign_in(kernel: Parts, body: SignIn) -> Stage:
    """Account, user name and password; a second step follows always."""
    # Before anything is looked up or hashed: a flood costs a count.
    kernel.throttle.hit("sign-in", body.client.address)
    token, stage = signin.password(kernel, body.account, body.user, body.password, body.client.client())
    return Stage(session_token=token, stage=stage)


@router.post("/sign-in/totp")
def sign_in_totp(kernel: Parts, who: FactorSession, body: CodeBody) -> Stage:
    """The second step with the authenticator's code."""
    kernel.throttle.hit("code", who.address)
    return Stage(session_token=signin.totp(kernel, who, body.code), stage="full")


@router.post("/sign-in/recovery")
def sign_in_recovery(kernel: Parts, who: FactorSession, body: CodeBody) -> Recovered:
    """The second step with a recovery code."""
    kernel.throttle.hit("code", who.address)
    token, left = signin.recovery(kernel, who, body.code)
    return Recovered(session_token=token, stage="full", left=left)


@router.post("/factor/begin")
def factor_begin(kernel: Parts, who: EnrolSession) -> Secret:
    """A secret for a new authenticator."""
    secret, uri = signin.begin_factor(kernel, who)
    return Secret(secret=secret, uri=uri)


@router.post("/factor/confirm")
def factor_confirm(kernel: Parts, who: EnrolSession, body: Confirm) -> Enrolled:
    """Put the new authenticator in use with its first code."""
    token, codes = signin.confirm_factor(kernel, who, body.code, body.password)
    return Enrolled(session_token=token, stage="full", recovery_codes=codes)


@router.get("/session")
def session(who: AnySession) -> Session:
    """Whose session the token is."""
    return Session(
        session_id=who.session_id, stage=who.stage, user=_user(who), created=iso(who.created), expires=iso(who.expires),
        account=AccountName(id=who.account_id, slug=who.account_slug, name=who.account_name),
        idle_seconds=int(who.idle_seconds),
    )  # fmt: skip


@router.post("/sign-out")
def sign_out(kernel: Parts, who: AnySession) -> Done:
    """End the session, and with it everything that is open in it."""
    with kernel.store.account(who.account_id, write=True) as unit:
        sessions.end(unit, unit.need(UserSession, who.session_id), "sign_out")
    return Done()


@router.get("/me")
def me(kernel: Parts, who: FullSession) -> Me:
    """The user's own sessions and second factor."""
    with kernel.store.account(who.account_id) as unit:
        rows = sessions.listing(unit, kernel.limits, who.user_id)
        since = factors.enrolled_since(unit, who.user_id)
        left = factors.recovery_codes_left(unit, who.user_id)
    return Me(
        user=_user(who),
        sessions=[
            SessionRow(
                id=row.id, created=iso(row.created), last_seen=iso(row.last_seen), address=row.address,
                user_agent=row.user_agent, current=row.id == who.session_id,
            )
            for row in rows
        ],
        recovery_codes_left=left,
        totp_since=iso(since) if since is not None else None,
    )  # fmt: skip


@router.post("/me/sessions/{session_id}/revoke")
def revoke(kernel: Parts, who: FullSession, session_id: str) -> Done:
    """End one of the user's own sessions."""
    with kernel.store.account(who.account_id, write=True) as unit:
        row = unit.find(UserSession, UserSession.id == session_id, UserSession.user_id == who.user_id)
        if row is None:
            raise not_found()
        sessions.end(unit, row, "revoked", by=who.user)
    return Done()


@router.post("/me/password")
def change_password(kernel: Parts, who: FullSession, body: NewPassword) -> Done:
    """Change the user's own password."""
    check_new(body.new, who.user)
    signin.change_password(kernel, who, body.current, body.new)
    return Done()


@router.post("/me/recovery-codes")
def new_recovery_codes(kernel: Parts, who: FullSession, body: PasswordBody) -> RecoveryCodes:
    """Ten new recovery codes; the old ones are void."""
    return RecoveryCodes(recovery_codes=signin.renew_recovery_codes(kernel, who, body.password))


@router.get("/events", response_class=StreamingResponse)
async def events(kernel: Parts) -> StreamingResponse:
    """Changes that the web proxy must know at once, one JSON object a line."""
    return StreamingResponse(kernel.hub.ndjson("webproxy"), media_type="application/x-ndjson")
