"""What every room of the service shares: settings, the database, admission, jobs and HTTP."""
