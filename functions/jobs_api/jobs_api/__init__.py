"""The API for jobs that did not end well."""
