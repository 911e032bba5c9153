"""Every message that a user can meet, from the source: what *Troubleshooting* lists.

MkDocs calls :func:`pages` (see ``docs/hooks.py``). ``python docs/messages.py "some words"`` looks a message up.
"""

from __future__ import annotations

import ast
import html
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
HELP = ROOT / "docs" / "troubleshooting" / "help.yaml"
sys.path.insert(0, str(ROOT / "tests"))

import house  # noqa: E402

SAYS = re.compile(r"(Error|Warning|Exception|BadParameter|^warn|^warn_caller)$")
"""Names of what is called with a message."""

COMPLAINS = "complaint"
"""Name of functions that return a part of a warning."""

VALUE = "…"
"""What stands for a value where the source has no name for it."""

NAMED: set[str] = set()
"""Names that stand for values, of the messages that were read."""

TERMS = frozenset({"API", "CRS", "EPSG", "UCL"})
"""Names that are words of messages too."""

TOPICS = {
    "offsets": (
        "Offsets and reflectance",
        ("scenes/offset", "scenes/reflectance", "scenes/packing"),
    ),
    "scenes": ("Scenes and bands", ("scenes/", "synthetic/")),
    "datacube": ("Datacube, load and recall", ("cube/", "virtual", "demo", "stats")),
    "masks": ("Masks, presets and composites", ("masks/", "grids/", "classes", "arguments")),
    "models": ("Models and weights", ("models/",)),
    "training": ("Training", ("training/",)),
    "products": ("Mask products, verify and verdicts", ("products/",)),
    "storage": ("Files, buckets and documents", ("storage/", "settings", "addresses", "errors")),
    "batch": ("Many scenes", ("batch/",)),
    "evaluate": ("Evaluation", ("evaluate/",)),
    "review": ("Compare and review", ("review/",)),
    "app": ("The web application", ("app/",)),
    "commands": ("Commands and options", ("cli/", "")),
}
"""Title of each page, and the modules whose messages it lists; the first that fits counts."""

NOTES = {
    "products": "A `WrongError` is what `cleansat verify` finds: a file or document is not as it was written. "
    "[Make that mask again](../reference/product.md#is-it-what-it-says). An `UnprovenError` says what could not be checked. "
    "The others name their reason and the next step themselves.",
}
"""What stands above the messages of a topic that need no explanation of their own."""


@dataclass(frozen=True)
class Message:
    """A text that the source passes to an error or a warning."""

    text: str
    """The text; values stand as their names in capitals, or as an ellipsis."""

    kind: str
    """Name of the error or warning, of the first that says it."""

    module: str = field(compare=False)
    """Where it stands, relative to the package."""

    @property
    def topic(self) -> str:
        """Name of the page that lists it."""
        return next(t for t, (_, p) in TOPICS.items() if self.module.startswith(p))

    @property
    def pattern(self) -> re.Pattern[str]:
        """What matches the message with any values."""
        parts = re.split(rf"\b[A-Z][A-Z_]+[A-Z]\b|\b[A-Z]\b|{VALUE}", self.text)
        return re.compile(".*".join(map(re.escape, parts)), re.DOTALL)


def value_name(node: ast.expr) -> str:
    """Return what stands for a value: its name in capitals."""
    if isinstance(node, ast.Attribute):
        name = node.attr
    elif isinstance(node, ast.Name) and node.id != "self":
        name = node.id
    else:
        return VALUE
    NAMED.add(name.strip("_").upper())
    return name.strip("_").upper()


def joined(node: ast.JoinedStr) -> str:
    """Return the text of an f-string; a value that touches a word has no name, which would read as part of the word."""
    parts: list[str] = []
    for each in node.values:
        if isinstance(each, ast.FormattedValue):
            touches = parts and parts[-1][-1].islower()
            parts.append(VALUE if touches else value_name(each.value))
        elif isinstance(each, ast.Constant):
            text = str(each.value)
            if parts and parts[-1].isupper() and re.match(r"[a-z](?!\b)", text):
                parts[-1] = VALUE
            parts.append(text)
    return "".join(parts)


@dataclass
class Reader:
    """Follows the texts of one module."""

    path: Path
    """File of the module."""

    def named(self, name: str, scope: ast.AST) -> Iterator[tuple[Reader, ast.expr, ast.AST]]:
        """Yield what a name stands for: what is assigned to it, or what a function of that name returns."""
        tree = house.parsed(self.path)
        for around in (scope, tree):
            for node in ast.walk(around) if around is not tree else tree.body:
                targets = (
                    node.targets
                    if isinstance(node, ast.Assign)
                    else [getattr(node, "target", None)]
                )
                value = getattr(node, "value", None)
                if value is not None and any(
                    isinstance(t, ast.Name) and t.id == name for t in targets
                ):
                    yield self, value, around
                if isinstance(node, house.Function) and node.name == name:
                    for each in ast.walk(node):
                        if isinstance(each, ast.Return | ast.Yield) and each.value is not None:
                            yield self, each.value, node
        for _, source, original, local in house.imports(self.path):
            if local == name:
                place = house.PACKAGE.parent / source.replace(".", "/")
                file = place.with_suffix(".py")
                if file.exists():
                    yield from Reader(file).named(original, house.parsed(file))

    def texts(self, node: ast.expr, scope: ast.AST, depth: int = 0) -> Iterator[str]:
        """Yield the texts that an expression can be, and those that it puts into others."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            yield joined(node)
            for value in node.values:
                if isinstance(value, ast.FormattedValue):
                    yield from self.texts(value.value, scope, depth)
        elif isinstance(node, ast.IfExp):
            yield from self.texts(node.body, scope, depth)
            yield from self.texts(node.orelse, scope, depth)
        elif isinstance(node, ast.BoolOp):
            for each in node.values:
                yield from self.texts(each, scope, depth)
        elif isinstance(node, ast.BinOp):
            left = [*self.texts(node.left, scope, depth)] or [VALUE]
            right = [*self.texts(node.right, scope, depth)] or [VALUE]
            yield from (a + b for a in left for b in right)
        elif isinstance(node, ast.Call | ast.Name) and depth < 3:
            name = node.func if isinstance(node, ast.Call) else node
            if isinstance(name, ast.Name):
                for reader, value, around in self.named(name.id, scope):
                    yield from reader.texts(value, around, depth + 1)
            if isinstance(name, ast.Attribute):
                for each in house.parsed(self.path).body:
                    if isinstance(each, ast.ClassDef):
                        for method in each.body:
                            if isinstance(method, house.Function) and method.name == name.attr:
                                for part in ast.walk(method):
                                    if isinstance(part, ast.Return) and part.value is not None:
                                        yield from self.texts(part.value, method, depth + 1)

    def messages(self) -> Iterator[Message]:
        """Yield what the module says."""
        tree = house.parsed(self.path)
        module = self.path.relative_to(house.PACKAGE).as_posix()
        around = [*(f for _, f in house.functions(tree)), tree]
        seen: set[int] = set()
        raised = {id(each.exc) for each in ast.walk(tree) if isinstance(each, ast.Raise)}
        for scope in around:
            for node in ast.walk(scope):
                if not isinstance(node, ast.Call) or id(node) in seen:
                    continue
                func = node.func
                name = func.id if isinstance(func, ast.Name) else getattr(func, "attr", "")
                if not SAYS.search(name) and id(node) not in raised:
                    continue
                seen.add(id(node))
                for argument in node.args[:2]:
                    for text in self.texts(argument, scope):
                        if is_sentence(text):
                            yield Message(" ".join(text.split()), name, module)
        for name, scope in house.functions(tree):
            if name.rpartition(".")[2] == COMPLAINS:
                for node in ast.walk(scope):
                    if isinstance(node, ast.Return) and node.value is not None:
                        for text in filter(is_sentence, self.texts(node.value, scope)):
                            yield Message(" ".join(text.split()), "ReflectanceWarning", module)


def is_sentence(text: str) -> bool:
    """Tell whether a text says something, apart from its values."""
    return len(re.findall(r"\b[a-z]{2,}\b", text)) >= 2


@cache
def messages() -> tuple[Message, ...]:
    """Return every message once, in the order of the source."""
    found: dict[str, Message] = {}
    for path in house.modules():
        for message in Reader(path).messages():
            found.setdefault(message.text, message)
    return tuple(found.values())


@cache
def helps() -> tuple[dict[str, str], ...]:
    """Return what is said beyond a message: ``message`` (some of its words), ``why`` and ``do``."""
    return tuple(yaml.safe_load(HELP.read_text("utf-8")))


def help_for(message: Message) -> dict[str, str] | None:
    """Return what is said beyond a message, if anything is."""
    return next((each for each in helps() if fits(each["message"], message.text)), None)


def fits(words: str, text: str) -> bool:
    """Tell whether a text has some words, in which ``{}`` stands for a value."""
    return bool(re.search(".*".join(map(re.escape, words.split("{}"))), text))


def cell(text: str) -> str:
    """Return a text as it stands in a table: nothing in it is markup."""
    escaped = html.escape(text, quote=False).replace("|", "&#124;")
    escaped = re.sub(r"([\\*_\[\]{}~^#])", lambda m: f"&#{ord(m[1])};", escaped)
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", escaped)


def message_cell(message: Message) -> str:
    """Return a message as it stands in a table; what stands for a value is emphasised."""

    def emphasised(name: re.Match[str]) -> str:
        is_value = name[0].replace("&#95;", "_") in NAMED - TERMS
        return f"<em>{name[0]}</em>" if is_value else name[0]

    return re.sub(r"\b[A-Z](?:[A-Z0-9]|&#95;)*\b", emphasised, cell(message.text))


def pages() -> dict[str, str]:
    """Return the Markdown of each topic."""
    found = {}
    for topic, (title, _) in TOPICS.items():
        rows, explained = [], []
        for message in sorted(
            (m for m in messages() if m.topic == topic), key=lambda m: m.text.lower()
        ):
            more = help_for(message)
            if more:
                explained.append(f"| {message_cell(message)} | {more['why']} | {more['do']} |")
            else:
                rows.append(f"| {message_cell(message)} | `{message.kind}` |")
        text = f"# {title}\n\nWords in capitals, and {VALUE}, stand for values. [How to look up a message](index.md).\n\n"
        if explained:
            text += (
                "## Explained\n\n| message | why | what to do |\n|---|---|---|\n"
                + "\n".join(explained)
                + "\n\n"
            )
        text += f"## All others\n\n{NOTES.get(topic, 'These name their reason and the next step themselves.')}\n\n"
        found[topic] = text + "| message | kind |\n|---|---|\n" + "\n".join(rows) + "\n"
    return found


def look_up(said: str) -> list[Message]:
    """Return the messages that a text may be, the one with the most words of its own first.

    Of a text that is no whole message, those that have most of its words, five at most.
    """
    said = " ".join(said.split())
    fitting = [m for m in messages() if m.pattern.search(said) and len(m.pattern.pattern) > 40]
    if fitting:
        return sorted(fitting, key=lambda m: -len(m.pattern.pattern))
    words = words_of(said)
    shared = {m: len(words & words_of(m.text)) for m in messages()}
    alike = [m for m, count in shared.items() if count > len(words) / 2]
    return sorted(alike, key=lambda m: (-shared[m], len(m.text)))[:5]


def words_of(text: str) -> set[str]:
    """Return the words of a text, in lower case, without those that stand for values."""
    return set(re.findall(r"\b[a-z][a-z0-9_-]+", text))


if __name__ == "__main__":
    for each in look_up(" ".join(sys.argv[1:])):
        print(f"{each.topic}: {each.text}")
