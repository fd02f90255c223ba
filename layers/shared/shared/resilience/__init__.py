"""Pure mechanisms of resilience: standard library only; clock, randomness and storage are passed in."""
