# SPDX-License-Identifier: BSD-2-Clause
"""The guest's root file system: an initramfs of this machine's programs, ours among them, and of one kernel's modules.

Uncompressed: copying 60 MB costs an emulated CPU less than unpacking 15.
"""
import os
import re
import shutil
import subprocess
import sys
import sysconfig

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
MODULES = ("failover", "net_failover", "virtio_pci", "virtio_net", "virtio_rng", "veth", "bridge", "tun", "ipip", "sit",
           "ip6_tunnel", "tunnel4", "tunnel6", "ip_gre", "ip6_gre", "vxlan", "8021q", "bonding", "fou", "fou6", "ip_vs", "ip_vs_rr", "ip_vs_sh",
           "ip_vs_mh", "ip_vs_wrr", "af_packet", "ipv6", "xsk_diag")
TOOLS = ("ip", "ethtool", "ping", "setpriv", "ipvsadm")
# What the suite never imports, by size; _ssl and _hashlib would bring OpenSSL.
NO_PYTHON = ("test", "idlelib", "lib2to3", "tkinter", "distutils", "ensurepip", "pydoc_data", "turtledemo", "unittest",
             "sqlite3", "dbm", "curses", "wsgiref", "xmlrpc", "dist-packages", "pydoc.py", "turtle.py", "venv")
NO_EXTENSION = re.compile(r"_(ssl|hashlib|curses|dbm|sqlite3|tkinter|gdbm|test|xx|codecs_(cn|hk|jp|kr|tw|iso)|decimal)|ossaudio")


def which(tool):
    for directory in ("/usr/sbin", "/usr/bin", "/sbin", "/bin"):
        path = os.path.join(directory, tool)
        if os.path.exists(path):
            return path
    return None


def _libraries(files):
    """Shared libraries that the files need, as the loader finds them."""
    found = set()
    for file in files:
        done = subprocess.run(["ldd", file], capture_output=True, text=True, check=False)
        for line in done.stdout.splitlines():
            if match := re.search(r"(?:=> )?(/\S+) \(0x", line):
                found.add(match[1])
    return sorted(found)


def _unpack(module):
    """Makes .ko of .ko.xz or .ko.zst: an emulated CPU is slow at that, and busybox does not know both."""
    tool = {".xz": ["xz", "-d", "-q"], ".zst": ["zstd", "-d", "-q", "--rm"]}.get(os.path.splitext(module)[1])
    if tool:
        subprocess.run([*tool, module], check=True)


class Image:
    """A directory that becomes a cpio archive."""

    def __init__(self, directory):
        self.root = directory
        shutil.rmtree(directory, ignore_errors=True)
        for name in ("bin", "dev", "proc", "sys", "run", "tmp", "etc", "root", "var/lib", "xebec/programs", "xebec/e2e", "xebec/vm"):
            os.makedirs(os.path.join(directory, name))
        for link, target in (("sbin", "bin"), ("usr", "."), ("lib64", "lib")):
            os.symlink(target, os.path.join(directory, link))

    def add(self, source, target):
        path = os.path.join(self.root, target)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        shutil.copy2(os.path.realpath(source), path)
        return path

    def add_programs(self, programs):
        self.add("/bin/dash", "bin/sh")  # busybox would run its own ip and ping in place of the real ones
        busybox = self.add("/bin/busybox", "bin/busybox")
        listed = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
        for applet in listed:
            if applet not in ("ip", "ping", "busybox", "setpriv", "python3", "sh"):
                os.symlink("busybox", os.path.join(self.root, "bin", applet))
        files = [self.add(path, f"bin/{tool}") for tool in TOOLS if (path := which(tool))]
        files += [self.add(os.path.join(programs, p), f"xebec/programs/{p}") for p in ("xebecd", "xebec")]
        files += self._add_python()
        for library in _libraries(files):
            self.add(library, library.removeprefix("/usr").lstrip("/"))

    def _add_python(self):
        files = [self.add("/usr/bin/python3", "bin/python3")]
        library = sysconfig.get_path("stdlib")  # ours: scripts/test-vm runs this with /usr/bin/python3
        skip = set(NO_PYTHON)

        def ignore(directory, names):
            if os.path.basename(directory) == "lib-dynload":
                return [n for n in names if NO_EXTENSION.search(n)]
            return [n for n in names if n in skip or n.startswith("config-")]

        target = os.path.join(self.root, library.removeprefix("/usr").lstrip("/"))
        shutil.copytree(library, target, ignore=ignore, symlinks=False, ignore_dangling_symlinks=True)
        extensions = os.path.join(target, "lib-dynload")
        return files + [os.path.join(extensions, n) for n in sorted(os.listdir(extensions))]

    def add_suite(self):
        for source, target in (("tests/e2e", "xebec/e2e"), ("tests/vm/guest", "xebec/vm")):
            for name in sorted(os.listdir(os.path.join(ROOT, source))):
                if name.endswith(".py"):
                    self.add(os.path.join(ROOT, source, name), f"{target}/{name}")
        # An emulated CPU is slow at that, too.
        subprocess.run([sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash",
                        os.path.join(self.root, "xebec")], check=True)
        os.chmod(self.add(os.path.join(HERE, "guest", "init"), "init"), 0o755)

    def add_modules(self, kernel):
        base = os.path.join("lib", "modules", kernel.release)
        for path in kernel.modules(MODULES):
            _unpack(self.add(os.path.join(kernel.directory, base, path), f"{base}/{path}"))
        for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
            if os.path.exists(os.path.join(kernel.directory, base, name)):
                self.add(os.path.join(kernel.directory, base, name), f"{base}/{name}")
        os.makedirs(os.path.join(self.root, base), exist_ok=True)
        subprocess.run(["depmod", "-b", self.root, kernel.release], check=True)

    def pack(self, archive):
        names = subprocess.run(["find", ".", "-print0"], cwd=self.root, capture_output=True, check=True).stdout
        with open(archive, "wb") as out:
            subprocess.run(["cpio", "--null", "--quiet", "-o", "-H", "newc", "--owner", "0:0"], input=names, cwd=self.root,
                           stdout=out, check=True)


def build(directory, programs, kernel):
    """Makes the archive for one kernel; returns its path."""
    image = Image(os.path.join(directory, f"root-{os.getpid()}"))  # two runs may share the kernels
    image.add_programs(programs)
    image.add_suite()
    image.add_modules(kernel)
    archive = os.path.join(directory, f"initramfs-{kernel.name}-{os.getpid()}.cpio")
    image.pack(archive)
    shutil.rmtree(image.root)
    return archive
