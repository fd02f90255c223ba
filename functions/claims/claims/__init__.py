"""Claims: filed by members with evidence, carried through their states by staff."""
