"""OpenLDAP's slapd as the hospital's directory, with people, and groups in groups."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.certificates import Authority
from tests.servers.common import free_port, missing, wait_for

SEARCHER, SEARCHERS_PASSWORD = "cn=sluse,dc=hospital,dc=local", "the searcher's"
PEOPLE, GROUPS = "ou=people,dc=hospital,dc=local", "ou=groups,dc=hospital,dc=local"

_BINARY = Path("/usr/sbin/slapd")
_SCHEMAS = ("core", "cosine", "inetorgperson", "nis")


class Directory(NamedTuple):
    """A running directory."""

    plain: str
    """ldap:// with StartTLS."""
    tls: str
    authority: Path
    folder: Path

    def modify(self, ldif: str) -> None:
        """Change what is in it, as its administrator."""
        subprocess.run(
            ["ldapmodify", "-x", "-H", self.plain, "-D", "cn=admin,dc=hospital,dc=local",
             "-w", "admin"],
            input=ldif, text=True, check=True, capture_output=True,
        )  # fmt: skip


def _entries(people: dict[str, str], groups: dict[str, list[str]]) -> str:
    found = [
        "dn: dc=hospital,dc=local\nobjectClass: dcObject\nobjectClass: organization\n"
        "o: hospital\ndc: hospital\n",
        f"dn: {SEARCHER}\nobjectClass: applicationProcess\nobjectClass: simpleSecurityObject\n"
        f"cn: sluse\nuserPassword: {SEARCHERS_PASSWORD}\n",
        f"dn: {PEOPLE}\nobjectClass: organizationalUnit\nou: people\n",
        f"dn: {GROUPS}\nobjectClass: organizationalUnit\nou: groups\n",
    ]
    found += [
        f"dn: uid={uid},{PEOPLE}\nobjectClass: inetOrgPerson\nuid: {uid}\nsn: {name}\n"
        f"cn: {name}\ndisplayName: {name}\nuserPassword: password of {uid}\n"
        for uid, name in people.items()
    ]
    found += [
        f"dn: cn={name},{GROUPS}\nobjectClass: groupOfNames\ncn: {name}\n"
        + "".join(f"member: {one}\n" for one in members)
        for name, members in groups.items()
    ]
    return "\n".join(found)


@contextmanager
def slapd(
    folder: Path, people: dict[str, str], groups: dict[str, list[str]]
) -> Iterator[Directory]:
    """A directory with people (user name to name) and groups (name to members' DNs)."""
    if not _BINARY.exists():
        missing("slapd", "slapd")
    authority = Authority(folder, "hospital")
    pair = authority.issue("directory")
    database = folder / "ldap"
    database.mkdir()
    lines = [f"include /etc/ldap/schema/{name}.schema" for name in _SCHEMAS]
    lines += [
        "modulepath /usr/lib/ldap", "moduleload back_mdb", "moduleload memberof",
        f"TLSCACertificateFile {authority.certificate}", f"TLSCertificateFile {pair.certificate}",
        f"TLSCertificateKeyFile {pair.key}", "disallow bind_anon", "database mdb",
        'suffix "dc=hospital,dc=local"', 'rootdn "cn=admin,dc=hospital,dc=local"', "rootpw admin",
        f"directory {database}", "access to attrs=userPassword by anonymous auth by * none",
        f'access to * by dn.exact="{SEARCHER}" read by * none',
        "overlay memberof",  # of what is changed while it runs
    ]  # fmt: skip
    (folder / "slapd.conf").write_text("\n".join(lines) + "\n")
    subprocess.run(
        ["/usr/sbin/slapadd", "-f", folder / "slapd.conf"], input=_entries(people, groups),
        text=True, check=True, capture_output=True,
    )  # fmt: skip
    plain, tls = (f"{kind}://127.0.0.1:{free_port()}" for kind in ("ldap", "ldaps"))
    with (folder / "slapd.log").open("wb") as log:
        server = subprocess.Popen(
            [_BINARY, "-f", folder / "slapd.conf", "-h", f"{plain} {tls}", "-d", "0"],
            stdout=log, stderr=log, env=os.environ,
        )  # fmt: skip
    found = Directory(plain, tls, authority.certificate, folder)
    try:
        wait_for(lambda: _answers(plain), "slapd")
        yield found
    finally:
        server.terminate()
        server.wait(10)


def _answers(url: str) -> bool:
    return not subprocess.run(
        ["ldapwhoami", "-x", "-H", url, "-D", SEARCHER, "-w", SEARCHERS_PASSWORD],
        capture_output=True,
    ).returncode
