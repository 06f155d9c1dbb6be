#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""make.py PROGRAMS-DIR OUT-DIR: the manual pages. Prose is in the *.in files here; what options, verbs and keys there are comes
from the programs' own grammar and from docs/config.md, whose tables a test holds against the reader of the configuration."""
import json
import pathlib
import re
import subprocess
import sys
import textwrap

HERE = pathlib.Path(__file__).resolve().parent
PAGES = ("xebec.1", "xebec.json.5", "xebecd.8")


def escape(text):
    """For a text line of mdoc(7)."""
    out = text.replace("\\", "\\e")
    return "".join(c if ord(c) < 128 else f"\\[u{ord(c):04X}]" for c in out)


def inline(text):
    """Markdown's inline marks as font changes; a link is its text."""
    text = re.sub(r"<br */?>", " ", text)
    text = re.sub(r"\[([^\]]+)\]\(([^)\s]+)\)", r"\1", text)
    parts = re.split(r"(``.+?``|`[^`]+`)", text)
    out = []
    for part in parts:
        if part.startswith("`"):
            out.append("\\fB" + escape(part.strip("`")) + "\\fR")
        else:
            out.append(re.sub(r"\*\*(.+?)\*\*", r"\\fB\1\\fR", escape(part)))
    return "".join(out)


def prose(text):
    """Wrapped, a sentence a line, no line that roff would take for a request."""
    lines = []
    for sentence in re.split(r"(?<=[^ .][.!?]) +(?=[A-Z\\(])", text.strip()):
        lines += textwrap.wrap(sentence, 78, break_long_words=False, break_on_hyphens=False)
    return [("\\&" + line) if line[:1] in ".'" else line for line in lines]


def term(text):
    """An .It line: words that mdoc would take for macros or punctuation are shielded."""
    return ".It " + " ".join("\\&" + word for word in text.split(" "))


def option_items(options):
    lines = []
    for o in options:
        value = o["value"].split(":")[0]
        choices = re.search(r"\{(.*)\}", o["value"])
        shown = choices.group(1).replace(",", "|") if choices else value
        names = " , ".join("Fl " + name[1:].replace("-", "\\-") for name in o["names"] if name != "-->")
        lines.append(f".It {names}" + (f" Ar {shown}" if o["value"] else ""))
        text = inline(o["what"][:1].upper() + o["what"][1:])
        if o["default"] not in ("", "false", "[]", "\"\""):
            text += f" (default: {escape(o['default'])})"
        if o["environment"]:
            text += f"; also the environment's {o['environment']}"
        lines += prose(text + ".")
    return lines


def listing(items, width="Ds"):
    return [f".Bl -tag -width {width}", *items, ".El"] if items else []


def verb_lines(verb, path):
    """A leaf and its arguments; an object gives its verbs."""
    here = [*path, verb["name"]]
    if verb["verbs"]:
        return [line for v in verb["verbs"] for line in verb_lines(v, here)]
    arguments = []
    for a in verb["arguments"]:
        name = a["names"][0] + (" ..." if a["many"] else "")
        arguments.append(name if a["required"] else f"[{name}]")
    own = [o for o in verb["options"] if "--help" not in o["names"] and o["names"] != ["-->"]]
    required = [o for o in own if o["required"]]
    line = "Ic " + " ".join(here)
    for o in required:
        line += f" Fl {o['names'][-1][1:].replace('-', chr(92) + '-')} Ar value"
    if arguments:
        line += " Ar " + " ".join("\\&" + w for a in arguments for w in a.split(" "))
    text = inline(verb["what"])
    if verb["aliases"]:
        text += " (also: " + ", ".join(sorted(verb["aliases"])) + ")"
    lines = [".It " + line, *prose(text + ".")]
    explained = [f"{a['names'][0]}: {a['what']}." for a in verb["arguments"] if a["what"]]
    for text in explained:
        lines += prose(inline(text))
    return lines + listing(option_items(own))


def verbs(grammar):
    lines = []
    for verb in grammar["verbs"]:
        lines += [f".Ss {verb['name']}", *prose(inline(verb["what"]) + "."), *listing(verb_lines(verb, []))]
    return lines


def cells(row):
    return [c.strip().replace("\\|", "|") for c in re.split(r"(?<!\\)\|", row.strip().strip("|"))]


def keys(markdown):
    """The sections of docs/config.md from the first table on: headings, paragraphs, tables and examples."""
    lines, table, code, paragraph = [], None, False, []

    def flush():
        nonlocal table
        if paragraph:
            if lines and not lines[-1].startswith(".S"):
                lines.append(".Pp")
            lines.extend(prose(inline(" ".join(paragraph))))
            paragraph.clear()
        if table:
            lines.extend(listing(table))
        table = None

    for row in markdown.splitlines():
        if row.startswith("```"):
            flush()
            code = not code
            lines.append(".Bd -literal -offset indent" if code else ".Ed")
        elif code:
            lines.append(("\\&" if row[:1] in ".'" else "") + escape(row) if row else "")
        elif row.startswith("#"):
            flush()
            lines.append(".Ss " + row.lstrip("# ").replace("`", ""))
        elif row.startswith("|"):
            c = cells(row)
            if table is None:
                flush()
                head, table = c, []
            elif not set(row) <= set("|-: "):
                table.append(term(re.sub(r"`", "", c[0])))
                named = [(h, v) for h, v in zip(head[1:], c[1:]) if v]
                short = [v if h == "type" else f"{h}: {v}" for h, v in named if h not in ("what it does", "")]
                long = [v[:1].upper() + v[1:] for h, v in named if h in ("what it does", "")]
                text = " ".join(([f"({'; '.join(short)})."] if short else []) + long)
                table.extend(prose(inline(text)) or ["\\&"])
        elif row.startswith(("- ", "* ")):
            flush()
            paragraph.append(row[2:])
        elif not row.strip():
            flush()
        else:
            paragraph.append(row.strip())
    flush()
    return lines


def grammar_of(*command):
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main():
    programs, out = map(pathlib.Path, sys.argv[1:3])
    tool, daemon = grammar_of(programs / "xebec", "grammar"), grammar_of(programs / "xebecd", "--grammar")
    config = (HERE.parent / "config.md").read_text(encoding="utf-8")
    parts = {
        "VERBS": verbs(tool),
        "OPTIONS": listing(option_items(tool["options"])),
        "DAEMON_OPTIONS": listing(option_items(daemon["options"])),
        "KEYS": keys(config[config.index("## Errors"):]),
    }
    out.mkdir(parents=True, exist_ok=True)
    for page in PAGES:
        text = (HERE / (page + ".in")).read_text(encoding="utf-8")
        for name, lines in parts.items():
            text = text.replace(f"@{name}@\n", "\n".join(lines) + "\n")
        (out / page).write_text(text, encoding="utf-8")


main()
