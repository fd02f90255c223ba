"""The meaning of the error codes of the AWS operations in use; errors.py turns them into exceptions.

Sources: the error shapes of botocore's service models, which tests/unit/aws/test_error_codes.py compares with these
lists; "Common errors" in the reference of each service; the error codes of S3 and of KMS. If a service uses two
spellings of a code, both are listed. A HEAD request to S3 has no body, so its code is the status.
"""

# Nothing was done, and nothing will be until an operator fixes it: credentials, permissions, a missing resource, a
# disabled account or key, a wrong trigger or policy of the user pool.
OPERATOR = frozenset(
    {
        # any service: the caller and its permissions
        "400", "401", "403",
        "AccessDenied", "AccessDeniedException", "AuthFailure", "Blocked", "ExpiredToken", "ExpiredTokenException",
        "IncompleteSignature", "IncompleteSignatureException", "InvalidAccessKeyId", "InvalidClientTokenId",
        "InvalidSecurity", "InvalidSecurityToken", "InvalidSignatureException", "InvalidToken", "InvalidTokenException",
        "MissingAuthenticationToken", "MissingAuthenticationTokenException", "MissingSecurityHeader", "NotAuthorized",
        "NotSignedUp", "OptInRequired", "PendingVerification", "RequestExpired", "RequestTimeTooSkewed",
        "SignatureDoesNotMatch", "TokenRefreshRequired", "UnauthorizedAccess", "UnrecognizedClientException",
        # any service: the resource does not exist
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
# The key that encrypts a bucket, a queue or a table was disabled, deleted, or may not be used by us:
# KMS.DisabledException, KmsAccessDenied, KMSAccessDeniedException …
OPERATOR_PREFIX = "kms"

# Nothing was done; the same request may succeed later without intervention.
LATER = frozenset(
    {
        # any service: too many requests
        "429", "BandwidthLimitExceeded", "EC2ThrottledException", "KmsThrottled", "KMSThrottlingException",
        "LimitExceeded", "LimitExceededException", "PriorRequestNotComplete", "ProvisionedThroughputExceeded",
        "ProvisionedThroughputExceededException", "RequestLimitExceeded", "RequestThrottled",
        "RequestThrottledException", "SlowDown", "ThrottledException", "Throttling", "ThrottlingException",
        "TooManyRequestsException", "TransactionInProgressException",
        # DynamoDB: a conflicting write
        "ConflictException", "ReplicatedWriteConflictException", "TransactionCanceledException",
        "TransactionConflictException",
        # SES and S3: a concurrent change
        "ConcurrentModificationException", "OperationAborted",
        # SQS
        "OverLimit", "UnsupportedOperation",
        # S3: the request's body did not arrive in time
        "RequestTimeout",
        # Cognito: the cause may be this one person's state. A few attempts are made before the job fails, since one
        # person must not hold up the others.
        "CodeDeliveryFailureException", "NotAuthorizedException", "PasswordHistoryPolicyViolationException",
        "PreconditionNotMetException",
    }
)  # fmt: skip

# A clear answer: the request is invalid, or its target is in another state. Repeating it changes nothing.
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

# The service failed during the request: it may have been carried out.
UNCERTAIN = frozenset(
    {
        "500", "502", "503", "504",
        "InternalError", "InternalErrorException", "InternalFailure", "InternalServerError",
        "InternalServerErrorException", "InternalServiceError", "InternalServiceErrorException", "ServiceUnavailable",
        "ServiceUnavailableException",
    }
)  # fmt: skip
