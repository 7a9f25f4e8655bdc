"""Every knob of Sluse: one documented field each, set by `SLUSE_<NAME>` in the environment.

Times are in seconds.
Read once, in `main`; nothing reads configuration at import.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.faults import FAULT
from shared.identity import AE_TITLE, MasterKey
from shared.watermarks import Mark, Watermark

Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0)]


class Durability(StrEnum):
    """When a received image is made to survive a power cut."""

    INSTANCE = "instance"
    BATCH = "batch"
    NONE = "none"


class PeerPolicy(StrEnum):
    """Who may send."""

    OPEN = "open"
    """Everybody, but who must show a password."""
    LISTED = "listed"
    """Only those who were entered."""


class Settings(BaseSettings):
    """The settings of a service."""

    model_config = SettingsConfigDict(env_prefix="SLUSE_", extra="ignore", frozen=True)

    # Where the truth lives
    database_url: SecretStr = Field(
        SecretStr("sqlite+aiosqlite:///data/sluse.db"),
        description="`postgresql+asyncpg://user:password@host/name`, or SQLite for one machine.",
    )
    database_pool: int = Field(10, ge=1, description="Database connections per process.")
    spool_url: str = Field("file:data/spool", description="Where image files live: `file:///path`.")
    master_key: SecretStr | None = Field(
        None, description="Key that encrypts the projects' secrets; or use SLUSE_MASTER_KEY_FILE."
    )
    master_key_file: Path = Field(
        Path("data/master.key"),
        description="File holding the master key. Back it up: see docs/operations.md.",
    )
    create_master_key: bool = Field(
        False, description="Make the master key file when it is missing (`sluse up` does)."
    )

    # The bus
    bus_url: SecretStr = Field(
        SecretStr("memory://"), description="`amqp://user:password@host/vhost`, or `memory://`."
    )
    bus_heartbeat: int = Field(30, ge=2, description="AMQP heartbeat, seconds.")
    retry_delays: tuple[Seconds, ...] = Field(
        (10, 60, 600, 3600),
        min_length=1,
        description="Waits before the first, second, … further try; the last one repeats. JSON.",
    )
    max_attempts: int = Field(
        5, ge=1, description="Tries after unexpected errors before a message is dead-lettered."
    )

    # The reconciler
    reconcile_every: Seconds = Field(30, description="How often unfinished work is looked for.")
    patience: Seconds = Field(120, description="Age at which unfinished work is nudged again.")

    # What is kept, and for how long (docs/retention.md)
    keep_unassigned_days: Annotated[int, Field(ge=1, le=36500)] | None = Field(
        None,
        description="Days after which originals that no project has are removed; left out: never. "
        "Projects say themselves how long theirs are kept.",
    )
    commitment_keep_days: int = Field(
        90, ge=1, le=36500,
        description="Days for which originals are kept, whatever projects say, after a sender was "
        "told that they are safe here (storage commitment).",
    )  # fmt: skip
    retention_every: Seconds = Field(
        600, description="How often files are looked for whose time is over."
    )

    # How much is taken in (docs/receiving.md)
    disk_warn: Watermark = Field(
        Mark(percent=10),
        description="Room on the spool's disk below which people are warned: `10%`, or `500GB`.",
    )
    disk_stop: Watermark = Field(
        Mark(percent=3),
        description="The same, below which no images are taken: what is inside needs the rest.",
    )
    disk_resume: Watermark = Field(
        Mark(percent=5), description="The same, from which on they are taken again."
    )
    backlog_stop: int = Field(
        100_000, ge=1,
        description="Images received and not yet worked off above which no new associations are "
        "let in.",
    )  # fmt: skip
    backlog_resume: int = Field(
        80_000, ge=0, description="The same, below which they are let in again."
    )
    backlog_every: Seconds = Field(5, description="How often these are counted.")

    # The DICOM door
    dicom_host: str = Field("0.0.0.0", description="Address the receiver listens on.")  # noqa: S104
    dicom_port: Port = Field(11112, description="Port of the receiver; 0 chooses a free one.")
    ae_title: str = Field("SLUSE", pattern=f"^{AE_TITLE}$", description="Sluse's own AE title.")
    max_associations: int = Field(128, ge=1, description="Associations open at once, in all.")
    max_associations_per_peer: int = Field(
        100, ge=1, description="Associations open at once from one network address."
    )
    max_pdu: int = Field(
        131072, ge=4096, le=1 << 24, description="Largest PDU asked for, bytes (PS3.8 D.1)."
    )
    network_timeout: Seconds = Field(
        60, description="Idle time after which an association is given up."
    )
    peers: PeerPolicy = Field(
        PeerPolicy.OPEN,
        description="Who may send: `open`, everybody, or `listed`, only those entered as peers.",
    )
    artim_timeout: Seconds = Field(
        30, description="Longest wait for a sender to ask for an association, or to hang up."
    )
    durability: Durability = Field(
        Durability.INSTANCE,
        description="When a received image survives a power cut: `instance`, before the sender "
        "hears success; `batch`, a moment later; `none`, any time later (docs/receiving.md).",
    )
    commitment_patience: Seconds = Field(
        60,
        description="How long after a request for storage commitment an image may still come into "
        "the ledger before it is reported as not here.",
    )
    receiver_processes: int = Field(
        1, ge=1, le=64,
        description="Processes of `sluse receiver` on one port; limits on associations are "
        "divided among them, the nth has its metrics on SLUSE_METRICS_PORT + n.",
    )  # fmt: skip
    receiver_parent: int = Field(
        0, ge=0, description="Set by the receiver for those processes: whose end is theirs."
    )
    dicom_port_shared: bool = Field(
        False, description="Let several receivers of this machine listen on the same ports."
    )
    dicom_tls_port: Port | None = Field(
        None,
        description="Port of the receiver for DICOM over TLS (2762 is the registered one); the "
        "same as SLUSE_DICOM_PORT: there is none without TLS.",
    )
    dicom_tls_certificate: Path | None = Field(
        None, description="PEM file: the receiver's certificate and those between it and the CA."
    )
    dicom_tls_key: Path | None = Field(
        None, description="PEM file: the certificate's private key, without a passphrase."
    )
    dicom_tls_client_ca: Path | None = Field(
        None, description="PEM file: authorities; a sender must show a certificate of theirs then."
    )
    ae_refresh: Seconds = Field(1, description="How often the accepted AE titles are re-read.")

    # Work in batches
    flush_after: Seconds = Field(
        0.05, description="Longest wait before received images are announced."
    )
    classification_rules: Path | None = Field(
        None,
        description="A site's own classification rules, a YAML file (docs/classification.md); they "
        "continue those of Sluse. A .json file is the earlier system's classifyRules.json.",
    )
    settle_after: Seconds = Field(
        10, description="Quiet time after which a study counts as complete."
    )
    settle_at_last: Seconds = Field(
        3600, description="The same, where an association that brought it was never closed."
    )
    workers: int = Field(
        0, ge=0, description="De-identification processes of this anonymizer; 0: one per core."
    )
    instance_timeout: Seconds = Field(
        300, description="Longest time one image may take to de-identify."
    )

    # The research PACS
    association_idle: Seconds = Field(
        10, description="How long an idle association to a PACS is kept open."
    )

    pacs_tls_ca: Path | None = Field(
        None,
        description="PEM file: authorities of the research PACS' certificates; those of the system "
        "otherwise.",
    )
    pacs_tls_certificate: Path | None = Field(
        None, description="PEM file: the certificate that Sluse shows to a research PACS."
    )
    pacs_tls_key: Path | None = Field(
        None, description="PEM file: that certificate's private key, without a passphrase."
    )
    pacs_credentials: Path | None = Field(
        None,
        description="Folder of folders: secrets for single destinations, which name theirs "
        "(docs/forwarding.md).",
    )
    pacs_tls_check_host: bool = Field(
        True, description="Whether a research PACS' certificate must name its host."
    )
    commitment_wait: Seconds = Field(
        600,
        description="How long a research PACS may take to report on storage commitment; after that "
        "it is asked what it holds.",
    )
    verify_after: Seconds = Field(
        30, description="Quiet time after which a research PACS is asked whether it has everything."
    )

    # People and dashboards
    http_host: str = Field(
        "127.0.0.1", description="Address that the web page and the REST API listen on."
    )
    http_names: tuple[str, ...] = Field(
        ("127.0.0.1", "localhost"),
        description="Host names by which browsers reach them; requests for others are refused. "
        "JSON.",
    )
    trusted_proxies: tuple[str, ...] = Field(
        ("127.0.0.1",),
        description="Addresses of proxies that say from where, and whether over HTTPS, a request "
        "comes. JSON.",
    )
    https: bool = Field(
        False, description="Browsers reach them over HTTPS (through a proxy): cookies say so."
    )

    # Webhooks
    webhook_hosts: frozenset[str] = Field(
        frozenset(),
        description="The only hosts that webhooks may lie on; empty for any. A project's webhook "
        "may lie on Sluse's own machine only if that is named here.",
    )
    webhook_ca: Path | None = Field(
        None, description="PEM file: further authorities of webhooks' certificates."
    )

    # The directory
    ldap_url: str | None = Field(
        None,
        pattern=r"^ldaps?://[A-Za-z0-9.:_\[\]-]+$",
        description="Directory that checks passwords, like `ldaps://dc.hospital.local`; `ldap://` "
        "is secured with StartTLS.",
    )
    ldap_ca: Path | None = Field(
        None, description="PEM file: authorities of its certificate; those of the system otherwise."
    )
    ldap_bind_dn: str = Field("", description="Who searches in it; empty for nobody (anonymous).")
    ldap_bind_password: SecretStr = Field(SecretStr(""), description="That one's password.")
    ldap_users: str = Field("", description="Where people are, a distinguished name.")
    ldap_user_filter: str = Field(
        "(|(sAMAccountName={username})(uid={username}))", description="Which one signs in."
    )
    ldap_groups: str = Field("", description="Where groups are; empty: those of `memberOf` only.")
    group_roles_hours: float = Field(
        24,
        gt=0,
        description="How long what somebody's groups give counts, from the last time that they "
        "signed in: hours. Of the directory and of the identity provider.",
    )

    # The identity provider
    oidc_issuer: str | None = Field(
        None,
        pattern=r"^https?://[!-~]+$",
        description="OpenID Connect provider that signs people in (`https://id.hospital.local`).",
    )
    oidc_client_id: str = Field("", description="What Sluse is called there.")
    oidc_client_secret: SecretStr = Field(SecretStr(""), description="What it is known by.")
    oidc_ca: Path | None = Field(
        None, description="PEM file: authorities of its certificate; those of the system otherwise."
    )
    oidc_scope: str = Field("openid profile", description="What is asked for.")
    oidc_username_claim: str = Field(
        "preferred_username", description="Which claim is the user name."
    )
    oidc_groups_claim: str = Field("groups", description="Which claim names the groups.")
    http_port: Port = Field(8080, description="Port of the web page and REST API; 0: a free one.")
    stow_max_instance: int = Field(
        8 << 30, ge=1, description="Longest instance that STOW-RS takes, bytes."
    )
    stow_max_requests: int = Field(
        32, ge=1, description="STOW-RS requests taken at once; others are told to try again."
    )
    stow_max_request: int = Field(
        64 << 30, ge=1, description="Longest STOW-RS request, bytes; it may hold many instances."
    )
    rendering_processes: int = Field(
        2, ge=1, le=64, description="Processes that draw previews, made when they are needed."
    )
    rendering_timeout: Seconds = Field(
        20, description="Longest time that one preview may take to draw, and wait for its turn."
    )
    rendering_cache: int = Field(
        32 << 20, ge=0, description="Memory for previews that were drawn, bytes."
    )
    import_max_bytes: int = Field(
        200 << 30, ge=1, description="Largest import through the web page, bytes, also unpacked."
    )
    import_max_files: int = Field(
        100_000, ge=1, description="Most files of an import, and most entries of a ZIP in it."
    )
    import_max_open: int = Field(
        20, ge=1, description="Imports under way at once; others must be accepted or discarded."
    )
    import_max_chunk: int = Field(
        8 << 20, ge=1024, description="Longest piece of a file that is taken in one request, bytes."
    )
    import_max_chunks: int = Field(
        32, ge=1, description="Such pieces taken at once; others are told to try again."
    )
    import_keep: Seconds = Field(
        7 * 24 * 3600, description="How long an import that nobody goes on with is kept."
    )
    metrics_port: Port = Field(
        0, description="Port of /metrics for services without HTTP of their own; 0: none."
    )
    log_format: str = Field("json", pattern="^(json|text)$", description="`json` or `text`.")
    fault: str | None = Field(
        None, pattern=FAULT,
        description="For tests of faults, never for real use: `point:number` ends the process when "
        "it passes a point of shared/faults.py for the number-th time.",
    )  # fmt: skip
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="Log level.")

    @model_validator(mode="after")
    def _spool_is_a_folder(self) -> Self:
        _ = self.spool_path
        return self

    @model_validator(mode="after")
    def _intake_resumes(self) -> Self:
        if self.disk_resume.is_surely_below(self.disk_stop):
            raise ValueError("SLUSE_DISK_RESUME must not be below SLUSE_DISK_STOP")
        if self.backlog_resume > self.backlog_stop:
            raise ValueError("SLUSE_BACKLOG_RESUME must not be above SLUSE_BACKLOG_STOP")
        return self

    @model_validator(mode="after")
    def _tls_is_complete(self) -> Self:
        certified = self.dicom_tls_certificate is not None and self.dicom_tls_key is not None
        if (self.dicom_tls_port is not None) != certified:
            raise ValueError(
                "DICOM over TLS needs SLUSE_DICOM_TLS_PORT, SLUSE_DICOM_TLS_CERTIFICATE and "
                "SLUSE_DICOM_TLS_KEY, all three"
            )
        if self.dicom_tls_client_ca is not None and not certified:
            raise ValueError("SLUSE_DICOM_TLS_CLIENT_CA is of no use without a certificate")
        return self

    @property
    def dicom_tls_only(self) -> bool:
        """Whether DICOM without TLS has no port."""
        return self.dicom_tls_port is not None and self.dicom_tls_port == self.dicom_port != 0

    @property
    def spool_path(self) -> Path:
        """The folder of `spool_url`."""
        url = urlsplit(self.spool_url)
        if url.scheme != "file" or url.netloc not in ("", "localhost") or not url.path:
            raise ValueError("spool_url must look like file:///var/lib/sluse/spool")
        return Path(unquote(url.path))

    def load_master_key(self, *, new: bool = False) -> MasterKey:
        """The master key, from the environment or its file.

        Parameters
        ----------
        new
            Nothing is encrypted yet: a key may be made, where `create_master_key` allows it.

        Raises
        ------
        MasterKeyError
            There is no key and none may be made, or what is there is none.
        """
        if self.master_key is not None:
            return MasterKey(self.master_key.get_secret_value())
        if new and self.create_master_key:
            return MasterKey.from_file_or_new(self.master_key_file)
        return MasterKey.from_file(self.master_key_file)

    @property
    def makes_master_key(self) -> bool:
        """Whether there is no master key, and one may be made."""
        made_here = self.master_key is None and self.create_master_key
        return made_here and not self.master_key_file.exists()

    @property
    def next_master_key_file(self) -> Path:
        """Where a new master key stands while everything is being brought under it."""
        return self.master_key_file.with_name(self.master_key_file.name + ".new")


def embedded(data: Path, **knobs: object) -> Settings:
    """The settings of `sluse up`: everything below one folder, in one process."""
    folder = data.resolve()
    return Settings.model_validate(
        {
            "database_url": f"sqlite+aiosqlite:///{folder / 'sluse.db'}",
            "spool_url": (folder / "spool").as_uri(),
            "master_key_file": folder / "master.key",
            "create_master_key": True,
            "bus_url": "memory://",
        }
        | Settings().model_dump(exclude_unset=True)
        | knobs
    )
