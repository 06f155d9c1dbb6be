# SPDX-License-Identifier: BSD-2-Clause
"""The rows of scripts/bench for people: a table (also as Markdown), or one self-contained page of HTML with bars in SVG, in groups."""
import html
import json
import os
import platform
import sys

BAR, THICK = 320, 9  # pixels


def number(value):
    return '-' if value is None else f'{value:.4g}'


def share(value):
    """Rows of the core and of the daemon have none: nobody looked."""
    return '-' if value is None else f'{value:.0%}'


def verdict(row):
    return {True: 'met', False: 'MISSED', None: ''}[row['met']]


def cells(row, name):
    return [name, number(row['ours']), number(row['peer']), row['unit'], number(row['ratio']),
            f"{row['spread']:.0%}", share(row.get('stolen')), number(row['target']), verdict(row)]


HEADINGS = ['bench', 'ours', 'peer', 'unit', 'ratio', 'spread', 'stolen', 'target', '']


def print_table(rows):
    lines = [HEADINGS] + [cells(row, row['bench']) for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADINGS))]
    for line in lines:
        print('  '.join(cell.ljust(width) if i in (0, 3, 8) else cell.rjust(width)
                        for i, (cell, width) in enumerate(zip(line, widths))).rstrip())


def groups(rows):
    """{group: rows}: a name is GROUP/.../ROW."""
    found = {}
    for row in rows:
        found.setdefault(row['bench'].rpartition('/')[0], []).append(row)
    return found


def bars(row, most):
    """Ours above the peer's, on one scale for all rows of a group that have the same unit."""
    parts = []
    for y, key, colour in ((0, 'ours', '#2a6'), (THICK + 2, 'peer', '#999')):
        if row[key] is not None and most > 0:
            parts.append(f'<rect x="0" y="{y}" width="{BAR * row[key] / most:.1f}" height="{THICK}" fill="{colour}">'
                         f'<title>{key} {number(row[key])} {html.escape(row["unit"])}</title></rect>')
    return f'<svg width="{BAR}" height="{2 * THICK + 2}" role="img" aria-label="ours and peer">{"".join(parts)}</svg>'


def print_group(name, rows):
    most = {}
    for row in rows:
        most[row['unit']] = max(most.get(row['unit'], 0), row['ours'], row['peer'] or 0)
    print(f'<h2>{html.escape(name)}</h2><table><tr>')
    print(''.join(f'<th>{heading}</th>' for heading in HEADINGS) + '<th></th></tr>')
    for row in rows:
        kind = {True: 'met', False: 'missed', None: ''}[row['met']]
        print(f'<tr class="{kind}">'
              + ''.join(f'<td>{html.escape(cell)}</td>' for cell in cells(row, row['bench'].rpartition('/')[2]))
              + f'<td>{bars(row, most[row["unit"]])}</td></tr>')
    print('</table>')


def print_html(rows):
    print('<!doctype html><html lang="en"><meta charset="utf-8"><title>Xebec benchmarks</title><style>'
          'body{font:14px sans-serif;margin:2em}td,th{padding:.2em .8em;text-align:right}td:first-child{text-align:left}'
          'table{border-collapse:collapse}tr+tr{border-top:1px solid #ddd}.met td:nth-child(9){color:#174}'
          '.missed td:nth-child(9){color:#b20;font-weight:bold}</style><h1>Xebec benchmarks</h1>')
    judged = [row for row in rows if row['met'] is not None]
    print(f'<p>Linux {html.escape(platform.release())}, {html.escape(platform.machine())}, {os.cpu_count()} CPUs. '
          f'{sum(row["met"] for row in judged)} of {len(judged)} targets met. Green: ours, grey: the peer; medians, and '
          'the larger of the two spreads (max - min) / median. docs/benchmarks.md says what each row is.</p>')
    for name, members in groups(rows).items():
        print_group(name, members)
    print('</html>')


def print_markdown(rows):
    """For docs/benchmarks.md: every row, but a row's CPU row (its name and -cpu) is folded into it."""
    names = {row['bench'] for row in rows}
    cpu = {row['bench'].removesuffix('-cpu'): row for row in rows
           if row['bench'].endswith('-cpu') and row['bench'].removesuffix('-cpu') in names}
    print('| bench | ours | peer | unit | ratio | spread | stolen | target | | CPU ratio |\n|---|---|---|---|---|---|---|---|---|---|')
    for row in rows:
        if row in cpu.values():
            continue
        beside = cpu.get(row['bench'])
        print('| ' + ' | '.join(cells(row, row['bench']) + [number(beside['ratio']) if beside else '']) + ' |')


def main():
    kind, path = sys.argv[1:]
    with open(path, encoding='utf-8') as lines:
        rows = [json.loads(line) for line in lines]
    {'table': print_table, 'html': print_html, 'markdown': print_markdown}[kind](rows)


main()
