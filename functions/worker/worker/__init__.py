"""Worker: sends mails and creates sign-ins, for the jobs that SQS delivers."""
