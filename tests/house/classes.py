#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# A class is one idea. A reader must hold all of it in the head at once, however many files it is cut into: so functions and
# members are counted here, and the functions of one class are defined in one source.
import re

from tree import SOURCES, includes, paths, report

FUNCTIONS_MAX = 40
MEMBERS_MAX = 20
# {"header:class": (functions and members that the class may have instead, and why)}; few, and none without a limit.
EXCEPTIONS = {}
EXCEPTIONS_MAX = 5
EXCEPTION_FUNCTIONS_MAX = 50
EXCEPTION_MEMBERS_MAX = 25
# Statements of a class that are neither functions nor data.
NO_MEMBER = re.compile(r"^(public|private|protected)\b|^(using|typedef|friend|static_assert|enum|static constexpr|static const)\b")


def code(text):
    """The text without comments, literals, attributes and preprocessor lines; line breaks stay."""
    def blank(match):
        return "\n" * match[0].count("\n") if match[0].startswith("/") else "0"
    text = re.sub(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])\'', blank, text, flags=re.S)
    return re.sub(r"^\s*#[^\n]*|\[\[.*?\]\]", "", text, flags=re.M)


def without_template_arguments(text):
    """`text` with <...> taken out, innermost first; comparisons and arrows stay."""
    text = text.replace("->", "  ").replace("<<", "  ").replace("<=", "  ").replace(">=", "  ")
    while True:
        shorter = re.sub(r"<[^<>;{}]*>", "", text)
        if shorter == text:
            return text
        text = shorter


def closing_brace(text, start):
    depth = 0
    for position in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return position
    return len(text)


CLASS_HEAD = re.compile(r"\b(?<!enum )(?:class|struct)\s+(?:alignas\([^)]*\)\s*)?(\w+)(?:\s+final)?\s*(?::[^;{}()]*)?\{")


def classes(text):
    """(line, name, body) of each class that is defined in `text`, inner ones too."""
    for match in CLASS_HEAD.finditer(text):
        end = closing_brace(text, match.end() - 1)
        yield text.count("\n", 0, match.start()) + 1, match[1], text[match.end():end]


def statements(body):
    """What stands in a class's body, each without its own body or initialiser; inner classes are left out."""
    while match := CLASS_HEAD.search(body):
        body = body[:match.start()] + body[closing_brace(body, match.end() - 1) + 1:]
    body = re.sub(r"\b(public|private|protected)\s*:(?!:)", "", body)
    body = without_template_arguments(body)
    while "{" in body:
        start = body.index("{")
        end = closing_brace(body, start)
        body = body[:start] + ";" + body[end + 1:]
    for statement in body.split(";"):
        statement = " ".join(statement.split())
        statement = re.sub(r"^(template|requires [^()]*)\s*", "", statement)
        if re.search(r"\w", statement) and not NO_MEMBER.match(statement):
            yield statement


def is_function(statement):
    head = re.split(r"(?<!operator)=(?!=)|\boperator\b", statement, maxsplit=1)[0]
    return "(" in head or "operator" in statement


def count(body):
    """(functions, data members). Functions that are defaulted or deleted do not count, nor do constructors' initialisers."""
    functions = members = 0
    for statement in statements(body):
        if re.search(r"=\s*(delete|default)$", statement) or statement.startswith(":") or re.match(r"^[),.\d]", statement):
            continue
        if is_function(statement):
            functions += 1
        elif re.match(r"^[\w:,&*\[\]. ]+( =.*)?$", statement) and " " in statement:
            members += 1
    return functions, members


def check_size(top, exceptions=None):
    exceptions = EXCEPTIONS if exceptions is None else exceptions
    for path in paths(top, *SOURCES):
        for line, name, body in classes(code((top / path).read_text())):
            functions, members = count(body)
            functions_max, members_max = FUNCTIONS_MAX, MEMBERS_MAX
            exception = exceptions.get(f"{path}:{name}")
            if exception:
                functions_max, members_max, _ = exception
            if functions > functions_max or members > members_max:
                yield (f"{path}:{line}: {name} has {functions} functions and {members} members; more than {functions_max} and "
                       f"{members_max} are two ideas")


def check_exceptions(top, exceptions=None):
    exceptions = EXCEPTIONS if exceptions is None else exceptions
    sizes = {f"{path}:{name}": count(body) for path in paths(top, *SOURCES) for _, name, body in classes(code((top / path).read_text()))}
    for name in sorted(exceptions):
        if name not in sizes:
            yield f"{name}: an exception for a class that does not exist"
        elif sizes[name][0] <= FUNCTIONS_MAX and sizes[name][1] <= MEMBERS_MAX:
            yield f"{name}: an exception for a class that needs none"
    if len(exceptions) > EXCEPTIONS_MAX:
        yield f"tests/house/classes.py: {len(exceptions)} exceptions, at most {EXCEPTIONS_MAX}"
    for name, (functions, members, _) in exceptions.items():
        if functions > EXCEPTION_FUNCTIONS_MAX or members > EXCEPTION_MEMBERS_MAX:
            yield f"tests/house/classes.py: {name}: no exception may have more than {EXCEPTION_FUNCTIONS_MAX} and {EXCEPTION_MEMBERS_MAX}"


def check_one_source(top):
    """A class's functions are defined in one .cpp, of those that include the class's header."""
    declared = {}
    for path in paths(top, ".hpp"):
        text = re.sub(r"\bstruct std::", "struct ", code((top / path).read_text()))
        for _, name, _ in classes(text):
            declared.setdefault(str(path), set()).add(name)
    defined = {}
    for path in paths(top, ".cpp"):
        text = code((top / path).read_text())
        names = set(re.findall(r"^[^\s#}][^;{}=]*?\b(\w+)::~?\w+\(", text, flags=re.M))
        for _, kind, header in includes(top, path):
            for name in declared.get(header, set()) & names if kind == '"' else ():
                defined.setdefault((header, name), set()).add(path)
    for (header, name), sources in sorted(defined.items()):
        if len(sources) > 1:
            yield f"{header}:1: {name} is defined in {', '.join(map(str, sorted(sources)))}; one class, one source"


if __name__ == "__main__":
    report(check_size, check_one_source, check_exceptions)
