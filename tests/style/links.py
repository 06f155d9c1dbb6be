#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Links of the documentation: each leads to a file and a heading that are there, and what names a test to that test. The table of
modes (docs/modes.md) has every mode, and no cell without a test."""
import fnmatch
import functools
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))
INLINE = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
REFERENCE = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])+)\]\[([^\]]+)\]")
DEFINITION = re.compile(r"^\[([^\]]+)\]:\s*(\S+)", re.M)


def prose_of(path):
    """Without blocks of code, line by line as it was."""
    fenced, lines = False, []
    for line in path.read_text().splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        lines.append("" if fenced else line)
    return "\n".join(lines)


@functools.cache
def anchors_of(path):
    """As GitHub makes them of headings."""
    anchors, seen = set(), {}
    for title in re.findall(r"^#{1,6}\s+(.*?)\s*#*$", prose_of(path), re.M):
        title = INLINE.sub(r"\1", title)
        slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        count = seen[slug] = seen.get(slug, -1) + 1
        anchors.add(f"{slug}-{count}" if count else slug)
    return anchors


@functools.cache
def cases_of(module):
    """Names of a file's end-to-end cases."""
    __import__(module)
    import cases

    def home(function):
        return home(function.func) if isinstance(function, functools.partial) else function.__module__
    return {name for name, case in cases.CASES.items() if home(case.function) == module}


def fault_of(path, text, target):
    """What is wrong with one link; None: nothing."""
    if re.match(r"[a-z]+:", target):
        return None
    name, _, anchor = target.partition("#")
    to = (path.parent / name).resolve() if name else path
    if not to.exists():
        return f"{target}: there is no such file"
    if anchor and to.suffix == ".md" and anchor not in anchors_of(to):
        return f"{target}: there is no such heading"
    if to.parent != ROOT / "tests/e2e" or not to.name.startswith("test_"):
        return None
    for named in re.findall(r"`([^`]+)`", text):
        if named != to.name and not fnmatch.filter(cases_of(to.stem), named):
            return f"{target} has no case {named}"
    return None


def links_of(path):
    """(line, text, target) of every link."""
    prose = prose_of(path)
    definitions = dict(DEFINITION.findall(prose))
    for number, line in enumerate(prose.splitlines(), 1):
        bare = re.sub(r"`[^`]*`", lambda m: m.group(0).replace("[", "\0").replace("]", "\1"), line)
        for text, target in INLINE.findall(bare):
            yield number, text, target
        for text, name in REFERENCE.findall(bare):
            yield number, text, definitions.get(name, f"[{name}]")
        if found := DEFINITION.match(line):
            yield number, "", found.group(2)


def faults_of_modes(path):
    """Of the table of what is tested of each mode."""
    table = prose_of(path).partition("## What is tested of each mode")[2].partition("\n[f]")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("|")][2:]
    schema = (ROOT / "docs/xebec.schema.json").read_text()
    modes = next(json.loads(words) for words in re.findall(r'"enum":\s*(\[[^\]]*\])', schema) if '"dsr-l2"' in words)
    for mode in modes:
        if not any(row[0].startswith(f"`{mode}`") for row in rows):
            yield f"no row of mode {mode}"
    for row in rows:
        for cell in row[1:]:
            if not REFERENCE.search(cell):
                yield f"{row[0]}: a cell without a test"
        if len(row) != 5:
            yield f"{row[0]}: {len(row)} columns"


def main():
    pages = sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").glob("*.md"))
    found, count = [], 0
    for page in pages:
        for line, text, target in links_of(page):
            count += 1
            if fault := fault_of(page, text, target):
                found.append(f"{page.relative_to(ROOT)}:{line}: {fault}")
    modes = ROOT / "docs/modes.md"
    found += [f"{modes.relative_to(ROOT)}: {fault}" for fault in faults_of_modes(modes)]
    for fault in found:
        print(fault)
    if len(pages) < 20 or count < 100:
        print("hardly a link was found: this test would prove nothing")
        return 1
    print(f"{len(pages)} pages, {count} links, {len(found)} faults")
    return 1 if found else 0


sys.exit(main())
