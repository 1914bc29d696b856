"""`%load_ext kit`: SQL and prompts as cells, and `asyncio.run(...)` inside them.

    %kit                      what is running, and what to try
    %lab                      starts or joins the embedded servers; leaves them in the variable `lab`
    %lab use                  the same, and clients made without arguments use them
    %%amdahl                  SQL over Amdahl's interactions
    %%kql                     SQL on Kimberlite
    %%sql                     SQL over the notebook's own frames, Arrow tables and handles
    %%claude                  a prompt

`name <<` before a query keeps the result in a variable: `%%kql orders <<`. `{expression}` in a query is a parameter:
its value is bound, never pasted into the text. `{expression}` in a prompt is replaced by its value's text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics, line_cell_magic, line_magic, magics_class, no_var_expand

from ..core.errors import InputError, SetupError
from ..engines.sql_text import bound, literal
from .magic_explorers import connected, labs_in, reached
from .magic_text import Order, filled, order_of, whole

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


@magics_class
class KitMagics(Magics):
    """The magics of the toolkit."""

    @line_magic
    def kit(self, line: str) -> Any:
        """Show what is running, and what to try.

        %kit           the services in reach, the state of the extension
        %kit calls     one row for each request this process made
        %kit doctor    checks this installation and says what to do
        """
        word = line.strip()
        if word == "calls":
            from ..core.calls import calls

            return calls()
        if word == "doctor":
            from .doctor import examine

            return examine()
        if word:
            raise InputError(f"%kit {word}: unknown word", hint="use %kit, %kit calls or %kit doctor")
        return Status(self._space())

    @line_magic
    def lab(self, line: str) -> Any:
        """Start or joins the embedded servers, and leaves them in the variable `lab`.

        %lab               all services
        %lab s2 synap      these
        %lab use           has clients made without arguments find them: sets their variables in this kernel
        %lab status        what runs where
        %lab stop          ends those that were started here
        """
        from ..lab.lab import Lab

        words = line.replace(",", " ").split()
        space = self._space()
        mine = space.get("lab")
        if words == ["stop"]:
            if not isinstance(mine, Lab):
                raise SetupError("the variable `lab` holds no lab", hint="start one with %lab")
            mine.close()
            del space["lab"]
            return None
        if words == ["status"]:
            if not isinstance(mine, Lab):
                raise SetupError("the variable `lab` holds no lab", hint="start one with %lab")
            return mine.status()
        use = words == ["use"]
        words = [] if use else words
        if isinstance(mine, Lab) and not words:
            return mine.use() if use else mine
        if "lab" in space and not isinstance(mine, Lab):
            raise InputError("the variable `lab` is not a lab", hint="del lab, or call kit.Lab() yourself")
        lab = Lab(*words)
        self._space()["lab"] = lab
        return lab.use() if use else lab

    @no_var_expand
    @line_cell_magic
    def amdahl(self, line: str, cell: str | None = None) -> Any:
        """Return the result of a SELECT over Amdahl's interactions, as a DataFrame.

        %%amdahl [name <<] [--limit ROWS] [--on VARIABLE]
        select channel, count(*) as n from interactions where sentiment < {limit} group by 1
        """
        order = order_of("amdahl", line, cell, ("limit", "on"))
        # The service has no parameters, so values are written as literals that all dialects read in the same way.
        text, _ = bound(order.text, self._value, lambda _, value: literal(value), any_dialect=True)
        frame = self._explorer("amdahl", order).query(text, order.whole("limit"))
        return self._kept(order, frame)

    @no_var_expand
    @line_cell_magic
    def kql(self, line: str, cell: str | None = None) -> Any:
        """Return the rows of SQL on Kimberlite, as a DataFrame; what changes something gives how many rows it changed.

        %%kql [name <<] [--at POSITION] [--on VARIABLE]
        select * from orders where customer = {customer}
        """
        from ..kimberlite.client.sql import is_read

        order = order_of("kql", line, cell, ("at", "on"))
        text, values = bound(order.text, self._value, lambda n, _: f"${n}")
        explorer = self._explorer("kimberlite", order)
        at = order.options.get("at")
        if is_read(text):
            number = None if at is None else whole(at)
            when = number if at is None or number is not None else self._value(at)
            return self._kept(order, explorer.query(text, *values, at=when))
        if at is not None:
            raise InputError("--at reads tables as they were; this statement changes something")
        return self._kept(order, explorer.execute(text, *values))

    @no_var_expand
    @line_cell_magic
    def sql(self, line: str, cell: str | None = None) -> Any:
        """Return the result of SQL over the notebook's frames, Arrow tables and handles, as a DataFrame.

        %%sql [name <<]
        select city, sum(total) from orders join customers using (customer) where total > {least} group by 1
        """
        from ..engines.joining import query

        order = order_of("sql", line, cell, ())
        text, values = bound(order.text, self._value, lambda n, _: f"${n}")
        return self._kept(order, query(text, {}, values, self._space()).df())

    @no_var_expand
    @line_cell_magic
    def claude(self, line: str, cell: str | None = None) -> Any:
        """Return the answer to a prompt.

        %%claude [name <<] [--model haiku] [--live] [--on VARIABLE]
        Summarise these complaints: {complaints}

        Over the rows of a DataFrame, {column} is a row's value, and the answers are columns:

        %%claude [name <<] --over mail [--columns "topic: billing|delivery, score: float 0..1"] [--max-cost 0.5]
        What is this mail about? {body}

        --first 20 asks the first rows alone, --keep keeps the frame's columns. With --columns and without --over the
        prompt is one row.
        """
        valued = ("model", "on", "over", "columns", "max-cost", "first")
        order = order_of("claude", line, cell, valued, ("live", "keep"))
        options, model = order.options, order.options.get("model") or "auto"
        explorer = self._explorer("claude", order)
        if "over" not in options and "columns" not in options:
            for name in ("max-cost", "first", "keep"):
                if name in options:
                    raise InputError(f"%%claude: --{name} is for --over", hint="name a DataFrame: --over df")
            ask = explorer.live if "live" in options else explorer.ask
            return self._kept(order, ask(filled(order.text, self._value), model))
        if "live" in options:
            raise InputError("%%claude: --live shows one answer, without columns", hint="leave out one")
        arguments: dict[str, Any] = {"columns": self._columns(options.get("columns")), "first": order.whole("first")}
        if "max-cost" in options:
            arguments["max_cost"] = self._usd(options["max-cost"])
        if "over" not in options:
            return self._kept(order, explorer.batch([filled(order.text, self._value)], model, **arguments))
        over = self._value(options["over"])
        return self._kept(
            order, explorer.batch(order.text, model, over=over, keep="keep" in options or None, **arguments)
        )

    @property
    def _shell(self) -> InteractiveShell:
        assert self.shell is not None
        return self.shell

    def _space(self) -> dict[str, Any]:
        space: dict[str, Any] = self._shell.user_ns
        return space

    def _value(self, expression: str) -> Any:
        try:
            return self._shell.ev(expression)  # type: ignore[no-untyped-call]
        except Exception as error:
            raise InputError(f"{{{expression}}}: {type(error).__name__}: {error}") from None

    def _explorer(self, service: str, order: Order) -> Any:
        name = order.options.get("on")
        space = self._space()
        if name is not None:
            if name not in space:
                raise InputError(f"--on {name}: there is no such variable")
            return getattr(space[name], service) if name in labs_in(space) else space[name]
        return reached(service, space)

    def _columns(self, text: str | None) -> Any:
        """Return the columns from their text, or from the variable that holds them."""
        space = self._space()
        return space[text] if text is not None and text.isidentifier() and text in space else text

    @staticmethod
    def _usd(text: str) -> float:
        try:
            return float(text)
        except ValueError:
            raise InputError(f"%%claude: --max-cost {text[:40]}: give USD, such as 0.5") from None

    def _kept(self, order: Order, result: Any) -> Any:
        if order.name is None:
            return result
        self._space()[order.name] = result
        return None


class Status:
    """The output of `%kit`."""

    def __init__(self, space: dict[str, Any]) -> None:
        from ..version import __version__
        from .nesting import nested

        self._rows = [("kit", __version__), ("asyncio.run in cells", "yes" if nested() else "no")]
        labs = labs_in(space)
        self._rows += [(name, repr(lab)) for name, lab in labs.items()]
        if not labs:
            self._rows.append(("lab", "none in this notebook; %lab starts or joins one"))
        self._rows += [(service, repr(explorer)) for service, explorer in connected.items()]
        self._rows.append(("magics", "%lab, %%amdahl, %%kql, %%sql, %%claude; `%%kql?` tells more about one"))

    def __repr__(self) -> str:
        width = max(len(name) for name, _ in self._rows)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in self._rows)

    def _repr_html_(self) -> str:
        from ..core.html import table

        return table(("", ""), self._rows)


_NAMES = {"line": ("kit", "lab", "amdahl", "kql", "sql", "claude"), "cell": ("amdahl", "kql", "sql", "claude")}


def load(shell: Any) -> None:
    """Do what `%load_ext kit` does."""
    from .magic_completion import Matcher
    from .nesting import nest

    nest()
    shell.register_magics(KitMagics)
    matcher = Matcher(shell.user_ns)
    shell.Completer.custom_matchers.append(matcher.match)
    shell._kit_matcher = matcher.match  # noqa: SLF001 - our own, kept where `unload` finds it


def unload(shell: Any) -> None:
    """Undo it for `%unload_ext kit`: everything is as it was."""
    from .nesting import unnest

    unnest()
    for kind, names in _NAMES.items():
        for name in names:
            shell.magics_manager.magics[kind].pop(name, None)
    matcher = shell.__dict__.pop("_kit_matcher", None)
    if matcher in shell.Completer.custom_matchers:
        shell.Completer.custom_matchers.remove(matcher)
    for explorer in connected.values():
        explorer.close()
    connected.clear()
