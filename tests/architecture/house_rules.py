"""The rules of the house that no ready-made tool checks. Each takes a checkout and yields what breaks it.

A violation reads `path:line: what is wrong and what to do`. Every rule has a planted offender in
test_planted_offenders.py, which it must find.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator

from checkout import EVERYTHING, Checkout, Package

Rule = Callable[[Checkout], Iterator[str]]

MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_README_LINES = 250
VAGUE_NAMES = {"util", "utils", "common", "helper", "helpers", "manager", "managers", "misc"}
READS_ENVIRONMENT = {
    "libs/kerf_embedded/src/kerf_embedded/state.py": "asks where the stack lies before there are any settings",
    "libs/kerf_embedded/src/kerf_embedded/service.py": "hands the environment on to the services that it starts",
    "bench/optimizer_rows/grbl_simulator.py": "asks for a program that kerf cannot ship",
    "libs/kerf_models/src/kerf_models/devices.py": "sets a variable that cuBLAS reads, and reads none",
}
"""Files beside settings.py that may read the environment -> why."""
IMPURE = {"grpc", "grpc_status", "nats", "minio", "google", "kerf", "buf", "protovalidate", "torch", "diffusers"}
"""What a domain must not import: transport, storage, protobuf, engines."""
PURE_KERF = {"kerf_core.errors", "kerf_media"}
"""What a domain may import of kerf's own libraries."""


def modules_are_short(checkout: Checkout) -> Iterator[str]:
    """A module has at most 400 lines."""
    for source in checkout.sources(EVERYTHING):
        lines = source.text.count("\n")
        if lines > MAX_MODULE_LINES:
            yield f"{source.name}:1: {lines} lines, {MAX_MODULE_LINES} are allowed: split by what changes together"


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    first = function.body[0]
    is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    docstring = (first.end_lineno or first.lineno) - first.lineno + 1 if is_docstring else 0
    return (function.end_lineno or function.lineno) - function.lineno + 1 - docstring


def functions_fit_a_screen(checkout: Checkout) -> Iterator[str]:
    """A function has at most 60 lines, its docstring not counted."""
    for source in checkout.sources(EVERYTHING):
        for node in ast.walk(source.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and body_lines(node) > MAX_FUNCTION_LINES:
                lines = body_lines(node)
                yield f"{source.name}:{node.lineno}: {node.name} has {lines} lines, {MAX_FUNCTION_LINES} are allowed"


def names_say_the_role(checkout: Checkout) -> Iterator[str]:
    """No module or folder is called utils, common, helpers, manager or misc."""
    for source in checkout.sources(EVERYTHING):
        for part in source.name.removesuffix(".py").split("/"):
            if VAGUE_NAMES & set(part.lower().split("_")):
                yield f"{source.name}:1: `{part}` says nothing: name the role"


def only_settings_read_the_environment(checkout: Checkout) -> Iterator[str]:
    """`os.environ` and `os.getenv` appear in settings.py only, or where READS_ENVIRONMENT says why."""
    for source in checkout.sources():
        if source.name.endswith("/settings.py") or source.name in READS_ENVIRONMENT:
            continue
        for line, name in used_of_os(source.tree):
            if name in ("environ", "environb", "getenv", "getenvb"):
                yield f"{source.name}:{line}: reads the environment: take a parameter; settings.py is for this"


def used_of_os(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """What a module uses of `os`, as `os.name` or imported by name, with the line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "os":
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
            yield node.lineno, node.attr


def domains_are_pure(checkout: Checkout) -> Iterator[str]:
    """Nothing below a service's domain/ imports transport, storage, protobuf, engines, or more of kerf than allowed."""
    for source in checkout.sources(("services",)):
        if "/domain/" not in source.name and not source.name.endswith("/domain.py"):
            continue
        own = source.name.split("/src/")[1].split("/")[0]
        for line, module in source.imports:
            top = module.split(".")[0]
            foreign_kerf = top.startswith("kerf_") and top != own and not {module, top} & PURE_KERF
            if top in IMPURE or foreign_kerf or module.startswith(f"{own}.adapters"):
                yield f"{source.name}:{line}: a domain is pure: it must not import {module}"


SUPPRESSION = re.compile(r"#\s*(noqa|type:\s*ignore|(ruff|mypy|pyright|pragma|fmt):)", re.IGNORECASE)
WITH_RULE = re.compile(
    r"#\s*(noqa: [A-Z]+[0-9]+(, ?[A-Z]+[0-9]+)*|type: ignore\[[a-z0-9, -]+\]"
    r"|pragma: no cover|fmt: (off|on|skip))(?=\s|$)"
)
MIN_REASON_LETTERS = 6


def suppressions_say_why(checkout: Checkout) -> Iterator[str]:
    """`# noqa: S301  # reason`, `# type: ignore[misc]  # reason`, not for a whole file; skips say why."""
    for source in checkout.sources(EVERYTHING):
        for line, comment in source.comments:
            rest = WITH_RULE.sub("", comment).strip(" #-–")
            if SUPPRESSION.search(comment) and (SUPPRESSION.search(f"#{rest}") or len(rest) < MIN_REASON_LETTERS):
                yield f"{source.name}:{line}: a suppression needs its rule and, after a second #, its reason: {comment}"
        for line in unexplained_skips(source.tree):
            yield f"{source.name}:{line}: a test that does not run says why: reason=..."


def unexplained_skips(tree: ast.Module) -> Iterator[int]:
    """Lines with `pytest.mark.skip`, `skipif` or `xfail` without a reason."""
    marks = ("pytest.mark.skip", "pytest.mark.skipif", "pytest.mark.xfail")
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    explained = {id(call.func) for call in calls if any(keyword.arg == "reason" for keyword in call.keywords)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in marks and id(node) not in explained:
            yield node.lineno


def nothing_is_unfinished(checkout: Checkout) -> Iterator[str]:
    """No to-do marks and no `raise NotImplementedError`: the tracker is for plans."""
    marks = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
    for source in checkout.sources(EVERYTHING):
        for line, comment in source.comments:
            if marks.search(comment):
                yield f"{source.name}:{line}: unfinished: {comment}"
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Raise) and node.exc and "NotImplementedError" in ast.unparse(node.exc):
                yield f"{source.name}:{node.lineno}: unfinished: raises NotImplementedError"


def canonical(requirement: str) -> str:
    """`Prometheus_Client >= 1; extra` -> `prometheus-client`."""
    name = re.split(r"[\s;<>=!~\[(]", requirement.strip(), maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


def everything_is_pinned(checkout: Checkout) -> Iterator[str]:
    """constraints.txt has one exact version of every requirement, and names no place of any machine."""
    lines = (checkout.root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!]+", line):
            yield f"constraints.txt:{number}: not an exact version of a package of the registry: {line}"
        elif canonical(line) in pins:
            yield f"constraints.txt:{number}: pinned twice: {line}"
        pins[canonical(line)] = line
    own = {package.distribution for package in checkout.packages()}
    for package in checkout.packages():
        for requirement in package.requirements:
            if canonical(requirement) not in pins and canonical(requirement) not in own:
                yield f"{package.distribution}: {requirement} is not pinned in constraints.txt"


def only_declared_imports(checkout: Checkout, providers: dict[str, list[str]]) -> Iterator[str]:
    """A package imports only what it, or a package of kerf that it depends on, declares.

    `providers` tells which distributions make a module importable.
    """
    packages = {package.distribution: package for package in checkout.packages()}
    own_modules = {module: [package.distribution] for package in packages.values() for module in package.modules}
    for package in packages.values():
        allowed = declared(package, packages) | {package.distribution}
        for source in checkout.sources((package.folder.relative_to(checkout.root).as_posix(),)):
            for line, module in source.imports:
                top = module.split(".")[0]
                owners = own_modules.get(top) or providers.get(top)
                if top in sys.stdlib_module_names or (owners and {canonical(owner) for owner in owners} & allowed):
                    continue
                yield f"{source.name}:{line}: imports {top}, which {package.distribution} does not declare"


def declared(package: Package, packages: dict[str, Package]) -> set[str]:
    """Canonical names of what a package requires, through its requirements within kerf."""
    found: set[str] = set()
    waiting = [package]
    while waiting:
        for name in map(canonical, waiting.pop().requirements):
            if name in packages and name not in found:
                waiting.append(packages[name])
            found.add(name)
    return found


def readme_is_short(checkout: Checkout) -> Iterator[str]:
    """The README has at most 250 lines."""
    readme = checkout.root / "README.md"
    lines = readme.read_text(encoding="utf-8").count("\n") if readme.exists() else 0
    if lines > MAX_README_LINES:
        yield f"README.md:1: {lines} lines, {MAX_README_LINES} are allowed"


RULES: tuple[Rule, ...] = (
    modules_are_short,
    functions_fit_a_screen,
    names_say_the_role,
    only_settings_read_the_environment,
    domains_are_pure,
    suppressions_say_why,
    nothing_is_unfinished,
    everything_is_pinned,
    readme_is_short,
)
