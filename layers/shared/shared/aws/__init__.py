"""AWS: the only home of boto3."""
