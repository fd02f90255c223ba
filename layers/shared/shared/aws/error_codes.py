"""The meaning of the error codes of the AWS operations that we call; errors.py makes exceptions of them.

Sources: the error shapes of botocore's service models, which tests/unit/aws/test_error_codes.py holds against these
lists; "Common errors" in the reference of each service; the error codes of S3 and of KMS. Where a service says a code
in two spellings both are here. A HEAD request to S3 has no body, so its code is the status.
"""

# Nothing was done, and nothing will be until an operator repairs it: credentials, permissions, a resource that is gone,
# an account or a key that was switched off, a trigger or a policy of the user pool that is wrong.
OPERATOR = frozenset(
    {
        # any service: who asks, and whether they may
        "400", "401", "403",
        "AccessDenied", "AccessDeniedException", "AuthFailure", "Blocked", "ExpiredToken", "ExpiredTokenException",
        "IncompleteSignature", "IncompleteSignatureException", "InvalidAccessKeyId", "InvalidClientTokenId",
        "InvalidSecurity", "InvalidSecurityToken", "InvalidSignatureException", "InvalidToken", "InvalidTokenException",
        "MissingAuthenticationToken", "MissingAuthenticationTokenException", "MissingSecurityHeader", "NotAuthorized",
        "NotSignedUp", "OptInRequired", "PendingVerification", "RequestExpired", "RequestTimeTooSkewed",
        "SignatureDoesNotMatch", "TokenRefreshRequired", "UnauthorizedAccess", "UnrecognizedClientException",
        # any service: what is asked is not there
        "404", "301", "307", "ResourceNotFound", "ResourceNotFoundException", "UnknownOperationException",
        # SES
        "AccountSendingPausedException", "AccountSuspendedException", "ConfigurationSetDoesNotExist",
        "ConfigurationSetDoesNotExistException", "ConfigurationSetSendingPausedException",
        "FromEmailAddressNotVerified",
        "FromEmailAddressNotVerifiedException", "MailFromDomainNotVerified", "MailFromDomainNotVerifiedException",
        "NotFoundException", "SendingPausedException",
        # Cognito
        "InvalidLambdaResponseException", "InvalidPasswordException", "InvalidSmsRoleAccessPolicyException",
        "InvalidSmsRoleTrustRelationshipException", "OperationNotEnabledException", "UnexpectedLambdaException",
        "UserPoolAddOnNotEnabledException", "UserPoolTaggingException",
        # S3
        "AccessPointNotFound", "AccountProblem", "AllAccessDisabled", "AuthorizationHeaderMalformed",
        "AuthorizationQueryParametersError", "IllegalLocationConstraintException", "InvalidBucketName",
        "InvalidBucketState", "InvalidObjectState", "InvalidPayer", "KeyNotFound", "NoSuchBucket",
        "ObjectNotInActiveTierError", "PermanentRedirect", "Redirect", "TemporaryRedirect",
        "UnauthorizedAccessError",
        # SQS
        "AWS.SimpleQueueService.NonExistentQueue", "AWS.SimpleQueueService.QueueDeletedRecently", "InvalidAddress",
        "NonExistentQueue", "QueueDeletedRecently", "QueueDoesNotExist",
        # DynamoDB
        "InaccessibleEncryptionKeyException", "TableNotFoundException",
    }
)  # fmt: skip
# The key that a bucket, a queue or a table is encrypted with was disabled, deleted, or is not ours to use:
# KMS.DisabledException, KmsAccessDenied, KMSAccessDeniedException …
OPERATOR_PREFIX = "kms"

# Nothing was done; the same request may pass later, without anybody's doing.
LATER = frozenset(
    {
        # any service: too much at once
        "429", "BandwidthLimitExceeded", "EC2ThrottledException", "KmsThrottled", "KMSThrottlingException",
        "LimitExceeded", "LimitExceededException", "PriorRequestNotComplete", "ProvisionedThroughputExceeded",
        "ProvisionedThroughputExceededException", "RequestLimitExceeded", "RequestThrottled",
        "RequestThrottledException", "SlowDown", "ThrottledException", "Throttling", "ThrottlingException",
        "TooManyRequestsException", "TransactionInProgressException",
        # DynamoDB: another write came in between
        "ConflictException", "ReplicatedWriteConflictException", "TransactionCanceledException",
        "TransactionConflictException",
        # SES and S3: somebody else changes it just now
        "ConcurrentModificationException", "OperationAborted",
        # SQS
        "OverLimit", "UnsupportedOperation",
        # S3: the body did not arrive in time
        "RequestTimeout",
        # Cognito: this one person's state may be in the way. It is tried a few times, and fails then: one person must
        # not hold up the others.
        "CodeDeliveryFailureException", "NotAuthorizedException", "PasswordHistoryPolicyViolationException",
        "PreconditionNotMetException",
    }
)  # fmt: skip

# An answer: this request is wrong, or what it asks for is not so. Asking again changes nothing.
REFUSED = frozenset(
    {
        # any service
        "405", "409", "412", "413", "416",
        "InvalidAction", "InvalidArgument", "InvalidParameter", "InvalidParameterCombination",
        "InvalidParameterException", "InvalidParameterValue", "InvalidQueryParameter", "InvalidRequest",
        "MalformedQueryString", "MissingAction", "MissingParameter", "SerializationException", "ValidationError",
        "ValidationException",
        # SES
        "BadRequestException", "MessageRejected",
        # Cognito
        "AliasExistsException", "UnsupportedUserStateException", "UserLambdaValidationException",
        "UserNotFoundException", "UsernameExistsException",
        # S3
        "BadDigest", "EntityTooLarge", "EntityTooSmall", "InvalidDigest", "InvalidRange", "KeyTooLongError",
        "MalformedXML", "MetadataTooLarge", "MethodNotAllowed", "NoSuchKey", "NoSuchVersion", "NotImplemented",
        "PreconditionFailed",
        # SQS
        "AWS.SimpleQueueService.BatchEntryIdsNotDistinct", "AWS.SimpleQueueService.BatchRequestTooLong",
        "AWS.SimpleQueueService.EmptyBatchRequest", "AWS.SimpleQueueService.InvalidBatchEntryId",
        "AWS.SimpleQueueService.TooManyEntriesInBatchRequest", "BatchEntryIdsNotDistinct", "BatchRequestTooLong",
        "EmptyBatchRequest", "InvalidAttributeName", "InvalidBatchEntryId", "InvalidMessageContents",
        "MessageNotInflight", "ReceiptHandleIsInvalid", "TooManyEntriesInBatchRequest",
        "AWS.SimpleQueueService.MessageNotInflight",
        # DynamoDB
        "ConditionalCheckFailedException", "IdempotentParameterMismatchException",
        "ItemCollectionSizeLimitExceededException",
    }
)  # fmt: skip

# The service failed on its way: it may have been done.
UNCERTAIN = frozenset(
    {
        "500", "502", "503", "504",
        "InternalError", "InternalErrorException", "InternalFailure", "InternalServerError",
        "InternalServerErrorException", "InternalServiceError", "InternalServiceErrorException", "ServiceUnavailable",
        "ServiceUnavailableException",
    }
)  # fmt: skip
