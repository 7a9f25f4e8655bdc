"""DICOM over TLS, with dcmtk as the sender."""

import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from demo.phantoms import Maker
from shared.errors import StartError
from shared.settings import Settings
from tests.certificates import Authority, Pair
from tests.rawpeer import RawPeer, Receiver, receiver, threads, until
from tests.servers import dcmtk


class Hospital:
    """Two authorities, what they have signed, and an image."""

    def __init__(self, folder: Path) -> None:
        self.ours, self.other = Authority(folder, "hospital"), Authority(folder, "elsewhere")
        self.server, self.modality = self.ours.issue("sluse"), self.ours.issue("ct1")
        self.stranger = self.other.issue("stranger")
        self.expired = self.ours.issue("expired", days=-1)
        self.image = folder / "image.dcm"
        Maker(1, size=512).ct(1).instances[0].save_as(self.image, enforce_file_format=True)

    def knobs(self, *, mutual: bool) -> dict[str, object]:
        return {
            "dicom_tls_port": 0,
            "dicom_tls_certificate": self.server.certificate,
            "dicom_tls_key": self.server.key,
            "dicom_tls_client_ca": self.ours.certificate if mutual else None,
        }


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Hospital:
    return Hospital(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def server(tmp_path: Path, hospital: Hospital) -> Iterator[Receiver]:
    with receiver(tmp_path, **hospital.knobs(mutual=False)) as running:
        yield running


@pytest.fixture
def mutual(tmp_path: Path, hospital: Hospital) -> Iterator[Receiver]:
    with receiver(tmp_path, **hospital.knobs(mutual=True)) as running:
        yield running


def storescu(
    scp: Receiver, hospital: Hospital, *identity: str | Path, trust: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return dcmtk.run(
        "storescu", *(identity or ["+tla"]), "+cf", trust or hospital.ours.certificate,
        "-aec", "SLUSE", "127.0.0.1", scp.scp.tls_port or 0, hospital.image, check=False,
    )  # fmt: skip


def as_(pair: Pair) -> tuple[str | Path, ...]:
    return "+tls", pair.key, pair.certificate


def test_storescu_without_a_certificate_of_its_own(server: Receiver, hospital: Hospital) -> None:
    done = storescu(server, hospital)
    assert done.returncode == 0, done.stderr
    assert len(server.files) == 1


def test_storescu_in_both_profiles_of_the_standard(server: Receiver, hospital: Hospital) -> None:
    for profile in ("+py", "+px"):  # BCP 195 non-downgrading, BCP 195
        done = storescu(server, hospital, *as_(hospital.modality), profile)
        assert done.returncode == 0, done.stderr
    assert len(server.files) == 2


def test_the_port_without_tls_stays_beside_it(server: Receiver, hospital: Hospital) -> None:
    dcmtk.run("storescu", "-aec", "SLUSE", "127.0.0.1", server.port, hospital.image)
    assert server.port != server.scp.tls_port
    assert len(server.files) == 1


def test_the_sender_notices_a_foreign_server(server: Receiver, hospital: Hospital) -> None:
    assert storescu(server, hospital, trust=hospital.other.certificate).returncode != 0
    assert server.files == []


def test_mutual_tls_takes_the_authoritys_senders_only(mutual: Receiver, hospital: Hospital) -> None:
    done = storescu(mutual, hospital, *as_(hospital.modality))
    assert done.returncode == 0, done.stderr
    assert len(mutual.files) == 1
    refused = {"none": ["+tla"], "other": as_(hospital.stranger), "old": as_(hospital.expired)}
    for who, identity in refused.items():
        with capture_logs() as logs:
            assert storescu(mutual, hospital, *identity).returncode != 0, who
            until(lambda: bool(logs), "the refusal to be logged")
        (warning,) = logs
        assert (warning["event"], warning["peer"]) == ("TLS refused", "127.0.0.1")
        assert warning["why"] in {
            "PEER_DID_NOT_RETURN_A_CERTIFICATE", "CERTIFICATE_VERIFY_FAILED"
        }  # fmt: skip
        assert "stranger" not in str(logs) and "expired" not in str(logs)
    assert len(mutual.files) == 1


@pytest.mark.parametrize(
    ("version", "ciphers"),
    [
        (ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0"),
        (ssl.TLSVersion.TLSv1_2, "AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA256"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_bcp_195_forbids_is_refused(
    server: Receiver, version: ssl.TLSVersion, ciphers: str
) -> None:
    context = _client(None)
    context.set_ciphers(ciphers)
    context.minimum_version = context.maximum_version = version
    with pytest.raises((ssl.SSLError, ConnectionResetError)), _connected(server, context):
        pass


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_current_versions_are_spoken(server: Receiver, version: ssl.TLSVersion) -> None:
    context = _client(None)
    context.minimum_version = context.maximum_version = version
    with _peer(server, context) as peer:
        peer.associate()
        assert peer.store(bytes(500_000)) == 0
        peer.release()
    assert len(server.files) == 1


def test_certificates_are_exchanged_while_it_runs(tmp_path: Path, hospital: Hospital) -> None:
    renewed = Authority(tmp_path, "renewed").issue("sluse-2")
    served = Pair(tmp_path / "served.pem", tmp_path / "served.key")
    shutil.copy(hospital.server.certificate, served.certificate)
    shutil.copy(hospital.server.key, served.key)
    knobs = hospital.knobs(mutual=False) | {
        "dicom_tls_certificate": served.certificate, "dicom_tls_key": served.key
    }  # fmt: skip
    with receiver(tmp_path, **knobs) as scp, _peer(scp, _client(None)) as open_before:
        open_before.associate()
        old = _certificate(scp)
        shutil.copy(renewed.certificate, served.certificate)  # its key is not there yet
        with capture_logs() as logs:
            assert _certificate(scp) == old
        assert [entry["event"] for entry in logs][:1] == [
            "certificates can't be loaded; the old ones stay"
        ]
        shutil.copy(renewed.key, served.key)
        assert _certificate(scp) == ssl.PEM_cert_to_DER_cert(renewed.certificate.read_text())
        served.key.unlink()
        assert _certificate(scp) != old
        assert open_before.echo() == 0
        open_before.release()


def test_authorities_are_exchanged_while_it_runs(tmp_path: Path, hospital: Hospital) -> None:
    trusted = tmp_path / "trusted.crt"
    shutil.copy(hospital.ours.certificate, trusted)
    knobs = hospital.knobs(mutual=True) | {"dicom_tls_client_ca": trusted}
    with receiver(tmp_path, **knobs) as scp:
        assert storescu(scp, hospital, *as_(hospital.stranger)).returncode != 0
        trusted.write_bytes(
            hospital.ours.certificate.read_bytes() + hospital.other.certificate.read_bytes()
        )
        assert storescu(scp, hospital, *as_(hospital.stranger)).returncode == 0


def test_one_port_with_tls_only(tmp_path: Path, hospital: Hospital, unused_tcp_port: int) -> None:
    knobs = hospital.knobs(mutual=False) | {
        "dicom_tls_port": unused_tcp_port, "dicom_port": unused_tcp_port
    }  # fmt: skip
    with receiver(tmp_path, **knobs) as scp:
        assert scp.port == scp.scp.tls_port == unused_tcp_port
        assert storescu(scp, hospital).returncode == 0
        plain = dcmtk.run("echoscu", "-aec", "SLUSE", "127.0.0.1", unused_tcp_port, check=False)
        assert plain.returncode != 0


def test_a_handshake_that_never_comes_ends_with_the_artim_timer(server: Receiver) -> None:
    with RawPeer(server.scp.tls_port or 0) as silent, _peer(server, _client(None)) as other:
        began = time.monotonic()
        other.associate()  # nobody waits for the silent one
        assert other.echo() == 0
        assert silent.closed()
        assert time.monotonic() - began < 8
        other.release()


def test_stopping_ends_connections_with_tls(server: Receiver) -> None:
    with _peer(server, _client(None)) as peer:
        peer.associate()
        assert peer.echo() == 0
        server.scp.stop()
        assert peer.closed()
    assert threads() == 0


def test_garbage_on_the_tls_port_harms_nobody(server: Receiver, hospital: Hospital) -> None:
    for garbage in (b"GET / HTTP/1.1\r\n\r\n", os.urandom(1000)):
        with RawPeer(server.scp.tls_port or 0) as peer:
            peer.send(garbage)
    assert storescu(server, hospital).returncode == 0


# What can't be used is said at the start


def test_a_tls_port_in_use_leaves_the_other_port_free(
    tmp_path: Path, hospital: Hospital, unused_tcp_port: int
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        knobs = hospital.knobs(mutual=False) | {
            "dicom_tls_port": taken.getsockname()[1], "dicom_port": unused_tcp_port
        }  # fmt: skip
        with pytest.raises(StartError, match="SLUSE_DICOM_TLS_PORT"), receiver(tmp_path, **knobs):
            pass
    with socket.create_server(("127.0.0.1", unused_tcp_port)):
        pass


def test_a_key_that_does_not_fit_is_told(tmp_path: Path, hospital: Hospital) -> None:
    knobs = hospital.knobs(mutual=False)
    for wrong in (hospital.modality.key, tmp_path / "missing.key", hospital.image):
        with (
            pytest.raises(StartError, match="SLUSE_DICOM_TLS_KEY"),
            receiver(tmp_path, **knobs | {"dicom_tls_key": wrong}),
        ):
            pass


@pytest.mark.parametrize(
    "knobs",
    [
        {"dicom_tls_port": 2762},
        {"dicom_tls_certificate": "a", "dicom_tls_key": "b"},
        {"dicom_tls_port": 2762, "dicom_tls_certificate": "a"},
        {"dicom_tls_client_ca": "a"},
    ],
)
def test_half_a_tls_setting_is_refused(knobs: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="SLUSE_DICOM_TLS"):
        Settings(**knobs)


def _client(authority: Path | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if authority:
        context.load_verify_locations(authority)
    return context


def _connected(scp: Receiver, context: ssl.SSLContext) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", scp.scp.tls_port or 0), 10)
    try:
        return context.wrap_socket(plain)
    except BaseException:
        plain.close()
        raise


def _peer(scp: Receiver, context: ssl.SSLContext) -> RawPeer:
    peer = RawPeer.__new__(RawPeer)
    peer.socket = _connected(scp, context)
    return peer


def _certificate(scp: Receiver) -> bytes:
    with _connected(scp, _client(None)) as connection:
        return connection.getpeercert(binary_form=True) or b""
