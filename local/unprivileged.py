"""Running a program that refuses root, as root: in a user namespace, or else under another uid."""

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
TRAVERSABLE = Path("/var/tmp")  # noqa: S108 - a checkout below /root is out of another uid's reach, this never is


@dataclass(frozen=True)
class UserSwitch:
    """The way to start the program.

    `prepare` runs in the child before it; `binaries` are where that uid can reach them; `own` hands a
    folder to that uid; `folder` is where data must live.
    """

    prepare: Callable[[], None]
    binaries: Path
    folder: Path
    give_ownership: Callable[[Path], None]


def choose_user_switch(binaries: Path, folder: Path) -> UserSwitch:
    """As this user; as root in a namespace of its own; or, where the kernel refuses that, under another uid."""
    if os.geteuid() != 0:
        return UserSwitch(lambda: None, binaries, folder, make_folder)
    enter_namespace = make_namespace_entry()
    if can_run(enter_namespace):
        return UserSwitch(enter_namespace, binaries, folder, make_folder)
    return make_other_uid_switch(binaries, folder)


def make_folder(folder: Path) -> None:
    """Makes a folder."""
    folder.mkdir(parents=True, exist_ok=True)


def make_namespace_entry() -> Callable[[], None]:
    """A preparation that makes the child some ordinary user to itself, and root, without its powers, to the rest."""
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
    """An ordinary user the system has a name for (initdb asks for one), not nobody, who owns what is unmapped."""
    users = (user for user in pwd.getpwall() if user.pw_uid != 0 and user.pw_name != "nobody")
    return next(users, pwd.getpwnam("nobody"))


def can_run(prepare: Callable[[], None]) -> bool:
    """Whether a child gets through the preparation."""
    try:
        return subprocess.run(["true"], preexec_fn=prepare, check=False).returncode == 0  # noqa: S607
    except (OSError, subprocess.SubprocessError):
        return False


def make_other_uid_switch(binaries: Path, folder: Path) -> UserSwitch:
    """A runner under nobody's uid, with data and a copy of the programs where that uid can go."""
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
    """Removes the data, and the folder that was made for another uid."""
    foreign = user_switch.folder.parent.parent == TRAVERSABLE
    shutil.rmtree(user_switch.folder.parent if foreign else user_switch.folder, ignore_errors=True)


def make_reachable(binaries: Path, place: Path) -> Path:
    """The programs where everybody may run them: there already, or copied with the libraries they look for beside."""
    if all(parent.stat().st_mode & 0o001 for parent in binaries.parents):
        return binaries
    package = binaries.parent.parent
    for source in (package, package.with_name(f"{package.name}.libs")):
        if not (place / "programs" / source.name).exists() and source.exists():
            shutil.copytree(source, place / "programs" / source.name)
    place.chmod(0o755)
    return place / "programs" / package.name / binaries.relative_to(package)
