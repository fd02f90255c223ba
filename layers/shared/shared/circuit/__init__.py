"""Circuit breakers that all environments share: pure, their store and clock are passed in."""
