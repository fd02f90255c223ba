"""Programs that refuse to run as root: run in a user namespace, or else under another uid."""

import ctypes
import os
import pwd
import shutil
import subprocess
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CLONE_NEWUSER = 0x10000000  # linux/sched.h
TRAVERSABLE = Path("/var/tmp")  # noqa: S108 - another uid can't read a checkout below /root, but this folder


@dataclass(frozen=True)
class UserSwitch:
    """A way to start the program under another user.

    `prepare` runs in the child before it; `binaries` are where that uid can read them; `give_ownership` gives a folder
    to that uid; `folder` is where data must be stored.
    """

    prepare: Callable[[], None]
    binaries: Path
    folder: Path
    give_ownership: Callable[[Path], None]


def choose_user_switch(binaries: Path, folder: Path) -> UserSwitch:
    """Return how to start it: as this user; for root in a namespace, or else under another uid."""
    if os.geteuid() != 0:
        return UserSwitch(lambda: None, binaries, folder, make_folder)
    enter_namespace = make_namespace_entry()
    if can_run(enter_namespace):
        return UserSwitch(enter_namespace, binaries, folder, make_folder)
    return make_other_uid_switch(binaries, folder)


def make_folder(folder: Path) -> None:
    """Create a folder."""
    folder.mkdir(parents=True, exist_ok=True)


def make_namespace_entry() -> Callable[[], None]:
    """Return a preparation that makes the child an ordinary user to itself, and an unprivileged root to the rest."""
    libc = ctypes.CDLL(None, use_errno=True)
    uid = find_ordinary_user().pw_uid

    def enter_namespace() -> None:
        if libc.unshare(CLONE_NEWUSER) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} 0 1")
        Path("/proc/self/gid_map").write_text(f"{uid} 0 1")

    return enter_namespace


def find_ordinary_user() -> pwd.struct_passwd:
    """Return a user with a name (initdb asks for one) who is neither root nor nobody, the owner of unmapped files."""
    users = (user for user in pwd.getpwall() if user.pw_uid != 0 and user.pw_name != "nobody")
    return next(users, pwd.getpwnam("nobody"))


def can_run(prepare: Callable[[], None]) -> bool:
    """Return whether a child gets through the preparation."""
    try:
        return subprocess.run(["true"], preexec_fn=prepare, check=False).returncode == 0  # noqa: S607
    except (OSError, subprocess.SubprocessError):
        return False


def make_other_uid_switch(binaries: Path, folder: Path) -> UserSwitch:
    """Return a switch to nobody's uid, with data and a copy of the programs where that uid can read them."""
    user = pwd.getpwnam("nobody")
    place = TRAVERSABLE / f"interdomestik-{zlib.crc32(str(folder).encode()):08x}"

    def change_user() -> None:
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)

    def give_ownership(target: Path) -> None:
        target.mkdir(parents=True, exist_ok=True)
        os.chown(target, user.pw_uid, user.pw_gid)

    return UserSwitch(change_user, make_reachable(binaries, place), place / "postgres", give_ownership)


def remove_data(user_switch: UserSwitch) -> None:
    """Remove the data, and the folder that was made for another uid."""
    foreign = user_switch.folder.parent.parent == TRAVERSABLE
    shutil.rmtree(user_switch.folder.parent if foreign else user_switch.folder, ignore_errors=True)


def make_reachable(binaries: Path, place: Path) -> Path:
    """Return the programs' folder where all users may run them: unchanged, or copied with the libraries beside it."""
    if all(parent.stat().st_mode & 0o001 for parent in binaries.parents):
        return binaries
    package = binaries.parent.parent
    for source in (package, package.with_name(f"{package.name}.libs")):
        if not (place / "programs" / source.name).exists() and source.exists():
            shutil.copytree(source, place / "programs" / source.name)
    place.chmod(0o755)
    return place / "programs" / package.name / binaries.relative_to(package)
