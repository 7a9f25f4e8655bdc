"""An OpenID Connect provider that signs people in (OpenID Connect Core 3.1).

By authorization code, with PKCE (RFC 6749 4.1, RFC 7636).
"""

import ipaddress
import secrets
import ssl
import time
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from services.api.accounts.directory import Found
from services.api.accounts.groups import of_provider
from shared import telemetry
from shared.settings import Settings

log = telemetry.logger("accounts")

_PATIENCE = 10.0  # seconds for each answer
_LEEWAY = 60  # seconds that clocks may differ
_SIGNATURES = ["RS256", "PS256", "ES256"]
_MOST_GROUPS = 1000
_KEPT = 3600.0  # seconds that what the provider says of itself is believed


class ProviderError(Exception):
    """Nobody can be signed in by the provider; the text says why, without names."""


class Journey(NamedTuple):
    """What one browser takes along to the provider and back; nobody else may have it."""

    state: str
    nonce: str
    verifier: str
    target: str
    """The page that was asked for."""


class Provider:
    """The hospital's provider, as the settings name it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._about: dict[str, Any] = {}
        self._read_at = 0.0

    async def begin(self, back: str, target: str) -> tuple[str, Journey]:
        """Where to send the browser, and what to keep of it.

        Parameters
        ----------
        back
            The address at which the browser comes back.
        target
            The page that was asked for.

        Raises
        ------
        ProviderError
            The provider does not answer, or not as it should.
        """
        about = await self._discovered()
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        journey = Journey(state, nonce, verifier, target)
        async with self._client(back) as client:
            url, _ = client.create_authorization_url(
                about["authorization_endpoint"], state=journey.state, nonce=journey.nonce,
                code_verifier=journey.verifier,
            )  # fmt: skip
        return str(url), journey

    async def end(self, back: str, code: str, journey: Journey) -> tuple[str, Found]:
        """The user name and what the provider says of whoever came back with `code`.

        Raises
        ------
        ProviderError
            It does not vouch for anybody.
        """
        about = await self._discovered()
        try:
            async with self._client(back) as client:
                token = await client.fetch_token(
                    about["token_endpoint"], code=code, code_verifier=journey.verifier
                )
                keys = (await client.request("GET", about["jwks_uri"], withhold_token=True)).json()
            claims = self._claims(str(token["id_token"]), keys, journey.nonce)
        except (httpx.HTTPError, AuthlibBaseError, JoseError, ValueError, KeyError) as error:
            raise ProviderError(type(error).__name__) from error
        return self._understood(claims)

    def _claims(self, id_token: str, keys: Any, nonce: str) -> dict[str, Any]:
        """What an ID token says, when it is one for us, of now, and of this very journey."""
        decoded = jwt.decode(id_token, KeySet.import_key_set(keys), algorithms=_SIGNATURES)
        jwt.JWTClaimsRegistry(
            leeway=_LEEWAY,
            iss={"essential": True, "value": self._settings.oidc_issuer or ""},
            aud={"essential": True, "value": self._settings.oidc_client_id},
            exp={"essential": True},
            iat={"essential": True},
            sub={"essential": True},
            nonce={"essential": True, "value": nonce},
        ).validate(decoded.claims)
        return dict(decoded.claims)

    def _understood(self, claims: dict[str, Any]) -> tuple[str, Found]:
        settings = self._settings
        username = claims.get(settings.oidc_username_claim)
        groups = claims.get(settings.oidc_groups_claim) or []
        if not isinstance(username, str) or not isinstance(groups, list):
            raise ProviderError("it does not say who somebody is")
        found = Found(
            subject=f"{settings.oidc_issuer}#{claims['sub']}"[:255],
            name=str(claims.get("name") or "")[:100],
            groups=of_provider(str(one) for one in groups[:_MOST_GROUPS]),
        )
        return username, found

    async def _discovered(self) -> dict[str, Any]:
        """What the provider says of itself (OpenID Connect Discovery 4)."""
        if self._about and time.monotonic() - self._read_at < _KEPT:
            return self._about
        issuer = self._settings.oidc_issuer or ""
        if not _is_secured(issuer):
            raise ProviderError("its address is not https")
        try:
            async with httpx.AsyncClient(**self._options()) as client:
                answer = await client.get(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
            about = answer.raise_for_status().json()
            if about["issuer"] != issuer:
                raise ProviderError("it says that it is another one")
            for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                if not _is_secured(str(about[name])):
                    raise ProviderError("one of its addresses is not https")
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise ProviderError(type(error).__name__) from error
        self._about, self._read_at = about, time.monotonic()
        return self._about

    def _client(self, back: str) -> AsyncOAuth2Client:
        settings = self._settings
        return AsyncOAuth2Client(
            settings.oidc_client_id, settings.oidc_client_secret.get_secret_value(),
            scope=settings.oidc_scope, redirect_uri=back, code_challenge_method="S256",
            **self._options(),
        )  # fmt: skip

    def _options(self) -> dict[str, Any]:
        return {
            "timeout": _PATIENCE,
            "verify": ssl.create_default_context(cafile=self._settings.oidc_ca),
            "trust_env": False,
        }


def _is_secured(url: str) -> bool:
    """Whether what goes there is secret: over HTTPS, or on this machine."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        return True
    try:
        return ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return parts.hostname == "localhost"
