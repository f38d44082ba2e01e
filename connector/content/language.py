"""The template language: Liquid, fenced in.

Lives here: which tags and filters there are, limits, how a value is escaped for each format, how fields without a
value are found, field prompts. Does not live here: files and front matter (`templates`), the mail (`compose`).

python-liquid does the work. Taken away: tags that read files, filters that undo escaping, and the clock.
A field without a value is harmless in a condition and recorded when it would be shown, so that one error can name
all such fields. Markdown is rendered after Liquid: there, every character of a value that could mean something to
Markdown is written as a character reference, which Markdown always reads as plain text.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, TextIO

from liquid import BoundTemplate, Environment, Markup, RenderContext, Token, is_undefined
from liquid.builtin.output import Output, OutputNode
from liquid.exceptions import FilterArgumentError, LiquidError
from liquid.stringify import to_liquid_string
from liquid.undefined import Undefined

from connector.content.fields import STAND_INS, Unresolved
from connector.content.traced import Trace, Traced
from connector.errors import BadInput, Fault


class Escaping(StrEnum):
    """What a value must be made harmless for."""

    #: Subjects, step names, notes, text templates: nothing.
    PLAIN = "plain"
    HTML = "html"
    MARKDOWN = "markdown"


#: Tags a template may use; the others read files, count across templates or write past the escaping.
_TAGS = frozenset({"if", "unless", "case", "for", "break", "continue", "assign", "capture", "comment", "#"})
#: Pseudo tags the parser itself needs.
_INNER_TAGS = frozenset({"content", "output", "illegal"})
#: Filters that would undo the escaping.
_UNSAFE_FILTERS = frozenset({"safe", "escapejs"})

#: Enclose a field prompt in rendered text, so that a value that looks like one is not taken for one.
PROMPT_OPENS, PROMPT_CLOSES = "\ue002", "\ue003"
#: Private characters that mark places in rendered text; never let in from a value or a source.
PRIVATE = re.compile("[\ue000-\ue003]")

_PROMPT = re.compile(
    r"(?P<raw>\{%-?\s*raw\s*-?%\}.*?\{%-?\s*endraw\s*-?%\})|\{\{-?\s*!(?P<prompt>.*?)\}\}",
    re.DOTALL,
)
_MARKDOWN_MEANING = re.compile(r"[!-/:-@\[-`{-~\s]")
#: In text that is HTML already, what HTML itself needs is left alone.
_MARKDOWN_ONLY = re.compile(r"[*_`~\[\]()!|{}+\\\n\r\t-]|(?<!&)#|(?<=\d)\.")

#: Limits against a template that runs away.
_LONGEST_OUTPUT = 1_000_000
_MOST_ITERATIONS = 10_000


def _reference(found: re.Match[str]) -> str:
    return f"&#{ord(found[0])};"


def escaped(value: object, escaping: Escaping) -> str:
    """Return a value as text that cannot act as markup; text marked as HTML stays HTML."""
    text = to_liquid_string(value, autoescape=escaping is not Escaping.PLAIN and isinstance(value, Markup))
    text = PRIVATE.sub("", text) if not isinstance(value, Markup) else text
    if escaping is Escaping.PLAIN:
        return str(text)
    if isinstance(value, Markup):
        return str(text) if escaping is Escaping.HTML else _MARKDOWN_ONLY.sub(_reference, str(text))
    if escaping is Escaping.HTML:
        return html.escape(text)
    return _MARKDOWN_MEANING.sub(_reference, text)


class _Missing(Undefined):
    """A field without a value: false and empty in a condition, replaced by `default`, noted when it would be shown."""

    __slots__ = ("left", "noted", "stand_in")

    #: Read by the filter `default`.
    force_liquid_default = True

    def __init__(self, name: str, *, token: Token | None, noted: list[str], left: bool) -> None:
        super().__init__(name, token=token)
        self.noted = noted
        self.left = left
        self.stand_in = STAND_INS.get(name)

    def __str__(self) -> str:
        if self.stand_in is None:
            self.noted.append(self.name)
            return left_field(self.name) if self.left else ""
        return self.stand_in


class _Context(RenderContext):
    """Looks names up; whatever has no value becomes `_Missing`."""

    __slots__ = ("left", "noted", "trace")

    def __init__(self, template: BoundTemplate, *, globals: Mapping[str, object], left: bool) -> None:  # noqa: A002 - the library's name
        super().__init__(template, globals=globals)
        self.noted: list[str] = []
        self.left = left
        self.trace: Trace | None = None

    def get(self, path: list[object], *, token: Token | None, default: object = None) -> object:
        # The library passes a default of its own only for loop lengths and the like, which are never fields.
        value = super().get(path, token=token) if default is None else super().get(path, token=token, default=default)
        if path[0] in self.locals:
            empty = is_undefined(value) and not isinstance(value, _Missing)
        else:
            empty = value is None or is_undefined(value) or isinstance(value, Mapping)
            empty = empty or (isinstance(value, str) and path[0] in self.globals and not value.strip())
        if not empty:
            return value
        return _Missing(".".join(map(str, path)), token=token, noted=self.noted, left=self.left)

    def filter(self, name: str, token: Token | None) -> Callable[..., object]:
        function = super().filter(name, token)
        if name == "default":
            return function

        def on_values(value: object, *args: object, **named: object) -> object:
            shown = [str(v) if isinstance(v, _Missing) else v for v in (value, *args)]
            return function(*shown, **named)

        return on_values


class _ShownNode(OutputNode):
    __slots__ = ()

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        value = self.expression.evaluate(context)
        if isinstance(value, _Missing):
            value = str(value)
        start = buffer.tell()
        length = buffer.write(escaped(value, context.env.escaping))  # type: ignore[attr-defined]
        trace: Trace | None = context.trace  # type: ignore[attr-defined]
        if trace is not None:
            trace.note(self.expression, buffer, start)
        return length


class _Shown(Output):
    node_class = _ShownNode


class _Language(Environment):
    """Liquid with our tags, filters, limits and escaping; collects every parse error when told to."""

    loop_iteration_limit = _MOST_ITERATIONS
    output_stream_limit = _LONGEST_OUTPUT
    local_namespace_limit = _LONGEST_OUTPUT

    def __init__(self, escaping: Escaping) -> None:
        self.escaping = escaping
        self.collected: list[LiquidError] | None = None
        super().__init__(autoescape=escaping is not Escaping.PLAIN)

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        super().setup_tags_and_filters(extra=extra)
        self.add_tag(_Shown)
        self.tags = {name: tag for name, tag in self.tags.items() if name in _TAGS | _INNER_TAGS}
        self.filters = {name: function for name, function in self.filters.items() if name not in _UNSAFE_FILTERS}
        self.filters["date"] = _without_clock(self.filters["date"])

    def error(self, exc: Any, msg: str | None = None, token: Token | None = None) -> None:
        if self.collected is None:
            super().error(exc, msg, token)
            return
        error = exc if isinstance(exc, LiquidError) else exc(msg, token=token)
        error.token = error.token or token
        self.collected.append(error)


def _without_clock(date: Callable[..., str]) -> Callable[..., str]:
    def of_a_field(value: object, *args: object, environment: Environment) -> str:
        if value in ("now", "today"):
            raise FilterArgumentError("a template does not know what time it is", token=None)
        return date(value, *args, environment=environment)

    of_a_field.with_environment = True  # type: ignore[attr-defined]
    return of_a_field


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """Liquid source, parsed and checked."""

    bound: BoundTemplate
    prompts: tuple[str, ...]
    #: Paths of the fields used, conditions included.
    fields: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """Something wrong in a Liquid source."""

    sentence: str
    #: Counted from 1 within the source.
    line: int


def _line(source: str, index: int) -> int:
    return source.count("\n", 0, max(index, 0)) + 1


def _sentence(error: LiquidError) -> str:
    message = str(error.message or "it cannot be read")
    if found := re.match(r"unexpected tag '(\w+)'", message):
        name = found[1]
        if name.startswith("end") or name in {"else", "elsif", "when"}:
            return f"{{% {name} %}} has nothing that it belongs to"
        return f"there is no tag {{% {name} %}}; there are {', '.join(sorted(_TAGS - {'#'}))}"
    return f"the Liquid is not right: {message}"


@lru_cache(maxsize=4096)
def compile_source(source: str, escaping: Escaping) -> tuple[Compiled | None, tuple[Mistake, ...]]:
    """Parse a Liquid source once; return it, or every mistake found in it."""
    prompts: list[str] = []

    def keep_prompt(found: re.Match[str]) -> str:
        if found["raw"]:
            return found[0]
        prompts.append(found["prompt"].strip())
        shown = escaped("{{!" + found["prompt"] + "}}", escaping)
        return f"{{% raw %}}{PROMPT_OPENS}{shown}{PROMPT_CLOSES}{{% endraw %}}"

    text = _PROMPT.sub(keep_prompt, PRIVATE.sub("", source))
    language = _Language(escaping)
    language.collected = []
    try:
        bound = language.from_string(text)
    except LiquidError as error:
        language.collected.append(error)
        bound = None
    errors, language.collected = language.collected, None
    mistakes = [Mistake(sentence=_sentence(e), line=_line(text, e.token.start_index if e.token else 0)) for e in errors]
    # A tag that could not be read leaves its own {% end... %} behind, which is no second mistake.
    mistakes = mistakes[:1] + [m for m in mistakes[1:] if "has nothing that it belongs to" not in m.sentence]
    if bound is None or mistakes:
        return None, tuple(mistakes)
    found = bound.analyze(include_partials=False)
    mistakes = [
        Mistake(sentence=f"there is no filter '{name}'", line=_line(text, span.index))
        for name, spans in found.filters.items()
        if name not in language.filters
        for span in spans
    ]
    fields = frozenset(str(variable) for variables in found.globals.values() for variable in variables)
    if mistakes:
        return None, tuple(sorted(mistakes, key=lambda m: m.line))
    return Compiled(bound=bound, prompts=tuple(prompts), fields=fields), ()


def evaluate(compiled: Compiled, fields: Mapping[str, Any], name: str) -> str:
    """Return the rendered text; raise `Unresolved` naming every field that has no value."""
    (text,) = evaluate_all((compiled,), fields, name)
    return text


def evaluate_all(parts: Sequence[Compiled], fields: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Return the rendered parts of one template; raise `Unresolved` naming the fields of all parts together."""
    texts, missing = _rendered(parts, fields, name, left=False)
    if missing:
        raise Unresolved(name, missing)
    return tuple(one.text for one in texts)


def evaluate_as_far(
    parts: Sequence[Compiled], fields: Mapping[str, Any], name: str
) -> tuple[tuple[Traced, ...], tuple[str, ...]]:
    """Return the rendered parts of one template, which know what came from fields, and the fields without a value.

    Those are left in as `{{field}}`.
    """
    return _rendered(parts, fields, name, left=True)


def left_field(name: str) -> str:
    """Return how a field without a value is left in a text."""
    return f"{{{{{name}}}}}"


def _rendered(
    parts: Sequence[Compiled], fields: Mapping[str, Any], name: str, *, left: bool
) -> tuple[tuple[Traced, ...], tuple[str, ...]]:
    texts: list[Traced] = []
    noted: list[str] = []
    for part in parts:
        context = _Context(part.bound, globals=fields, left=left)
        buffer = context.get_buffer()
        if left:  # the text is to be edited, by somebody who wants to know what came from where
            context.trace = Trace(part.bound.nodes, buffer, context)
        try:
            part.bound.render_with_context(context, buffer)
        except LiquidError as error:
            sentence = f"{name} cannot be rendered: {error.message or 'a limit was reached'}"
            raise BadInput(Fault(sentence=sentence)) from error
        texts.append(Traced(text=buffer.getvalue(), spots=() if context.trace is None else tuple(context.trace.spots)))
        noted += context.noted
    return tuple(texts), tuple(dict.fromkeys(noted))
