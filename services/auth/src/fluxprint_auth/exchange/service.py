"""What is not an access token of ours becomes one."""

from fluxprint_auth.api_keys import service as api_keys
from fluxprint_auth.clients import Client
from fluxprint_auth.keys.access_tokens import AccessTokens
from fluxprint_auth.outside.problems import OutsideTokenRefused
from fluxprint_auth.outside.service import OutsideIssuer
from fluxprint_common.database import Database
from fluxprint_common.exchange import Caller, Credential, CredentialKind, CredentialRefused, Exchanged, NoAnswer
from fluxprint_common.problems import Unauthenticated, Unavailable


class Exchanger:
    """Exchanges credentials: for the other services over HTTP, for this one directly."""

    def __init__(self, database: Database, issuer: AccessTokens, outside: OutsideIssuer | None) -> None:
        self._database = database
        self._issuer = issuer
        self._outside = outside

    async def __call__(self, credential: Credential, caller: Caller) -> Exchanged:
        """The answer to this service's own question.

        Raises:
            CredentialRefused, NoAnswer
        """
        try:
            return await self.exchange(credential, Client(caller.address, caller.agent))
        except Unauthenticated as error:
            raise CredentialRefused from error
        except Unavailable as error:
            raise NoAnswer(error.code) from error

    async def exchange(self, credential: Credential, client: Client) -> Exchanged:
        """An access token for a credential.

        Raises:
            ApiKeyInvalid, OutsideTokenRefused. Unavailable: the outside issuer's keys cannot be had.
        """
        match credential.kind:
            case CredentialKind.API_KEY:
                async with self._database.unit_of_work() as session:
                    access = await api_keys.exchange(session, self._issuer, credential.value, client=client)
            case CredentialKind.OUTSIDE_TOKEN:
                if self._outside is None:
                    raise OutsideTokenRefused
                access = await self._outside.exchange(self._database, self._issuer, credential.value, client=client)
        return Exchanged(access.token, access.expires_in_s)
