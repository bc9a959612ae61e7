"""Access tokens on our own routes: besides being genuine, their session must go on.

Other services hear of an ended session within a second (`fluxprint_common.revocations`). Here, where credentials are
made, the database is asked each time: also whether the person still is what the token says.
"""

from fluxprint_auth.api_keys import repository as api_keys
from fluxprint_auth.bridges import repository as bridges
from fluxprint_auth.sessions import repository
from fluxprint_common.database import Database
from fluxprint_common.permissions import Permission, Role, Via
from fluxprint_common.principal import ACCESS_TOKEN_CLAIMS, MAX_ACCESS_TOKEN_S, principal_of
from fluxprint_common.tokens import Claims, KeySet, TokenError, TokenVerifier


class LiveTokenVerifier(TokenVerifier):
    """Believes a token as long as its session, or its bridge, was not ended."""

    def __init__(self, keys: KeySet, database: Database, *, issuer: str, audience: str) -> None:
        super().__init__(
            keys,
            issuer=issuer,
            audience=audience,
            required=ACCESS_TOKEN_CLAIMS,
            max_lifetime_s=MAX_ACCESS_TOKEN_S,
        )
        self._database = database

    async def verify(self, token: str) -> Claims:
        """The claims of a token that is genuine, alive, and of a session that goes on.

        Raises:
            TokenError: with the reason, for the log.
        """
        claims = await super().verify(token)
        who = principal_of(claims)
        async with self._database.reading() as session:
            if who.role is Role.BRIDGE:
                live = await bridges.is_live(session, who.subject, organisation_id=who.organisation_id)
            elif who.via is Via.API_KEY:
                live = await api_keys.is_live(
                    session,
                    who.session_id,
                    user_id=who.subject,
                    organisation_id=who.organisation_id,
                    role=who.role,
                )
            else:
                live = await repository.is_live(
                    session,
                    who.session_id,
                    user_id=who.subject,
                    organisation_id=who.organisation_id,
                    role=who.role,
                    is_administrator=Permission.INSTALLATION_MANAGE in who.permissions,
                )
        if not live:
            raise TokenError("the session has ended")
        return claims
