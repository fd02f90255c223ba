"""Internationalised domain names, converted to the ASCII form that mail systems use (IDNA 2008, RFC 5891)."""

_ACE = "xn--"  # prefix of labels in punycode


def convert_domain_to_ascii(domain: str) -> str:
    """Return the domain in lower-case ASCII, non-ASCII labels as punycode. Raise ValueError if it is not a domain."""
    lowered = domain.lower()
    if lowered.isascii() and _ACE not in lowered:
        return lowered
    # Its tables take some 60 ms to load and few domains need them, so they are loaded for the first one.
    import idna

    return idna.encode(domain, uts46=True).decode()
