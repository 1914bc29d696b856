"""Profiles: the addresses of services and the sources of their credentials, by name, in a file of the user.

    [prod.s2]
    account_endpoint = "https://aws.s2.dev"
    basin_endpoint = "https://{basin}.b.aws.s2.dev"
    access_token = "variable:PROD_S2_TOKEN"

A credential is `variable:NAME`, `command:PROGRAM ARGUMENTS` (what it prints), or `keyring`; never the credential.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
import subprocess
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..core.environment import Environment
from ..core.errors import InputError, SetupError
from ..core.secrets import Secret
from ..core.words import nearest

FIELDS: Mapping[str, Mapping[str, str]] = {
    "s2": {
        "account_endpoint": "S2_ACCOUNT_ENDPOINT",
        "basin_endpoint": "S2_BASIN_ENDPOINT",
        "access_token": "S2_ACCESS_TOKEN",
    },
    "kimberlite": {
        "address": "KIMBERLITE_ADDRESS",
        "tenant_id": "KIMBERLITE_TENANT",
        "metrics_url": "KIMBERLITE_METRICS_URL",
        "api_key": "KIMBERLITE_API_KEY",
    },
    "synap": {
        "url": "SYNAP_URL",
        "rpc_url": "SYNAP_RPC_URL",
        "api_key": "SYNAP_API_KEY",
        "username": "SYNAP_USERNAME",
        "password": "SYNAP_PASSWORD",
    },
    "claude": {"url": "CLAUDE_API_URL", "timeout": "CLAUDE_TIMEOUT", "api_key": "CLAUDE_API_KEY"},
    "amdahl": {"url": "AMDAHL_URL", "api_key": "API_KEY"},
}
"""The fields of a profile for each service, and the variable that means the same."""
CREDENTIALS = ("access_token", "api_key", "password")
_FORMS = "variable:NAME, command:PROGRAM ARGUMENTS or keyring"
_PATIENCE = 60
"""Seconds that a command may take; it may wait for a person."""

Entry = dict[str, str]


def path() -> Path:
    """Return the file of the profiles: `kit/profiles.toml` in the user's folder of settings."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "kit" / "profiles.toml"


def read() -> dict[tuple[str, str], Entry]:
    """Return all checked profiles by name and service; none without a file."""
    file = path()
    try:
        status = file.stat()
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"{file} cannot be read: {error}") from None
    if os.name == "posix" and (status.st_uid not in (os.getuid(), 0) or stat.S_IMODE(status.st_mode) & 0o077):
        # It contains addresses that credentials are sent to, and commands that are run.
        raise SetupError(f"{file} can be read or written by others", hint=f"chmod 600 {shlex.quote(str(file))}")
    try:
        profiles = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SetupError(f"{file} is not valid TOML: {error}") from None
    entries: dict[tuple[str, str], Entry] = {}
    for name, services in profiles.items():
        if not isinstance(services, dict):
            raise SetupError(f"{file}: {name} is not a table", hint=f"write [{name}.SERVICE], and its fields below")
        for service, entry in services.items():
            if not isinstance(entry, dict):
                raise SetupError(f"{file}: {name}.{service} is not a table", hint=f"write [{name}.{service}]")
            entries[name, service] = checked(name, service, entry)
    return entries


def checked(name: str, service: str, entry: Mapping[str, Any]) -> Entry:
    """Return a profile's fields for a service as text; errors show no credential."""
    where = f"profile {name!r}"
    if service not in FIELDS:
        raise InputError(f"{where}: no service is called {service!r}", hint=f"there are: {', '.join(FIELDS)}")
    made: Entry = {}
    for field, value in entry.items():
        if field not in FIELDS[service]:
            raise InputError(
                f"{where}: {service} has no field {field!r}",
                hint=f"{nearest(field, FIELDS[service]) or ''} there are: {', '.join(FIELDS[service])}".strip(),
            )
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise InputError(f"{where}: {service}.{field} is a {type(value).__name__}, not a text or a number")
        text = str(value)
        if field in CREDENTIALS and not re.fullmatch(r"variable:\w+|command:.*\S.*|keyring", text):
            raise InputError(
                f"{where}: {service}.{field} does not say where the credential comes from",
                hint=f"give {_FORMS}; the credential itself does not belong in the file",
            )
        made[field] = text
    return made


def environment(name: str, service: str) -> Environment:
    """Return a profile's settings for a service, with credentials fetched, as an environment."""
    profiles = read()
    if (name, service) not in profiles:
        names = sorted({known for known, _ in profiles})
        others = sorted(of for known, of in profiles if known == name)
        if others:
            raise SetupError(
                f"the profile {name!r} has no entry for {service}",
                hint=f"it is for {', '.join(others)}; kit profiles add {name} {service} FIELD=VALUE ...",
            )
        near = nearest(name, names)
        raise SetupError(
            f"there is no profile {name!r}",
            hint=f"{near + ' ' if near else ''}there are: {', '.join(names) or 'none'}; "
            f"kit profiles add {name} {service} FIELD=VALUE ... makes one",
        )
    entry = profiles[name, service]
    variables: dict[str, Any] = {}
    for field, value in entry.items():
        variables[FIELDS[service][field]] = _credential(name, service, value) if field in CREDENTIALS else value
    return Environment(variables)


def _credential(name: str, service: str, source: str) -> Secret:
    kind, _, rest = source.partition(":")
    where = f"profile {name!r}, {service}"
    if kind == "variable":
        value = Environment().secret(rest)
        if value is None:
            raise SetupError(f"{where}: the variable {rest} is not set")
        return value
    if kind == "keyring":
        return _from_keyring(name, service, where)
    try:
        line = shlex.split(rest)
        done = subprocess.run(line, capture_output=True, timeout=_PATIENCE, check=False)  # noqa: S603 - the user's own
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise SetupError(
            f"{where}: the command could not be run: {type(error).__name__}", hint=f"try it: {rest}"
        ) from None
    status, printed = done.returncode, Secret.unchecked(done.stdout.decode("utf-8", "replace").strip())
    del done  # a traceback may show this frame, and the output may be the credential
    if status:
        raise SetupError(f"{where}: the command ended with status {status}", hint=f"try it: {rest}")
    return printed


def _from_keyring(name: str, service: str, where: str) -> Secret:
    credential = _keyring().get_password("kit", f"{name}.{service}")
    if not credential:
        raise SetupError(f"{where}: the keyring has no credential", hint=f"kit profiles add {name} {service} keeps one")
    return Secret.unchecked(credential)


def _keyring() -> Any:
    try:
        import keyring  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise SetupError(
            "a keyring needs the package keyring", hint='install it with: pip install "kit-notebook[keyring]"'
        ) from None
    return keyring


def keep(name: str, service: str, fields: Mapping[str, str], ask: Callable[[str], str] | None = None) -> Entry:
    """Add a profile's word on a service to the file, in place of an earlier one, and return it.

    `ask` is called for a credential that is to go into the keyring.
    """
    if not re.fullmatch(r"[\w-]+", name):
        raise InputError(f"{name!r} is not the name of a profile", hint="give letters, digits, _ and -")
    entry = checked(name, service, fields)
    if not entry:
        raise InputError("no fields are given", hint=f"give FIELD=VALUE of: {', '.join(FIELDS[service])}")
    profiles = read()
    profiles[name, service] = entry
    if "keyring" in [entry.get(field) for field in CREDENTIALS] and ask is not None:
        _keyring().set_password("kit", f"{name}.{service}", ask(f"credential of {name}.{service}: "))
    _write(profiles)
    return entry


def _write(profiles: Mapping[tuple[str, str], Entry]) -> None:
    lines = []
    for (name, service), entry in profiles.items():
        lines += [
            f"[{_quoted(name)}.{service}]",
            *(f"{field} = {_quoted(value)}" for field, value in entry.items()),
            "",
        ]
    file = path()
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = file.with_suffix(f".{os.getpid()}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as out:
        out.write("\n".join(lines))
    os.replace(new, file)


def _quoted(text: str) -> str:
    """Return a text as TOML has it."""
    escaped = "".join(
        f"\\{char}" if char in '\\"' else f"\\u{ord(char):04x}" if ord(char) < 32 or ord(char) == 127 else char
        for char in text
    )
    return f'"{escaped}"'
