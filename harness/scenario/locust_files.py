"""Is there a Locust file where a scenario says, does it hold users, and what goes along with it into client nodes?

Told by reading it: importing it would run it, and importing Locust would change the harness's own interpreter.
"""

from __future__ import annotations

import ast
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.errors import UsageError

MAX_BYTES = 10 * 1024 * 1024
_NOT_OURS = ("__pycache__", "node_modules", "site-packages")


def problem(path: Path, given: str) -> str | None:
    """Why the file at `path`, which the scenario calls `given`, cannot be run by Locust; None when nothing speaks against it."""
    try:
        about = path.stat()
        if path.suffix != ".py" or not stat.S_ISREG(about.st_mode) or about.st_size > MAX_BYTES:
            return f"{given} is no Python file; a Locust file ends in .py"
        source = path.read_bytes()
    except OSError as failed:
        return f"{given} cannot be read: {failed.strerror}; the path is seen from the scenario file"
    try:
        tree = ast.parse(source, str(path))
    except SyntaxError as failed:
        return f"{given}:{failed.lineno}: is no Python: {failed.msg}"
    except (ValueError, RecursionError, MemoryError) as failed:
        return f"{given} is no Python: {failed}"
    if not _may_hold_users(tree):
        return f"{given} holds no class for Locust to run; write one, such as class Buyer(User): with a @task"
    return None


def along(locustfile: Path, files: Sequence[str]) -> dict[str, Path]:
    """What is put into client nodes: path below the Locust file's folder → file.

    The folder's Python files and those below it, but nothing hidden and no virtual environment; and what `files` names,
    a folder with all that it holds. Raises UsageError for what is not there, lies elsewhere, or is too much.
    """
    folder = locustfile.parent.resolve()
    found = {str(path.relative_to(folder)): path for path in _below(folder) if path.suffix == ".py"}
    for given in files:
        named = (folder / given).resolve()
        if not named.is_relative_to(folder):
            raise UsageError(f"{given} does not lie below the Locust file's folder")
        if not named.exists():
            raise UsageError(f"there is no {given} beside the Locust file")
        chosen = _below(named) if named.is_dir() else [named]
        found |= {str(path.relative_to(folder)): path for path in chosen}
    size = sum(path.stat().st_size for path in found.values())
    if size > MAX_BYTES:
        raise UsageError(
            f"{len(found)} files with {size // 1024} KiB would go along, at most {MAX_BYTES // 1024} KiB may;"
            " give the Locust file a folder of its own"
        )
    return dict(sorted(found.items()))


def _below(folder: Path) -> Iterator[Path]:
    for at, folders, names in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and name not in _NOT_OURS and not (Path(at) / name / "pyvenv.cfg").exists()
        )
        yield from (path for name in sorted(names) if not name.startswith(".") and (path := Path(at) / name).is_file())


def _may_hold_users(tree: ast.Module) -> bool:
    """Whether the module's names may mean a class that Locust would run. What is imported may; Locust's own are abstract."""
    classes: dict[str, ast.ClassDef] = {}
    imported: set[str] = set()  # names that may mean a base class, Locust's or another's
    for statement in _at_top_level(tree.body):
        match statement:
            case ast.ClassDef():
                classes[statement.name] = statement
            case ast.ImportFrom(level=0, module=str(module)) if module.split(".")[0] in sys.stdlib_module_names:
                pass
            case ast.ImportFrom(names=names, module=module, level=level):
                if level or str(module).split(".")[0] != "locust":
                    return True
                imported |= {name.asname or name.name for name in names}
            case ast.Import(names=names):
                imported |= {(name.asname or name.name).split(".")[0] for name in names}
    return any(_is_user(one, classes, imported, frozenset()) and not _is_abstract(one) for one in classes.values())


def _at_top_level(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """A module's statements, those below if, try and with, too."""
    for statement in body:
        yield statement
        if not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            for part in ("body", "orelse", "finalbody"):
                yield from _at_top_level(getattr(statement, part, ()))
            for handler in getattr(statement, "handlers", ()):
                yield from _at_top_level(handler.body)


def _is_user(one: ast.ClassDef, classes: dict[str, ast.ClassDef], imported: set[str], seen: frozenset[str]) -> bool:
    """Whether one of its bases is a user, or may be."""
    for written in one.bases:
        base = written.value if isinstance(written, ast.Subscript) else written
        if isinstance(base, ast.Name) and base.id in classes and base.id not in seen:
            if _is_user(classes[base.id], classes, imported, seen | {one.name, base.id}):
                return True
        elif isinstance(base, ast.Name):
            if base.id in imported and base.id not in ("LoadTestShape", "TaskSet", "SequentialTaskSet", "MarkovTaskSet"):
                return True
        else:
            return True  # locust.HttpUser, a call: only running it could tell
    return False


def _is_abstract(one: ast.ClassDef) -> bool:
    for statement in one.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id="abstract")], value=ast.Constant(value=True)):
                return True
    return False
