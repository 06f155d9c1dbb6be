# SPDX-License-Identifier: BSD-2-Clause
"""browser.py DIRECTORY: a headless Chromium that does what it is told, and keeps its files there.

A JSON object a line on stdin, the answer a line on stdout: {"open": URL}   {"js": "return ...", "argument": ...}   {"log": 1}
{"keys": "..."} (to what has the focus)   {"shot": FILE, "width": W, "height": H, "dark": false}
"""
import json
import os
import sys

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

# As root in a namespace without a way out: no sandbox, and nothing asked of the world.
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--window-size=1280,900")


def start(profile):
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)


def obey(driver, order):
    if "open" in order:
        driver.get(order["open"])
        return driver.title
    if "js" in order:
        return driver.execute_script(order["js"], order.get("argument"))
    if "keys" in order:
        driver.switch_to.active_element.send_keys(order["keys"])
        return None
    if "log" in order:
        return [entry["message"] for entry in driver.get_log("browser")]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia",
                           {"features": [{"name": "prefers-color-scheme", "value": "dark" if order.get("dark") else "light"}]})
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                           {"width": order["width"], "height": order["height"], "deviceScaleFactor": 1, "mobile": False})
    return driver.save_screenshot(order["shot"])


def main():
    os.makedirs(sys.argv[1], exist_ok=True)
    os.environ["TMPDIR"] = sys.argv[1]
    driver = start(os.path.join(sys.argv[1], "profile"))
    try:
        print(json.dumps("ready"), flush=True)
        for line in sys.stdin:
            print(json.dumps(obey(driver, json.loads(line))), flush=True)
    finally:
        driver.quit()


if __name__ == "__main__":
    main()
