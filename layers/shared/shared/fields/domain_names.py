"""Internationalised domain names, turned into the ASCII form that the mail system uses (IDNA 2008, RFC 5891)."""

_ACE = "xn--"  # how a label in punycode begins


def convert_domain_to_ascii(domain: str) -> str:
    """Return the domain in lower-case ASCII, each other label as punycode. Raises ValueError for what is no domain."""
    lowered = domain.lower()
    if lowered.isascii() and _ACE not in lowered:
        return lowered
    # Its tables take some 60 ms to load and few domains need them, so the first that does pays for them.
    import idna

    return idna.encode(domain, uts46=True).decode()
