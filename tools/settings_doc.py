"""docs/settings.md from panelgate/settings.py: `python tools/settings_doc.py` writes it; a test compares."""

from pathlib import Path
from typing import Any, get_args

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from panelgate.settings import AccessSettings, RelaySettings, WebproxySettings

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "settings.md"
ROLES: tuple[type[BaseSettings], ...] = (AccessSettings, RelaySettings, WebproxySettings)
HEAD = """# Settings

The server roles read environment variables. Each has a default that fits everything on one machine; an empty cell means
empty. This page is made from `panelgate/settings.py` by `make docs`.

The agent has no such settings: what it needs comes with its enrolment and its signed configuration
(`panelgate agent enrol --help`). `make run` takes `PORT`, `DATA`, `DEMO`, `ORIGINS`, `ACCESS_PORT`
and `RELAY_PORT`.
"""


def page() -> str:
    """Return the whole page."""
    parts = [HEAD]
    for role in ROLES:
        parts.append(
            f"\n## {(role.__doc__ or '').strip().rstrip('.')}\n\n| variable | default | what it does |\n|---|---|---|\n"
        )
        prefix = role.model_config["env_prefix"]
        parts += [
            _row(str(field.validation_alias or f"{prefix}{name.upper()}"), field)
            for name, field in role.model_fields.items()
        ]
    return "".join(parts)


def _row(variable: str, field: FieldInfo) -> str:
    text = (field.description or "").replace("<", "\\<")
    choices = _choices(field.annotation)
    if choices:
        text += f" One of: {', '.join(choices)}."
    default = "" if field.default in (None, "") else f"`{_plain(field.default)}`"
    return f"| `{variable}` | {default} | {text} |\n"


def _choices(annotation: Any) -> list[str]:
    return [choice for choice in get_args(annotation) if isinstance(choice, str)]


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    DOCUMENT.write_text(page(), encoding="utf-8")
