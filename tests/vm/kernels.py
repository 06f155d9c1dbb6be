# SPDX-License-Identifier: BSD-2-Clause
"""Debian's kernels: found, fetched and unpacked without installing anything.

apt does all of it, with a sources list and a state of its own under build/vm: the address is the machine's own Debian mirror,
the suites are ours. What was fetched once is used again; without a mirror what is there has to do.
"""
import os
import re
import shutil
import subprocess
import time

SUITES = ("bullseye", "bookworm", "bookworm-backports", "trixie", "trixie-backports", "sid")
META = "linux-image-cloud-amd64"  # the kernel for virtual machines: a third of the size, and all that this suite needs
NAMES = ("newest", "stable", "oldest", "too-old")
OLDEST_SERVED = (5, 12)  # bpf/shim.bpf.c says what is of it
TOO_OLD_BEFORE = (5, 11)  # what the preflight refuses by name
LISTS_KEEP_S = 7 * 24 * 3600


class NoKernel(Exception):
    """A kernel cannot be had, and why. The lane is skipped, not failed: the machine has no mirror, or the mirror no kernel."""


def mirror():
    """The URI that this machine's apt has Debian's main archive from."""
    codename = ""
    with open("/etc/os-release", encoding="utf-8") as f:
        for line in f:
            if line.startswith("VERSION_CODENAME="):
                codename = line.strip().partition("=")[2]
    done = subprocess.run(["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(COMPONENT)", "Created-By: Packages"],
                          capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        uri, release, component = line.rsplit(" ", 2)
        if release == codename and component == "main" and "security" not in uri:
            return uri
    raise NoKernel(f"apt has no source of Debian {codename or '(no VERSION_CODENAME in /etc/os-release)'}, component main")


class Kernels:
    """The kernels that the mirror has, and those that are in the cache."""

    def __init__(self, directory):
        self.directory = os.path.join(directory, "kernels")
        self.apt = os.path.join(directory, "apt")
        for path in (self.directory, os.path.join(self.apt, "lists", "partial"),
                     os.path.join(self.apt, "cache", "archives", "partial")):
            os.makedirs(path, exist_ok=True)
        self.sources = os.path.join(self.apt, "sources.list")

    def _apt(self, *command, check=True, cwd=None):
        options = {"Dir::Etc::sourcelist": self.sources, "Dir::Etc::sourceparts": "-",
                   "Dir::State::lists": os.path.join(self.apt, "lists"), "Dir::Cache": os.path.join(self.apt, "cache"),
                   # Containers often have apt keep no cache; without one each call parses 80 MB of lists.
                   "Dir::Cache::pkgcache": "pkgcache.bin", "Dir::Cache::srcpkgcache": "",
                   "APT::Sandbox::User": "root", "Acquire::Languages": "none", "Acquire::Retries": "2",
                   "Acquire::http::Timeout": "20", "Acquire::https::Timeout": "20"}
        flags = [arg for key, value in options.items() for arg in ("-o", f"{key}={value}")]
        done = subprocess.run([command[0], *flags, *command[1:]], cwd=cwd, capture_output=True, text=True, check=False)
        if check and done.returncode != 0:
            raise NoKernel(f"{' '.join(command)}: {done.stderr.strip().splitlines()[-1] if done.stderr else done.returncode}")
        return done.stdout

    def update(self):
        """Reads the package lists, at most once a week. Some suites may be missing: what is there counts."""
        stamp = os.path.join(self.apt, "updated")
        if os.path.exists(stamp) and time.time() - os.path.getmtime(stamp) < LISTS_KEEP_S:
            return
        keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
        uri = mirror()
        with open(self.sources, "w", encoding="utf-8") as f:
            f.writelines(f"deb [signed-by={keyring}] {uri} {suite} main\n" for suite in SUITES)
        self._apt("apt-get", "update", "-q", check=False)
        if self.candidates():
            with open(stamp, "w", encoding="ascii"):
                pass

    def candidates(self):
        """[(version as numbers, package version)], newest first."""
        found = {}
        for line in self._apt("apt-cache", "madison", META, check=False).splitlines():
            version = line.split("|")[1].strip()
            if numbers := re.match(r"\d+(\.\d+)+", version):
                found[version] = tuple(map(int, numbers[0].split(".")))
        return sorted(((n, v) for v, n in found.items()), reverse=True)

    def choose(self, wanted):
        """The package version for a name of NAMES, or for the beginning of a version ("6.12")."""
        self.update()
        have = self.candidates()
        if not have:
            raise NoKernel(f"the mirror has no package {META}, or cannot be reached")
        served = [c for c in have if c[0] >= OLDEST_SERVED]
        if wanted == "newest":
            return served[0][1]
        if wanted == "oldest":
            return served[-1][1]
        if wanted == "too-old":
            if have[-1][0] >= TOO_OLD_BEFORE:
                raise NoKernel("the mirror has no kernel before 5.11")
            return have[-1][1]
        prefix = (6, 12) if wanted == "stable" else tuple(map(int, re.findall(r"\d+", wanted)))
        for numbers, version in have:
            if prefix and numbers[:len(prefix)] == prefix:
                return version
        raise NoKernel(f"the mirror has no kernel {wanted}; it has {', '.join(v for _, v in have)}")

    def _depends(self, package, version):
        text = self._apt("apt-cache", "show", f"{package}={version}")
        names = re.findall(r"(linux-(?:image|base|binary|modules)-[^\s,|()]+) \(= ", text)
        return sorted(set(names))

    def fetch(self, wanted):
        """The directory of a kernel: vmlinuz, and lib/modules/RELEASE."""
        version = self.choose(wanted)
        target = os.path.join(self.directory, re.sub(r"[^\w.+-]", "_", version))
        if os.path.exists(os.path.join(target, "vmlinuz")):
            return Kernel(wanted, version, target)
        packages, queue = set(), [META]
        while queue:
            # Those with a kernel's release in the name; the others are metapackages.
            new = [n for n in self._depends(queue.pop(), version) if n not in packages and re.search(r"-\d.*cloud-amd64", n)]
            packages.update(new)
            queue += new
        partial = target + ".partial"
        shutil.rmtree(partial, ignore_errors=True)
        os.makedirs(partial)
        self._apt("apt-get", "download", "-q", *(f"{p}={version}" for p in sorted(packages)), cwd=partial)
        for deb in sorted(f for f in os.listdir(partial) if f.endswith(".deb")):
            subprocess.run(["dpkg-deb", "-x", deb, "."], cwd=partial, check=True)
            os.remove(os.path.join(partial, deb))
        _tidy(partial)
        os.rename(partial, target)
        return Kernel(wanted, version, target)


def _tidy(directory):
    """Of what the packages hold, keeps the kernel and its modules."""
    found = {}
    for root, _, files in os.walk(directory):
        for name in files:
            if name.startswith("vmlinuz"):
                found["vmlinuz"] = os.path.join(root, name)
            elif name == "modules.builtin":
                found["modules"] = root
    if len(found) != 2:
        raise NoKernel(f"the kernel's packages hold {sorted(found)} only")
    release = os.path.basename(found["modules"])
    # Some packages have /usr/lib/modules, some /lib/modules.
    keep = os.path.join(directory, "keep")
    os.makedirs(keep)
    os.rename(found["vmlinuz"], os.path.join(keep, "vmlinuz"))
    os.makedirs(os.path.join(keep, "lib", "modules"))
    os.rename(found["modules"], os.path.join(keep, "lib", "modules", release))
    for name in os.listdir(directory):
        if name != "keep":
            shutil.rmtree(os.path.join(directory, name), ignore_errors=True)
    for name in os.listdir(keep):
        os.rename(os.path.join(keep, name), os.path.join(directory, name))
    os.rmdir(keep)
    subprocess.run(["depmod", "-b", directory, release], check=True)


class Kernel:
    """One kernel, unpacked."""

    def __init__(self, name, version, directory):
        self.name, self.version, self.directory = name, version, directory
        self.release = os.listdir(os.path.join(directory, "lib", "modules"))[0]
        self.vmlinuz = os.path.join(directory, "vmlinuz")

    def modules(self, wanted):
        """Paths, below lib/modules/RELEASE, of those of the wanted modules that are not built in, and of all they need."""
        base = os.path.join(self.directory, "lib", "modules", self.release)
        needs = {}
        with open(os.path.join(base, "modules.dep"), encoding="ascii") as f:
            for line in f:
                path, _, rest = line.partition(":")
                needs[path] = rest.split()
        by_name = {os.path.basename(p).partition(".ko")[0].replace("-", "_"): p for p in needs}
        found, queue = set(), [by_name[n] for n in wanted if n in by_name]
        while queue:
            path = queue.pop()
            if path not in found:
                found.add(path)
                queue += needs[path]
        return sorted(found)
