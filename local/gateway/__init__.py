"""What API Gateway does, in front of `local.runtime`: routes, authorizer, throttles, limits and its own answers."""
