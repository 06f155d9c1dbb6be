# SPDX-License-Identifier: BSD-2-Clause
"""The Debian package, in a fresh system of this machine's release: installed, upgraded, removed, purged. Needs root, a Debian
mirror, debootstrap and lintian; takes some minutes.

Usage: package_test.py BUILD-DIRECTORY [unittest arguments]
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

BUILD = pathlib.Path(".")
ROOT = pathlib.Path(__file__).resolve().parents[2]
SKIPPED = 77
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
NEEDED = ("debootstrap", "lintian", "dpkg-shlibdeps", "dpkg-deb")


def run(*command, check=True, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=900, check=False, **options)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def mirror():
    """(codename, URI) that this machine's apt has Debian's main archive from; None: it has none."""
    codename = re.search(r"^VERSION_CODENAME=(\w+)", pathlib.Path("/etc/os-release").read_text(encoding="utf-8"), re.M).group(1)
    listed = run("apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(COMPONENT)", "Created-By: Packages", check=False).stdout
    for line in listed.splitlines():
        uri, release, component = line.split()
        if release == codename and component == "main":
            return codename, uri
    return None


def why_not():
    if os.geteuid() != 0:
        return "a chroot needs root"
    missing = [p for p in NEEDED if shutil.which(p) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (scripts/setup --package)"
    return None if mirror() else "apt knows no Debian mirror"


class PackageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.package = pathlib.Path(sorted((BUILD / "packages").glob("xebec_*.deb"))[-1])
        cls.system = pathlib.Path(tempfile.mkdtemp(prefix="xebec-package-"))
        cls.addClassCleanup(shutil.rmtree, cls.system, ignore_errors=True)
        codename, uri = mirror()
        depends = run("dpkg-deb", "-f", cls.package, "Depends").stdout
        names = [re.split(r"[ (|]", d.strip())[0] for d in depends.split(",")]
        run("debootstrap", "--variant=minbase", codename, cls.system, uri)
        shutil.copy("/etc/resolv.conf", cls.system / "etc/resolv.conf")
        # apt and not debootstrap: shlibdeps names virtual packages, too (libspdlog1.10-fmt9).
        for command in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends", *names]):
            run("chroot", cls.system, "apt-get", *command, env=ENVIRONMENT)

    def inside(self, *command, check=True):
        return run("chroot", self.system, *command, check=check, env=ENVIRONMENT)

    def install(self, package):
        shutil.copy(package, self.system / "root" / "xebec.deb")
        self.inside("dpkg", "-i", "/root/xebec.deb")

    def files(self):
        found = set()
        for place in ("etc", "usr", "lib", "var/lib/xebec", "run", "opt"):
            for directory, names, files in os.walk(self.system / place):
                found.update(os.path.join(directory, n) for n in names + files)
        return {f for f in found if not re.search(r"/etc/(passwd|group|shadow|gshadow|subuid|subgid|\.pwd\.lock)-?$|/__pycache__", f)}

    def newer(self):
        """The same package with a higher version."""
        tree = self.system / "root" / "tree"
        run("dpkg-deb", "-R", self.package, tree)
        control = tree / "DEBIAN" / "control"
        control.write_text(re.sub(r"^Version: .*", "Version: 99.0", control.read_text(), flags=re.M))
        newer = self.system / "root" / "newer.deb"
        run("dpkg-deb", "--root-owner-group", "-b", tree, newer)
        shutil.rmtree(tree)
        return newer

    def test_lives_and_leaves_as_a_package_should(self):
        before = self.files()
        self.install(self.package)

        config = self.system / "etc/xebec/xebec.json"
        self.assertIn("xebec", self.inside("getent", "passwd", "xebec").stdout)
        self.inside("getent", "group", "xebec-admin")
        owner = self.inside("stat", "-c", "%U:%G %a", "/etc/xebec/xebec.json").stdout.strip()
        self.assertEqual(owner, "root:xebec 640")
        self.assertRegex(self.inside("xebec", "--version").stdout, r"^xebec \d")
        self.assertRegex(self.inside("xebecd", "--version").stdout, r"^xebecd \d")
        self.inside("xebec", "config", "check", "/etc/xebec/xebec.json")
        for path in ("usr/share/man/man8/xebecd.8.gz", "usr/share/man/man1/xebec.1.gz", "usr/share/man/man5/xebec.json.5.gz",
                     "usr/share/bash-completion/completions/xebec", "usr/share/zsh/vendor-completions/_xebec",
                     "usr/share/fish/vendor_completions.d/xebec.fish", "usr/share/doc/xebec/copyright",
                     "usr/share/doc/xebec/xebec.schema.json", "lib/systemd/system/xebecd.service",
                     "lib/systemd/system/xebecd@.service", "usr/lib/sysusers.d/xebec.conf"):
            self.assertTrue((self.system / path).is_file(), path)
        self.assertEqual(self.inside("dpkg", "--verify", "xebec").stdout, "")

        config.write_text('{ "version": 1, "instance": "mine" }\n', encoding="utf-8")
        self.install(self.newer())
        self.assertIn("mine", config.read_text(encoding="utf-8"), "an upgrade keeps what was edited")
        self.assertEqual(self.inside("stat", "-c", "%U:%G %a", "/etc/xebec/xebec.json").stdout.strip(), owner)

        (self.system / "var/lib/xebec").mkdir(exist_ok=True)
        (self.system / "var/lib/xebec/hash_seed").write_bytes(bytes(16))
        self.inside("dpkg", "-r", "xebec")
        self.assertTrue(config.is_file(), "a removal keeps the configuration")
        self.assertFalse((self.system / "usr/sbin/xebecd").exists())
        self.inside("dpkg", "-P", "xebec")
        self.assertEqual(sorted(self.files() - before), [], "left by purge")
        self.assertEqual(sorted(before - self.files()), [], "taken by purge")

    def test_lintian_finds_no_fault(self):
        done = run("lintian", "--fail-on=error,warning", self.package, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    BUILD = pathlib.Path(sys.argv.pop(1)).resolve()
    if reason := why_not():
        print(f"SKIPPED: {reason}")
        sys.exit(SKIPPED)
    run(ROOT / "scripts" / "package", "--build", BUILD, cwd=ROOT)
    unittest.main()
