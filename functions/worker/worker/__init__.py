"""Worker: mails and sign-ins, made for the jobs that SQS delivers."""
