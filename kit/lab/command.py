"""The `kit` command.

kit lab       the embedded servers, and JupyterLab on the notebooks
kit serve     the servers alone
kit status    what is running
kit doctor    whether the installation works
kit env       the variables that point other programs at it
kit profiles  addresses of services and sources of their credentials, by name
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import InputError, KitError, SetupError
from ..version import __version__

if TYPE_CHECKING:
    from .jupyter import Jupyter
    from .lab import Lab
    from .notebook_copies import NotebookCopies


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status: 0, 1 for a reported failure, 2 for wrong arguments."""
    options = parser().parse_args(arguments)
    try:
        status: int = options.run(options)
        sys.stdout.flush()
    except InputError as error:
        return _report(error, 2)
    except KitError as error:
        return _report(error, 1)
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        # The reader of the output has closed it. Python would try to flush once more at exit, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


def _report(error: KitError, status: int) -> int:
    print(f"kit: {error}", file=sys.stderr)
    return status


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kit", description="Embedded services to explore from Jupyter, with no account and no network."
    )
    parser.add_argument("--version", action="version", version=f"kit {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    services = argparse.ArgumentParser(add_help=False)
    services.add_argument("--services", nargs="+", metavar="NAME", default=[], help="only these; all by default")
    services.add_argument("--path", metavar="FOLDER", help="keep the servers' data there; by default it is temporary")

    lab = commands.add_parser(
        "lab",
        parents=[services],
        help="start (or join) the servers and open the notebooks in JupyterLab",
        description="Starts the servers, or joins those you have running, and opens the notebooks in JupyterLab.",
    )
    lab.add_argument("--no-browser", action="store_true", help="print the address instead of opening it")
    lab.add_argument("--port", type=_port, help="JupyterLab's port; 0 for any free one")
    lab.add_argument("--notebooks", metavar="FOLDER", help="the folder of your copies of the notebooks")
    lab.set_defaults(run=_lab)

    serve = commands.add_parser(
        "serve",
        parents=[services],
        help="run the servers alone and print the variables that point clients at them",
        description="Runs the servers until Ctrl-C and prints the variables that point clients at them.",
    )
    serve.add_argument(
        "--port",
        type=_service_port,
        action="append",
        metavar="SERVICE=PORT",
        default=[],
        dest="ports",
        help="the port of a service; may be repeated",
    )
    serve.add_argument("--moving", action="store_true", help="keep adding demo data, a few records a second")
    serve.add_argument("--no-demo", action="store_false", dest="demo", help="start empty, without the demo data")
    serve.set_defaults(run=_serve)

    status = commands.add_parser("status", help="one line for each service of yours that is running; fails for none")
    status.set_defaults(run=_status)
    doctor = commands.add_parser("doctor", help="check this installation and say what to do")
    doctor.set_defaults(run=_doctor)
    env = commands.add_parser("env", help='print the variables of the servers that run: eval "$(kit env)"')
    env.set_defaults(run=_env)
    profiles = commands.add_parser(
        "profiles",
        help="list, add and test profiles: kit.connect(service, profile=name)",
        description="Profiles have addresses of services and sources of credentials, never the credentials.",
    )
    profiles.set_defaults(run=_profiles)
    verbs = profiles.add_subparsers(title="verbs", metavar="VERB")
    add = verbs.add_parser("add", help="store a profile's entry for a service")
    add.add_argument("name", metavar="NAME")
    add.add_argument("service", metavar="SERVICE")
    add.add_argument(
        "fields",
        metavar="FIELD=VALUE",
        nargs="+",
        type=_field,
        help="such as url=https://host api_key=variable:NAME; a credential is variable:NAME, command:LINE or keyring",
    )
    add.set_defaults(run=_add_profile)
    test = verbs.add_parser("test", help="ask each service of a profile something small")
    test.add_argument("name", metavar="NAME")
    test.add_argument("service", metavar="SERVICE", nargs="?")
    test.set_defaults(run=_test_profile)
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, a number from 0 to 65535")
    return int(text)


def _field(text: str) -> tuple[str, str]:
    field, equals, value = text.partition("=")
    if not equals or not field or not value:
        # Not quoted back: it may be a credential.
        raise argparse.ArgumentTypeError("give each as FIELD=VALUE")
    return field, value


def _service_port(text: str) -> tuple[str, int]:
    service, equals, port = text.partition("=")
    if not equals or not service:
        raise argparse.ArgumentTypeError(f"{text!r} is not SERVICE=PORT")
    return service, _port(port)


def _names(options: argparse.Namespace) -> tuple[str, ...]:
    from .services import chosen

    return chosen(tuple(name for word in options.services for name in word.split(",") if name))


def _folder(path: str | None) -> str | None:
    """Create and test the folder, so that errors are reported before anything starts; return it."""
    if path is None:
        return None
    folder = Path(path).expanduser().absolute()
    trial = folder / f".kit-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise SetupError(
            f"data cannot be stored in {folder}: {error.strerror}", hint="choose a folder with --path"
        ) from None
    return str(folder)


def _lab(options: argparse.Namespace) -> int:
    from . import jupyter, notebook_copies

    _end_on_signals()
    jupyter.check_installed()
    if options.port:
        jupyter.check_port(options.port)
    names, path = _names(options), _folder(options.path)
    folder = Path(options.notebooks).expanduser().absolute() if options.notebooks else notebook_copies.default_folder()
    working = notebook_copies.refresh(folder)
    print("Starting the servers and JupyterLab ...", flush=True)

    from .lab import Lab

    lab: Lab | None = None
    server: Jupyter | None = None
    try:
        lab = Lab(*names, path=path, moving=True)
        server = jupyter.Jupyter(
            folder,
            {**os.environ, **lab.env()},
            notebook=working.notebooks[0] if working.notebooks else None,
            port=options.port,
            browser=not options.no_browser,
        )
        _print(_screen(names, lab, server, working, path, browser=not options.no_browser and _has_browser()))
        ended = server.wait()
        if ended:
            raise SetupError(f"JupyterLab ended with status {ended}: {server.last_words()}")
    finally:
        # The rest takes a moment; a second Ctrl-C must not leave some processes running.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if server is not None:
            server.close()
        if lab is not None:
            lab.close()
    return 0


def _screen(
    names: Sequence[str], lab: Lab, server: Jupyter, working: NotebookCopies, path: str | None, *, browser: bool
) -> list[str]:
    page, how = (server.url, "opened in your browser") if browser else (server.url_with_token, "")
    rows = [("JupyterLab", page, how)]
    rows += [(name, lab.url(name), f"lab.{name}") for name in names]
    rows += [("notebooks", str(working.folder), "your copies: your changes are kept")]
    if lab.joined:
        rows += [("servers", "joined, as they were running already", "they stay when this ends")]
    else:
        rows += [("data", path or "temporary", "" if path else "deleted at the end; keep it with --path")]
    wide = max(len(name) for name, _, _ in rows)
    deep = max([len(value) for _, value, note in rows if note])
    lines = [""]
    lines += [f"  {name:{wide}}  {value:{deep}}  {note}".rstrip() for name, value, note in rows]
    if working.kept:
        lines += ["", f"  {', '.join(working.kept)}: yours is kept; rename it and start again to get the new one"]
    lines += [
        "",
        "  In a notebook     import kit; lab = kit.Lab()",
        f'  In a shell        eval "$({_self()} env)"    points any other client at these servers',
        "  To stop           Ctrl-C",
        "",
    ]
    return lines


def _self() -> str:
    """Return how this command can be called from another shell."""
    path = shutil.which("kit")
    if path and Path(path).resolve().parent == Path(sys.executable).resolve().parent:
        return "kit"
    script = Path(sys.executable).with_name("kit")
    return shlex.quote(str(script)) if script.exists() else f"{shlex.quote(sys.executable)} -m kit"


def _has_browser() -> bool:
    import webbrowser

    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True


def _serve(options: argparse.Namespace) -> int:
    import asyncio
    import errno

    names, path, ports = _names(options), _folder(options.path), dict(options.ports)
    for service in ports:
        if service not in names:
            raise InputError(f"--port names {service!r}, which is not started", hint=f"there are: {', '.join(names)}")
    try:
        from .process import serve
    except ImportError as error:
        if (error.name or "").startswith("kit"):
            raise
        raise SetupError(
            f"the lab needs {error.name}", hint='install it with: pip install "kit-notebook[lab]"'
        ) from None

    def ready(described: Mapping[str, Any]) -> None:
        _print(_exports(described["env"]))
        where = ", ".join(f"{name} at {service['url']}" for name, service in described["services"].items())
        print(f"# {where}; stop with Ctrl-C", file=sys.stderr, flush=True)

    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    orders = {
        "services": names,
        "demo": options.demo,
        "path": path,
        "joinable": True,
        "ports": ports,
        "moving": options.moving,
    }
    try:
        asyncio.run(serve(orders, ready))
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        listed = ", ".join(f"{service}={port}" for service, port in ports.items())
        raise SetupError(
            f"a requested port ({listed}) cannot be used: {error.strerror}",
            hint="choose another, or leave --port out for any free port",
        ) from None
    return 0


def _status(options: argparse.Namespace) -> int:
    from . import lab_registry, running_labs

    rows = []
    for described in lab_registry.read():
        if not running_labs.answers(described):
            continue
        for name, service in described["services"].items():
            took = running_labs.latency(service["url"], service["health"])
            state, ms = ("down", "") if took is None else ("up", f"{took:.1f} ms")
            data = described["path"] or "temporary"
            rows.append((name, state, ms, service["url"], f"process {described['pid']}", f"data {data}"))
    if not rows:
        print("no lab of yours is running; start one with: kit lab, or kit serve", file=sys.stderr)
        return 1
    _print_table(rows)
    return 0


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    wide = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    _print("  ".join(f"{cell:{width}}" for cell, width in zip(row, wide, strict=True)).rstrip() for row in rows)


def _profiles(options: argparse.Namespace) -> int:
    from ..notebook import profiles

    entries = profiles.read()
    if not entries:
        print(f"there are no profiles in {profiles.path()}; kit profiles add NAME SERVICE FIELD=VALUE ... makes one")
        return 0
    _print_table(
        [(name, service, "  ".join(f"{k}={v}" for k, v in entry.items())) for (name, service), entry in entries.items()]
    )
    return 0


def _add_profile(options: argparse.Namespace) -> int:
    import getpass

    from ..notebook import profiles

    profiles.keep(options.name, options.service, dict(options.fields), getpass.getpass)
    print(f"kept in {profiles.path()}: kit.connect({options.service!r}, profile={options.name!r})")
    return 0


def _test_profile(options: argparse.Namespace) -> int:
    from .. import front
    from ..notebook import profiles

    services = [service for name, service in profiles.read() if name == options.name]
    rows, failures = [], 0
    for service in services if options.service is None else [options.service]:
        took, failed = front.tried(options.name, service)
        failures += bool(failed)
        rows.append((options.name, service, failed or f"good, {took:.1f} ms"))
    if not rows:
        raise SetupError(f"there is no profile {options.name!r}", hint="list the profiles with: kit profiles")
    _print_table(rows)
    return 1 if failures else 0


def _doctor(options: argparse.Namespace) -> int:
    from ..notebook.doctor import examine

    report = examine()
    print(repr(report), flush=True)
    return 0 if report.healthy else 1


def _env(options: argparse.Namespace) -> int:
    from . import lab_registry, running_labs

    for described in lab_registry.read():
        if running_labs.answers(described):
            _print(_exports(described["env"].values()))
            return 0
    raise SetupError("no lab of yours is running", hint="start one with: kit lab, or kit serve")


def _exports(env: Mapping[str, str]) -> list[str]:
    return [f"export {name}={shlex.quote(value)}" for name, value in env.items()]


def _print(lines: Any) -> None:
    print("\n".join(lines), flush=True)


def _end_on_signals() -> None:
    """End the command in the same good order on Ctrl-C, a polite kill and a closed terminal."""
    # Set explicitly: a shell starts background jobs with SIGINT ignored, but `kill -INT` has to work.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.default_int_handler)
