#!/usr/bin/env python3
"""Checks the prose of the tree for words and phrases to avoid.

usage: check_words.py [FILE...]      checks these files (default: the whole tree, in about a second)
       check_words.py --self-test    checks the list on sample lines

Comments and messages are read out of context, one sentence at a time, often by readers whose first language is not English.
So prose uses short sentences and the field's own words. WORDS lists phrases that often need a second reading, and what to
write instead. If a phrase seems right in its place, reword the sentence anyway: the shorter version is usually clearer.

Prose is: comments and string literals of C++ and CUDA; comments, docstrings and strings of Python, shell and CMake; text of
Markdown outside code. A phrase is also found across a line break. Prints one line per finding and ends with exit code 1 if
there are any. This file is not checked: it has to contain the words.
"""
import os
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDERS = (".ci", "apam", "bench", "cmake", "data", "docs", "engine", "kernels", "nets", "scripts", "tests")

# Nouns only: "passes a signal" and "stores a decision" are verbs with an object.
UNITS = (
    "bits|bytes|kib|mib|gib|cycles|microseconds|milliseconds|seconds|ms|gb/s|gflop/s|images/s|flops|multiply-adds|images|rows|"
    "elements|channels|pixels|lines|registers|threads|steps|updates|gradients"
)

# Regular expression (lower case; a space is any white space within a paragraph) -> what to write instead.
WORDS = [
    (r"(?<!-)\balone\b", 'use "only", "just" or "by itself"'),
    (r"\bbeside\b", 'use "next to", "in addition to" or "compared with"'),
    (r"\bin vain\b", "name the effect: the result is discarded, the wait times out"),
    (r"\bbe had\b", 'use "available", "possible" or "get"'),
    (r"\bin truth\b", 'use "actually", or leave it out'),
    (r"\banew\b", 'use "again" or "from scratch"'),
    (r"\b(?:no|some|any|every)body\b", "name the function, thread, rank or user; or: is not used, is not read"),
    (r"\bwho(?:m|ever)?\b", 'use "which" or "that": threads, ranks and files are things; name people by role (users)'),
    (r"\btold\b", 'use "receives", "is notified", "is configured to", "reported"; for "told apart": "distinguished"'),
    # "stands for" (an abbreviation) and "stands in for" (a stub) are the usual words.
    (r"\b(?:stands?|stood|standing) (?:at|on|there|under|behind|before|after|below|above|between|next|against|in(?! for\b))\b",
     'use "is", "is listed", "is stored" or "compares with"'),
    (r"\bas (?:it|they) stands?\b", 'use "as written", or leave it out'),
    # For ranges these are the usual words: lies in [0, 1), between, within, inside, outside, beyond.
    (r"\b(?:lies?|lying)\b(?! (?:in [\[(0-9]|(?:between|within|inside|outside|beyond)\b))", 'use "is", "is stored" or "starts"'),
    (rf"\b(?:{UNITS}) an? [a-z]+", 'use "per": bytes per element; for a clause: bytes that a thread reads'),
    (r"\bcannot be meant\b", 'use "is invalid", or name the limit'),
    (r"\bby hand\b", 'use "manually", "explicitly" or "hand-written"'),
    (r"\bon the spot\b", 'use "inline", "in place" or "immediately"'),
    (r"\bawkward(?:ly)?\b", 'use "edge case", or name the property: odd sizes, tails, unaligned'),
    (r"\bhence\b", 'use "so" or "therefore"'),
    # A matrix has rows: "in a row of x" is fine.
    (r"\bin a row\b(?! (?:of|that|are|is)\b)", 'use "consecutive"'),
    (r"\bwhatever\b", 'use "any", "all" or "regardless of"'),
    (r"\b(?:the|its|their) like\b", 'use "similar", or list them'),
    (r"\bas it were\b", "leave it out"),
    (r"\bat hand\b", 'use "available", "ready" or "given"'),
    (r"\bwithout a word\b", 'use "silently"'),
    (r"\bgo(?:es)? on\b", 'use "continue"'),
]
SPACE = r"(?:[^\\S\\n]+|[^\\S\\n]*\\n[^\\S\\n]*)"
PATTERNS = [(re.compile(re.sub(" ", SPACE, pattern)), advice) for pattern, advice in WORDS]

# The prose of each language. Group `marker`: comment signs and quotes; group `code`: skipped as a whole.
STRING = r'"(?:\\.|[^"\\\n])*"'
LANGUAGES = {
    "c++": r"(?P<code>^\s*#\s*include[^\n]*|'(?:\\.|[^'\\\n])')|//[^\n]*|/\*.*?\*/|"
    + r'R"(?P<tag>[^\s(]*)\(.*?\)(?P=tag)"|' + STRING,
    "python": r'"""(?:\\.|[^\\])*?"""|\'\'\'(?:\\.|[^\\])*?\'\'\'|' + STRING + r"|'(?:\\.|[^'\\\n])*'|#[^\n]*",
    "shell": r"""(?P<code>\\.)|'[^']*'|"(?:\\.|[^"\\])*"|(?<![^\s;(])#[^\n]*""",
    "cmake": r'(?P<code>\\.)|#\[\[.*?\]\]|#[^\n]*|"(?:\\.|[^"\\])*"',
}
LANGUAGES = {language: re.compile(pattern, re.DOTALL | re.MULTILINE) for language, pattern in LANGUAGES.items()}
COMMENT_MARKERS = re.compile(r"^[ \t]*(?:///?<?|/\*+|\*(?!/)|#)|\*/$", re.MULTILINE)
NOT_TEXT = re.compile(r"\{[^{}\n]*\}|\\.")  # in strings: placeholders and escapes
MARKDOWN_CODE = re.compile(r"^ *```.*?^ *```|`[^`]*`|\]\([^)\s]*\)", re.DOTALL | re.MULTILINE)


def language_of(path):
    name = path.removesuffix(".in")
    if name.endswith((".h", ".cpp", ".cu", ".cuh")):
        return "c++"
    if name.endswith(".py"):
        return "python"
    if name.endswith(".sh") or name == ".ci/run":
        return "shell"
    if name.endswith((".cmake", "CMakeLists.txt")):
        return "cmake"
    return "markdown" if name.endswith(".md") else None


def blank(text, filler):
    """`text` with every visible character replaced, so that positions and lines stay the same."""
    return re.sub(r"\S", filler, text)


def prose_of(language, text):
    """`text` in lower case, with NUL for code and blanks for comment signs and quotes."""
    if language == "markdown":
        return MARKDOWN_CODE.sub(lambda match: blank(match[0], "\0"), text).lower()
    parts, end = [], 0
    for match in LANGUAGES[language].finditer(text):
        parts.append(blank(text[end : match.start()], "\0"))
        found, end = match[0], match.end()
        if match.groupdict().get("code"):
            parts.append(blank(found, "\0"))
        elif found.startswith(("//", "/*", "#")):
            parts.append(COMMENT_MARKERS.sub(lambda marker: blank(marker[0], " "), found))
        else:
            parts.append(NOT_TEXT.sub(lambda code: blank(code[0], "\0"), found).replace('"', " "))
    parts.append(blank(text[end:], "\0"))
    return "".join(parts).lower()


def findings_of(path, text):
    prose = prose_of(language_of(path), text)
    found = []
    for pattern, advice in PATTERNS:
        for match in pattern.finditer(prose):
            phrase = " ".join(match[0].split())
            found.append((prose.count("\n", 0, match.start()) + 1, f'"{phrase}": {advice}'))
    return [f"{path}:{line}: {finding}" for line, finding in sorted(found)]


def tree():
    """The files of the tree, as paths from its root."""
    yield from sorted(path.name for path in ROOT.iterdir() if path.is_file())
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            yield path.relative_to(ROOT).as_posix()


def check(names):
    count, findings = 0, []
    for name in names:
        path = ROOT / name
        if language_of(name) and path.resolve() != pathlib.Path(__file__).resolve():
            count += 1
            findings += findings_of(name, path.read_text(encoding="utf-8"))
    return count, findings


SELF_TEST = [  # file, text, number of findings
    ("a.h", "// Reads the header alone.\n", 1),
    ("a.h", "int alone = 1;  // the only one\n", 0),
    ("a.h", "/// A stand-alone program.\n", 0),
    ("a.h", '#include "beside.h"\n', 0),
    ("a.h", '// Time is to be\n// had.\n', 1),
    ("a.h", "int a;  // time is to be\nint b;  // had\n", 0),
    ("a.h", "// Ends with to be\n//\n// had begins a paragraph\n", 0),
    ("a.h", "/* Waits\n * in vain. */\n", 1),
    ("a.h", "void f();  ///< stands at the end\n", 1),
    ("a.cpp", 'fail("no time to be "\n     "had");\n', 1),
    ("a.cpp", 'f("to be", "had");\n', 0),
    ("a.cpp", 'f("\\nAnew");\n', 1),
    ("a.cpp", "f(R\"(who)\");\nconst char quote = '\"';  // hence\n", 2),
    ("a.cpp", 'const char* text = "a // b";  int beside;\n', 0),
    ("a.cpp", 'fmt::format("{alone}: {}", beside);\n', 0),
    ("a.cu", "// 4 bytes an element\n", 1),
    ("a.h", "// 4 bytes per element, for all threads and a barrier\n", 0),
    ("a.h", "// 12 ms a step\n", 1),
    ("a.h", "// FMA stands for fused multiply-add; a stub stands in for the clock.\n", 0),
    ("a.h", "// The value stands in the header, as it stands.\n", 2),
    ("a.h", "// The result lies in [0, 1) and lies between both.\n", 0),
    ("a.h", "// The panel lies in memory.\n", 1),
    ("a.h", "// It stores a decision and passes a signal on; 12 steps a run.\n", 1),
    ("a.h", "// In a row of x; three in a row.\n", 1),
    ("a.h", "// Threads whose rank is 0, and nobody else.\n", 1),
    ("a.h", "// A rank that is told to stop; likewise the likelihood of the like.\n", 2),
    ("a.cpp.in", "// Whatever.\n", 1),
    ("a.py", '"""A file.\n\nDone by hand.\n"""\n', 1),
    ("a.py", "alone = beside('x')  # in truth\n", 1),
    ("a.py", "print('awkward', \"it's anew\")\n", 2),
    ("a.sh", "# Cannot be meant.\nsay \"$# and ${text#alone} on the spot\"\nalone=$#\n", 2),
    ("a.sh", "echo it\\'s alone  # it's anew\n", 1),
    ("CMakeLists.txt", 'add_test(NAME alone)  # beside\nmessage("as it were")\n', 2),
    ("a.cmake", "#[[ somebody\n who ]]\n", 2),
    ("a.md", "Alone.\n\n```\nalone\n```\n`alone` and [a link](beside.md) *beside*\n", 2),
]


def self_test():
    wrong = []
    for name, text, expected in SELF_TEST:
        findings = findings_of(name, text)
        if len(findings) != expected:
            wrong.append(f"{name}: {text!r}: expected {expected} findings, got {findings}")
    position = findings_of("a.h", "#pragma once\n\n// Once\n// anew.\n")
    if position != ['a.h:4: "anew": use "again" or "from scratch"']:
        wrong.append(f"path, line, phrase and advice were expected, got {position}")
    return wrong


def main(arguments):
    if arguments == ["--self-test"]:
        wrong = self_test()
        print("\n".join(wrong) if wrong else f"check_words: {len(SELF_TEST)} samples checked")
        return 1 if wrong else 0
    if any(argument.startswith("-") for argument in arguments):
        print(__doc__, file=sys.stderr)
        return 2
    names = [os.path.relpath(argument, ROOT) for argument in arguments] or tree()
    try:
        count, findings = check(names)
    except OSError as error:
        sys.exit(f"check_words: {error.filename}: {error.strerror}")
    print("\n".join(findings) if findings else f"check_words: {count} files, no findings")
    return 1 if findings or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
