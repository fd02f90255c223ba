"""API Gateway's part, in front of `local.runtime`: routes, authorizer, throttles, limits and its own responses."""
