"""The service that Besa's claim is filed with, on a good day and on a bad one."""

from collections.abc import Mapping

from tools.openapi.story.operation_example import JSON, OperationExample

SERVICE: JSON = {"status": "healthy", "latency_ms": 4.2, "circuit": "closed", "since": None}
DATABASE: JSON = {
    "status": "healthy",
    "latency_ms": 3.1,
    "role": "writer",
    "server": "3f9a0c1d",
    "schema_version": {"newest": "0032_statistics", "missing": 0},
    "connections": {"used": 12, "max": 80},
    "failover": {"detected": False, "at": None},
}
REPORT: JSON = {
    "status": "healthy",
    "version": "0.2.0",
    "checked_at": "2026-11-03T07:12:00Z",
    "checks": {
        "database": DATABASE,
        **dict.fromkeys(("email", "identity", "storage", "queue", "state_store"), SERVICE),
    },
    "jobs": {"pending": 2, "oldest_pending_s": 0.4, "failed": 0, "held": 0, "oldest_held_s": 0.0},
    "transaction_retries": {"last_minute": 0},
    "runtime": {"uptime_s": 3600.5, "memory_mb": 118.4, "cpu_s": 21.7, "cold_start": False},
}
WITHOUT_DATABASE: JSON = {
    **REPORT,
    "status": "unhealthy",
    "checks": {
        **REPORT["checks"],
        "database": {
            "status": "unhealthy",
            "latency_ms": 1500.0,
            "role": None,
            "server": None,
            "schema_version": {"newest": None, "missing": None},
            "connections": {"used": None, "max": 80},
            "failover": {"detected": True, "at": "2026-11-03T07:11:40Z"},
        },
    },
    "jobs": {"pending": None, "oldest_pending_s": None, "failed": None, "held": None, "oldest_held_s": None},
}

EXAMPLES: Mapping[str, OperationExample] = {
    "health.check": OperationExample(answer={"status": "healthy", "version": "0.2.0", "time": "2026-11-03T07:12:00Z"}),
    "health.check_dependencies": OperationExample(answer=REPORT, other_answers={503: WITHOUT_DATABASE}),
}
