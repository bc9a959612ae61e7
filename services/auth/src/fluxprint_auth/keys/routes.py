"""HTTP of the signing keys."""

from fastapi import APIRouter, Response

from fluxprint_auth.dependencies import Keys
from fluxprint_auth.keys.schemas import JsonWebKey, JsonWebKeySet

router = APIRouter(tags=["auth"])


@router.get("/auth/jwks", summary="Get the public signing keys", openapi_extra={"security": []})
async def get_jwks(keys: Keys, response: Response) -> JsonWebKeySet:
    """The keys that verify access tokens. Fetch them again when a token names one that you don't know."""
    response.headers["Cache-Control"] = "public, max-age=300"
    return JsonWebKeySet(keys=[JsonWebKey.model_validate(document) for document in keys.documents])
