"""Mutants of a C file: one small change each, where a test should notice.

make(text) yields them.  The lines stay what they are, so that a mutant's
object differs from the original's only where its behaviour does.
"""
import re
from dataclasses import dataclass

TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*|/\*.*?\*/)
      | (?P<directive>(?<![^\n])[ \t]*\#(?:[^\n\\]|\\.)*)
      | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<word>[A-Za-z_]\w*)
      | (?P<number>\.?\d(?:[eEpP][+-]|[\w.])*)
      | (?P<mark><<=|>>=|\.\.\.|->|\+\+|--|&&|\|\||[-+*/%&|^=!<>]=|<<|>>|.)""",
    re.VERBOSE | re.DOTALL,
)

COMPLEMENT = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
BOUNDARY = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}
OTHER = {"&&": "||", "||": "&&", "+=": "-=", "-=": "+=", "|=": "=", "&=": "="}

TYPES = set(
    "struct enum union static const int unsigned char void bool size_t ssize_t double "
    "long short float uint8_t uint32_t uint64_t int64_t sqlite3_stmt _Static_assert".split()
)
# Statements that no test should depend on: what is logged, what is our own check of
# ourselves, points for the fault tests; and locks, which are ThreadSanitizer's to judge.
QUIET = re.compile(
    r"(log_(error|warning|info|debug)|assert|FAILPOINT|"
    r"pthread_(mutex|cond|condattr)_(lock|unlock|init|destroy|setclock))$"
)


@dataclass(frozen=True)
class Mutant:
    function: str
    kind: str  # what was done: "negate", "< to <=", "delete", ...
    line: int  # from 1
    source: str  # that line, without its margins
    nth: int  # of the function's lines that read the same; from 1
    column: int  # in that line
    start: int  # what it replaces in the file
    end: int
    new: str

    def apply(self, text):
        return text[: self.start] + self.new + text[self.end :]


@dataclass
class Token:
    kind: str
    text: str
    start: int

    @property
    def end(self):
        return self.start + len(self.text)


def read(text):
    tokens = [Token(m.lastgroup, m.group(), m.start()) for m in TOKEN.finditer(text)]
    return [t for t in tokens if t.kind not in ("space", "directive")]


def matching(tokens, i, step=1):
    """Where the bracket at i is closed (or, with step -1, opened)."""
    depth = 0
    while True:
        if tokens[i].text in "([{" and tokens[i].kind == "mark":
            depth += 1
        elif tokens[i].text in ")]}" and tokens[i].kind == "mark":
            depth -= 1
        if depth == 0:
            return i
        i += step


def functions(tokens):
    """(name, its type's words, first and last token of its body)."""
    i = 0
    head = 0  # where the declaration began
    while i < len(tokens):
        if tokens[i].text == "{":
            close = matching(tokens, i)
            if tokens[i - 1].text == ")":
                name = matching(tokens, i - 1, -1) - 1
                yield tokens[name].text, [t.text for t in tokens[head:name]], i, close
            i = head = close
        if tokens[i].text in (";", "}"):
            head = i + 1
        i += 1


def comparisons(tokens, first, last):
    return [i for i in range(first, last) if tokens[i].text in COMPLEMENT]


class Body:
    """The mutants of one function."""

    def __init__(self, text, tokens, function):
        self.text = text
        self.tokens = tokens
        self.name, self.type, self.first, self.last = function
        self.found = []
        self.quiet = []  # where no mutants are made: (start, end)

    def span(self, first, last):
        return self.text[self.tokens[first].start : self.tokens[last].end]

    def add(self, kind, first, last, new):
        start = self.tokens[first].start
        line = self.text.count("\n", 0, start)
        lines = [words.strip() for words in self.text.split("\n")]
        begin = self.text.count("\n", 0, self.tokens[self.first].start)
        nth = lines[begin : line + 1].count(lines[line])
        column = start - self.text.rfind("\n", 0, start)
        # The lines after it stay where they are.
        new += "\n" * (self.span(first, last).count("\n") - new.count("\n"))
        end = self.tokens[last].end
        self.found.append(
            Mutant(self.name, kind, line + 1, lines[line], nth, column, start, end, new)
        )

    def negate(self, first, last):
        """A condition, its brackets not included."""
        if last < first:
            return
        marks = [t.text for t in self.tokens[first : last + 1] if t.kind == "mark"]
        plain = not any(m in ("&&", "||", "?", "=") for m in marks)
        if plain and len(comparisons(self.tokens, first, last)) == 1:
            return  # the comparison's own complement is the same
        self.add("negate", first, last, "!(" + self.span(first, last) + ")")

    def conditions(self):
        tokens = self.tokens
        for i in range(self.first, self.last):
            if tokens[i].text in ("if", "while") and tokens[i + 1].text == "(":
                self.negate(i + 2, matching(tokens, i + 1) - 1)
            elif tokens[i].text == "for":
                close = matching(tokens, i + 1)
                ends = [k for k in range(i, close) if tokens[k].text == ";"]
                if len(ends) == 2:
                    self.negate(ends[0] + 1, ends[1] - 1)

    def operators(self):
        tokens = self.tokens
        for i in range(self.first, self.last):
            token = tokens[i]
            if token.kind != "mark":
                continue
            for table in (COMPLEMENT, BOUNDARY, OTHER):
                if token.text in table:
                    self.add(f"{token.text} to {table[token.text]}", i, i, table[token.text])
            before = tokens[i - 1]
            is_binary = before.kind in ("word", "number") or before.text in (")", "]")
            if token.text in ("+", "-") and is_binary and before.text != "return":
                new = "-" if token.text == "+" else "+"
                self.add(f"{token.text} to {new}", i, i, new)
            if token.text == "!":
                self.add("drop !", i, i, "")

    def statements(self):
        tokens = self.tokens
        i = self.first + 1
        while i < self.last:
            token = tokens[i]
            if token.text in ("if", "while", "for", "switch") or (
                token.kind == "word" and token.text.startswith("DL_FOREACH")
            ):
                i = matching(tokens, i + 1) + 1
            elif token.text == "case":
                while tokens[i].text != ":":
                    i += 1
                i += 1
            elif token.text in ("{", "}", ";", "else", "do"):
                i += 1
            elif token.text == "default":
                i += 2
            else:
                end = i
                while tokens[end].text != ";":
                    if tokens[end].text in "([{":
                        end = matching(tokens, end)
                    end += 1
                self.statement(i, end)
                i = end + 1

    def statement(self, first, end):
        tokens = self.tokens
        word, after = tokens[first], tokens[first + 1]
        if word.text == "return":
            self.returned(first, end)
        elif word.text in ("break", "continue"):
            self.add(f"delete {word.text}", first, end, ";")
        elif QUIET.match(word.text):
            self.quiet.append((word.start, tokens[end].end))
        elif word.text in TYPES or word.text == "goto":
            return
        elif word.kind == "word" and (after.kind == "word" or after.text == "*"):
            return  # a declaration
        elif self.span(first, first + 2) == "(void)":
            return
        else:
            self.add("delete", first, end, ";")

    def returned(self, first, end):
        if end == first + 1:
            self.add("delete return", first, end, ";")
            return
        what = self.span(first + 1, end - 1)
        if what in ("true", "false"):
            new = "false" if what == "true" else "true"
        elif "bool" in self.type and "*" not in self.type:
            new = f"!({what})"
        elif "*" in self.type:
            new = "NULL"
        elif "struct" in self.type:
            return
        elif what in ("0", "SQLITE_OK", "POOLITE_OK"):
            new = "-1"
        else:
            new = "0"
        if new != what:
            self.add(f"return {new if new in ('0', '-1', 'NULL') else 'the opposite'}",
                     first, end, f"return {new};")


def make(text, only=None):
    """All mutants of a file's text, or of the functions named, in the file's order."""
    tokens = read(text)
    found = []
    for function in functions(tokens):
        if only and function[0] not in only:
            continue
        body = Body(text, tokens, function)
        body.conditions()
        body.operators()
        body.statements()
        found += [
            mutant
            for mutant in body.found
            if not any(start <= mutant.start < end for start, end in body.quiet)
        ]
    return sorted(found, key=lambda mutant: (mutant.start, mutant.end, mutant.kind))
