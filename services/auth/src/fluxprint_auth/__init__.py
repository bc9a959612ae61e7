"""Who is who: accounts, sessions, organisations, roles and bridge identities."""
