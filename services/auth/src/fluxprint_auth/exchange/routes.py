"""HTTP of the exchange: for the other services, inside the network only."""

from fastapi import APIRouter

from fluxprint_auth.clients import Client
from fluxprint_auth.dependencies import Exchanging
from fluxprint_auth.exchange.schemas import ExchangeAnswer, ExchangeRequest
from fluxprint_common.exchange import PATH, Credential, CredentialKind

router = APIRouter()


@router.post(PATH)
async def exchange_credential(body: ExchangeRequest, exchanger: Exchanging) -> ExchangeAnswer:
    """An access token for what a service received instead of one; 401 where it is worth none."""
    if body.api_key is not None:
        credential = Credential(CredentialKind.API_KEY, body.api_key.get_secret_value())
    else:
        assert body.outside_token is not None  # noqa: S101  (the schema says so)
        credential = Credential(CredentialKind.OUTSIDE_TOKEN, body.outside_token.get_secret_value())
    answer = await exchanger.exchange(credential, Client(body.address, body.agent))
    return ExchangeAnswer(access_token=answer.access_token, expires_in_s=answer.expires_in_s)
