# SPDX-License-Identifier: BSD-2-Clause
"""packaging/monitoring: rules that promtool takes and that raise what they promise, and no metric or label that xebecd does not have
(docs/metrics.md, which the test of the list keeps true)."""
import json
import os
import re
import subprocess
import tempfile
import unittest

TREE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
FILES = os.path.join(TREE, "packaging", "monitoring")
SCRAPED = {"job", "instance"}  # what Prometheus adds


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as f:
        return f.read()


def metrics():
    """{name: labels}"""
    found = {}
    for line in read(TREE, "docs", "metrics.md").splitlines():
        if m := re.match(r"\| `(xebec_\w+)` \| (\w+) \| ([^|]*) \|", line):
            labels = set(re.findall(r"`(\w+)`", m[3])) | SCRAPED
            if m[2] == "histogram":
                found.update({m[1] + "_bucket": labels | {"le"}, m[1] + "_sum": labels, m[1] + "_count": labels})
            else:
                found[m[1]] = labels
    return found


def promtool(*args):
    done = subprocess.run(["promtool", *args], cwd=FILES, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def expressions(text):
    """Every PromQL expression of the dashboard."""
    def walk(node):
        if isinstance(node, dict):
            for key, value in node.items():
                if key in ("expr", "query", "definition") and isinstance(value, str):
                    yield value
                yield from walk(value)
        elif isinstance(node, list):
            for value in node:
                yield from walk(value)
    return list(walk(json.loads(text)))


class Monitoring(unittest.TestCase):
    def test_rules_pass_promtool(self):
        status, said = promtool("check", "rules", "xebec.rules.yml")
        self.assertEqual(status, 0, said)

    def test_every_alert_is_raised_by_what_it_is_about(self):
        status, said = promtool("test", "rules", "xebec.rules.test.yml")
        self.assertEqual(status, 0, said)
        alerts = re.findall(r"alert: (\w+)", read(FILES, "xebec.rules.yml"))
        tested = set(re.findall(r'alertname="(\w+)"', read(FILES, "xebec.rules.test.yml")))
        self.assertGreater(len(alerts), 10)
        self.assertEqual(set(alerts) - tested, set(), "alerts that no test raises")

    def test_dashboard_and_rules_name_metrics_that_exist_with_labels_they_have(self):
        known = metrics()
        self.assertGreater(len(known), 50)
        rules = read(FILES, "xebec.rules.yml")
        for text in [rules, *expressions(read(FILES, "grafana-xebec.json"))]:
            for name, selector in re.findall(r"(?<![\w:])(xebec_\w+)(?:\{([^}]*)\})?", text):
                self.assertIn(name, known, text)
                for label in re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"', selector):
                    self.assertIn(label, known[name], f"{name} has no such label: {text}")

    def test_dashboard_expressions_are_promql(self):
        """As rules they pass through the parser of Prometheus."""
        found = {e for e in expressions(read(FILES, "grafana-xebec.json")) if "xebec_" in e and not e.startswith("label_values(")}
        self.assertGreater(len(found), 30)
        rules = {"groups": [{"name": "dashboard", "rules": [
            {"record": f"x{i}", "expr": e.replace("$__rate_interval", "1m")} for i, e in enumerate(sorted(found))]}]}
        with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
            json.dump(rules, file)
            file.flush()
            status, said = promtool("check", "rules", file.name)
        self.assertEqual(status, 0, said)

    def test_dashboard_has_no_panel_on_another(self):
        panels = json.loads(read(FILES, "grafana-xebec.json"))["panels"]
        self.assertEqual(len({p["id"] for p in panels}), len(panels))
        taken = set()
        for p in panels:
            g = p["gridPos"]
            cells = {(x, y) for x in range(g["x"], g["x"] + g["w"]) for y in range(g["y"], g["y"] + g["h"])}
            self.assertFalse(cells & taken, p["title"])
            self.assertLessEqual(g["x"] + g["w"], 24)
            taken |= cells


if __name__ == "__main__":
    unittest.main()
