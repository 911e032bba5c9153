"""The rules of the house, measured on the source: sizes, signatures, docstrings and sentences.

``python tests/house.py [FOLDER or FILE ...]`` lists what breaks a rule; the tests ask the same functions.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "odc_cleansat"

LINES_OF_A_MODULE = 450
LINES_OF_A_FUNCTION = 60
PARAMETERS = 8
WORDS_OF_A_SENTENCE = 25

WIDE = {"load", "recall", "classify", "composite"}
"""Functions with more parameters than others, for they mirror what users know."""

Function = ast.FunctionDef | ast.AsyncFunctionDef
_ARRAYS = re.compile(r"\b(ndarray|DataArray|da\.Array|xr\.Dataset)\b")
_SHAPE = re.compile(r"``\([^)]*\)``|dims?\b|shape|scalar", re.IGNORECASE)
_UNIT = re.compile(
    r"\b(u?int(8|16|32|64)|float(32|64)?|bool(ean)?|integers?|reflectance|digital numbers?|percent|metres?|"
    r"degrees?|seconds?|pixels?|share|codes?|dtype|0 to 1|1e-4)\b",
    re.IGNORECASE,
)


def modules(*places: Path) -> list[Path]:
    """The Python files of the package, or of the places."""
    found: list[Path] = []
    for place in places or (PACKAGE,):
        found += sorted(place.rglob("*.py")) if place.is_dir() else [place]
    return found


@cache
def parsed(path: Path) -> ast.Module:
    """The syntax tree of a file; read once."""
    return ast.parse(path.read_text(encoding="utf-8"))


def functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, Function]]:
    """All functions, nested ones too, with their dotted name."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Function):
            yield prefix + node.name, node
            yield from functions(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.ClassDef):
            yield from functions(node, f"{prefix}{node.name}.")
        else:
            yield from functions(node, prefix)


def body_lines(function: Function) -> int:
    """Lines of a function without its docstring."""
    text = ast.get_docstring(function, clean=False)
    assert function.end_lineno is not None
    return function.end_lineno - function.lineno + 1 - (len(text.splitlines()) if text else 0)


def parameters(function: Function) -> list[str]:
    """Names of the parameters but for `self`, `cls` and ``**more``."""
    args = function.args
    names = [a.arg for a in (*args.posonlyargs, *args.args, *args.kwonlyargs)]
    return [name for name in names if name not in ("self", "cls")]


def is_command(function: Function) -> bool:
    """Whether click calls it, with a parameter for each option."""
    return any("command" in ast.unparse(each) for each in function.decorator_list)


def too_large(path: Path) -> Iterator[str]:
    """Modules, functions and signatures beyond their limits."""
    source = path.read_text(encoding="utf-8")
    if (lines := len(source.splitlines())) > LINES_OF_A_MODULE:
        yield f"{path.name} has {lines} lines, more than {LINES_OF_A_MODULE}"
    for name, function in functions(parsed(path)):
        where = f"{path.name}:{function.lineno} {name}"
        if (size := body_lines(function)) > LINES_OF_A_FUNCTION:
            yield f"{where} has {size} lines, more than {LINES_OF_A_FUNCTION}"
        count = len(parameters(function))
        if count > PARAMETERS and name not in WIDE and not is_command(function):
            yield f"{where} has {count} parameters, more than {PARAMETERS}"


# --- docstrings -----------------------------------------------------------------------


def documented(path: Path) -> Iterator[tuple[str, Function]]:
    """The public functions and methods of a module."""
    for name, function in functions(parsed(path)):
        outer = name.split(".")
        nested = any(part[:1].islower() for part in outer[:-1])
        if not nested and not any(part.startswith("_") for part in outer):
            yield name, function


def raised(function: Function) -> set[str]:
    """Names of the errors that a function itself raises, by ``raise Name(...)``."""
    found = set()
    inner = {id(n) for _, f in functions(function) for n in ast.walk(f)}
    for node in ast.walk(function):
        if isinstance(node, ast.Raise) and id(node) not in inner:
            call = node.exc.func if isinstance(node.exc, ast.Call) else None
            if isinstance(call, ast.Name) and call.id[:1].isupper():
                found.add(call.id)
    return found


def undocumented(path: Path) -> Iterator[str]:
    """Public functions whose docstring hides an error, a shape or a unit."""
    for name, function in documented(path):
        text = ast.get_docstring(function) or ""
        where = f"{path.name}:{function.lineno} {name}"
        if not text:
            yield f"{where} has no docstring"
            continue
        for error in sorted(raised(function)):
            if not re.search(rf"Raises\n-+\n(.|\n)*\b{error}\b", text):
                yield f"{where} raises {error}, which its docstring does not tell"
        notes = [
            function.returns,
            *(a.annotation for a in function.args.args + function.args.kwonlyargs),
        ]
        if any(note is not None and _ARRAYS.search(ast.unparse(note)) for note in notes):
            if not _SHAPE.search(text):
                yield f"{where} takes or gives an array; its docstring tells no shape or dims"
            if not _UNIT.search(text):
                yield f"{where} takes or gives an array; its docstring tells no dtype or unit"


# --- sentences ------------------------------------------------------------------------


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Every docstring of a module, those of fields and constants too, with its line."""
    for node in ast.walk(parsed(path)):
        for each in (
            getattr(node, "body", []) if isinstance(getattr(node, "body", None), list) else []
        ):
            if isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant):
                value = each.value.value
                if isinstance(value, str):
                    yield each.lineno, value


def sentences(text: str) -> Iterator[str]:
    """The sentences of a docstring or a Markdown page, without code, tables and headings."""
    text = re.sub(r"```.*?```|<!--.*?-->", "\n\n", text, flags=re.DOTALL)
    text = re.sub(r"^\s*(>>>|\.\.\. ).*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"^ *[|#].*$|^\s*[-=]{3,}\s*$", "\n", text, flags=re.MULTILINE)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"``[^`]*``|:\w+:`[^`]*`|`[^`]*`", "CODE", text)
    for paragraph in re.split(r"\n\s*\n|\n\s*(?=[-*] |\d+\. )", text):
        # A line that is indented less than the one before begins something new (numpydoc's names).
        for part in re.split(r"\n(?=\S[^\n]*\n {4,}\S)|(?<=\w)\n(?= {4,}\S)", paragraph):
            words = " ".join(part.split())
            yield from (s for s in re.split(r"(?<=[.!?])[)\"'*]* (?=[A-Z(\"'*])", words) if s)


def long_sentences(text: str) -> Iterator[str]:
    """Sentences of too many words."""
    for sentence in sentences(text):
        count = len(re.findall(r"[\w%'°.,/-]*\w[\w%'°.,/-]*", sentence))
        if count > WORDS_OF_A_SENTENCE:
            yield f"{count} words: {sentence[:160]}"


def wordy(path: Path) -> Iterator[str]:
    """Sentences of docstrings, or of a Markdown page, that are too long."""
    if path.suffix == ".md":
        yield from (f"{path.name}: {each}" for each in long_sentences(path.read_text("utf-8")))
        return
    for line, text in docstrings(path):
        yield from (f"{path.name}:{line} {each}" for each in long_sentences(text))


# --- names ----------------------------------------------------------------------------


def module_of(path: Path) -> str:
    """Dotted name of a file of the package."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[tuple[int, str, str, str]]:
    """Names that a module imports from the package: line, module, name there, name here."""
    here = module_of(path).split(".")
    package = here if path.name == "__init__.py" else here[:-1]
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            if source.split(".")[0] == PACKAGE.name:
                for alias in node.names:
                    yield node.lineno, source, alias.name, alias.asname or alias.name


def is_private(name: str) -> bool:
    """Whether a name begins with one underscore."""
    return name.startswith("_") and not name.startswith("__")


def trespasses(path: Path) -> Iterator[str]:
    """Names with a leading underscore that a module takes from another module of the package."""
    borrowed: set[str] = set()
    for line, source, name, local in imports(path):
        if (
            is_private(name)
            and not (PACKAGE.parent / source.replace(".", "/") / f"{name}.py").exists()
        ):
            yield f"{path.name}:{line} imports {name} from {source}, which keeps it for itself"
        place = PACKAGE.parent / source.replace(".", "/") / name
        if place.with_suffix(".py").exists() or place.is_dir():
            borrowed.add(local)
    for node in ast.walk(parsed(path)):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in borrowed
            and is_private(node.attr)
        ):
            yield f"{path.name}:{node.lineno} uses {node.value.id}.{node.attr}, which is private"


def rooms() -> list[str]:
    """The package itself, as ``""``, and its sub-packages."""
    return ["", *sorted(p.parent.name for p in PACKAGE.glob("*/__init__.py"))]


def promised(room: str) -> list[str] | None:
    """`__all__` of a room as it is written, or `None` if the room has none."""
    tree = parsed(PACKAGE / room / "__init__.py")
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(each, ast.Name) and each.id == "__all__" for each in targets):
            assert isinstance(node, ast.Assign)
            return list(ast.literal_eval(node.value))
    return None


def home(path: Path, name: str) -> tuple[Path, str]:
    """File and name where an object is defined that a module has or imports from the package."""
    for _, source, original, local in imports(path):
        if local == name:
            place = PACKAGE.parent / source.replace(".", "/")
            file = place.with_suffix(".py")
            return home(file if file.exists() else place / "__init__.py", original)
    return path, name


def docstring(path: Path, name: str) -> str:
    """Docstring of a function, class or constant of a module; empty if there is none."""
    body = parsed(path).body
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, Function | ast.ClassDef) and node.name == name:
            return ast.get_docstring(node) or ""
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        here = any(isinstance(each, ast.Name) and each.id == name for each in targets)
        if here and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            return str(after.value.value)
    return ""


@cache
def surface() -> dict[str, dict[str, tuple[Path, str]]]:
    """For each room, file and name of the definition of every name that it promises."""
    found = {}
    for room in rooms():
        names = [name for name in promised(room) or [] if name != "__version__"]
        found[room] = {name: home(PACKAGE / room / "__init__.py", name) for name in names}
    return found


RULES = (too_large, undocumented, wordy, trespasses)

if __name__ == "__main__":
    total = 0
    for file in modules(*(Path(each).resolve() for each in sys.argv[1:])):
        rules = RULES if file.is_relative_to(PACKAGE) else RULES[:-1]
        for rule in rules if file.suffix == ".py" else (wordy,):
            for offence in rule(file):
                total += 1
                print(offence)
    print(f"{total} in all")
