"""What can be wrong with an API key."""

from fluxprint_common.problems import Conflict, Forbidden, Invalid, Unauthenticated


class ApiKeyInvalid(Unauthenticated):
    """The API key is not valid, has expired or was revoked"""

    code = "api_key_invalid"
    keeps_writes = True


class ScopesBeyondRole(Forbidden):
    """A key can only do what your role in the organisation may do"""

    code = "scopes_beyond_role"


class ScopesBeyondPrinters(Invalid):
    """A key for named printers can only do what concerns printing"""

    code = "scopes_beyond_printers"


class ExpiryOutOfBounds(Invalid):
    """A key must expire in the future, and not later than allowed here"""

    code = "expiry_out_of_bounds"


class TooManyApiKeys(Conflict):
    """There are as many API keys as there may be; revoke some that are not needed"""

    code = "too_many_api_keys"
