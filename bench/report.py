# SPDX-License-Identifier: BSD-2-Clause
"""The rows of scripts/bench for people: a table, or one self-contained page of HTML with bars in SVG."""
import html
import json
import platform
import sys


def number(value):
    return '-' if value is None else f'{value:.4g}'


def verdict(row):
    return {True: 'met', False: 'MISSED', None: ''}[row['met']]


def cells(row):
    return [row['bench'], number(row['ours']), number(row['peer']), row['unit'], number(row['ratio']),
            f"{row['spread']:.0%}", number(row['target']), verdict(row)]


HEADINGS = ['bench', 'ours', 'peer', 'unit', 'ratio', 'spread', 'target', '']


def print_table(rows):
    lines = [HEADINGS] + [cells(row) for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADINGS))]
    for line in lines:
        print('  '.join(cell.ljust(width) if i in (0, 3, 7) else cell.rjust(width)
                        for i, (cell, width) in enumerate(zip(line, widths))).rstrip())


def bars(row):
    """Ours above the peer's, on one scale."""
    if row['peer'] is None:
        return ''
    most = max(row['ours'], row['peer'])
    parts = []
    for y, key, colour in ((0, 'ours', '#2a6'), (9, 'peer', '#999')):
        parts.append(f'<rect x="0" y="{y}" width="{200 * row[key] / most:.1f}" height="7" fill="{colour}"/>')
    return f'<svg width="200" height="16" role="img" aria-label="ours and peer">{"".join(parts)}</svg>'


def print_html(rows):
    print('<!doctype html><html lang="en"><meta charset="utf-8"><title>Xebec benchmarks</title><style>'
          'body{font:14px sans-serif;margin:2em}td,th{padding:.2em .8em;text-align:right}td:first-child{text-align:left}'
          '</style><h1>Xebec benchmarks</h1>')
    print(f'<p>Linux {html.escape(platform.release())}, {html.escape(platform.machine())}. Green: ours, grey: the peer; '
          'medians, and the larger of the two spreads (max - min) / median.</p><table><tr>')
    print(''.join(f'<th>{heading}</th>' for heading in HEADINGS) + '<th></th></tr>')
    for row in rows:
        print('<tr>' + ''.join(f'<td>{html.escape(cell)}</td>' for cell in cells(row)) + f'<td>{bars(row)}</td></tr>')
    print('</table></html>')


def main():
    kind, path = sys.argv[1:]
    with open(path, encoding='utf-8') as lines:
        rows = [json.loads(line) for line in lines]
    {'table': print_table, 'html': print_html}[kind](rows)


main()
