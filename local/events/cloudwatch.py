"""A client of the emulator's CloudWatch, in AWS's JSON protocol.

boto3 would use the binary protocol, which the emulator has no decoder for: it takes such a call for an empty one.

The emulator's alarms differ from AWS's (`_evaluate_alarm` of its cloudwatch.py): they are evaluated at each
PutMetricData and at no other time, by one statistic over all points of the last Period x EvaluationPeriods seconds,
whatever their dimensions. So there is no DatapointsToAlarm (one bad point is enough), TreatMissingData has no effect
(without data an alarm keeps its state), and an alarm returns to OK with the first point after the last bad one has left
all periods.
"""

import http.client
import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from local.events.embedded_metrics import MetricDatum

TARGET = "GraniteServiceVersion20100801"
MAX_DATA_PER_CALL = 1000  # PutMetricData's limit
TIMEOUT_S = 10.0


class MetricsRejected(Exception):
    """CloudWatch will never accept the call; the message is its answer."""


class CloudWatch:
    """CloudWatch of one region at an endpoint."""

    def __init__(self, endpoint: str, region: str) -> None:
        self._endpoint = endpoint
        self._signer = SigV4Auth(Credentials("local", "local"), "monitoring", region)

    def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Return the answer to one call. Raise OSError if there is none, MetricsRejected on refusal."""
        body = json.dumps(parameters).encode()
        headers = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": f"{TARGET}.{operation}"}
        request = AWSRequest("POST", f"{self._endpoint}/", headers=headers, data=body)
        self._signer.add_auth(request)
        connection = http.client.HTTPConnection(urlsplit(self._endpoint).netloc, timeout=TIMEOUT_S)
        try:
            connection.request("POST", "/", body, dict(request.headers.items()))
            response = connection.getresponse()
            return _parse_answer(response.status, response.read())
        except (http.client.HTTPException, ValueError) as error:
            raise OSError(f"no answer of CloudWatch's: {error!r}") from error
        finally:
            connection.close()

    def put_metrics(self, namespace: str, data: Sequence[MetricDatum]) -> None:
        """Put up to MAX_DATA_PER_CALL metrics of one namespace. Raise what `call` raises."""
        self.call("PutMetricData", Namespace=namespace, MetricData=[datum.to_json() for datum in data])


def _parse_answer(status: int, body: bytes) -> dict[str, Any]:
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise OSError(f"CloudWatch answered {status}")
    if status >= HTTPStatus.BAD_REQUEST:
        raise MetricsRejected(body.decode(errors="replace"))
    answer: dict[str, Any] = json.loads(body or b"{}")
    return answer
