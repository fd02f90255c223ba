"""Circuit breakers whose state all environments share. Pure: the store and the clock are passed in."""
