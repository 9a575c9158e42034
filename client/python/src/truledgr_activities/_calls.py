"""The seven calls and their fields.

Written by "go test ./client -update" from the table in activity/field.go. Do not edit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Final, Generic, TypedDict, TypeVar

R = TypeVar("R")


class Service(TypedDict, total=False):
    """The application; what is not said here the agent's configuration says."""

    name: str  # Application that wrote it
    version: str  # Version of the application
    environment: str  # Environment of the application, such as production


class Host(TypedDict, total=False):
    """Where it was written."""

    name: str  # Host it was written on


class Log(TypedDict, total=False):
    """Where in the application it was written."""

    logger: str  # Logger that wrote the line


class RateLimit(TypedDict, total=False):
    """What the called service says of its limits."""

    limit: int  # Calls allowed in the window
    remaining: int  # Calls left in the window
    reset_at: datetime | str  # When the window ends


# The type of each field, by its path in the document.
TYPES: Final[Mapping[str, str]] = {
    "id": "keyword",
    "@timestamp": "date",
    "activity_type": "keyword",
    "user_id": "keyword",
    "entity_type": "keyword",
    "entity_id": "keyword",
    "description": "text",
    "status": "keyword",
    "tags": "keywords",
    "method": "keyword",
    "endpoint": "keyword",
    "status_code": "long",
    "request_data": "free",
    "response_data": "free",
    "headers": "free",
    "execution_time_ms": "double",
    "error_details": "text",
    "performance_metrics": "free",
    "ip_address": "ip",
    "user_agent": "keyword",
    "table_name": "keyword",
    "operation": "keyword",
    "query_params": "free",
    "fields_accessed": "keywords",
    "permission_level": "keyword",
    "applied_filters": "free",
    "record_count": "long",
    "record_id": "keyword",
    "old_values": "free",
    "new_values": "free",
    "changed_fields": "keywords",
    "validation_errors": "free",
    "business_rules": "free",
    "event_type": "keyword",
    "success": "bool",
    "failure_reason": "keyword",
    "session_id": "keyword",
    "login_method": "keyword",
    "two_factor_method": "keyword",
    "two_factor_success": "bool",
    "service_name": "keyword",
    "rate_limit.limit": "long",
    "rate_limit.remaining": "long",
    "rate_limit.reset_at": "date",
    "severity": "keyword",
    "component": "keyword",
    "error_code": "keyword",
    "stack_trace": "text",
    "affected_entities": "free",
    "health_status": "keyword",
    "details": "free",
    "context": "free",
    "metadata": "free",
    "trace_id": "keyword",
    "span_id": "keyword",
    "request_id": "keyword",
    "tenant_id": "keyword",
    "service.name": "keyword",
    "service.version": "keyword",
    "service.environment": "keyword",
    "host.name": "keyword",
    "log.logger": "keyword",
}


class Calls(ABC, Generic[R]):
    """The seven calls. All parameters are optional; one that is None is not written."""

    @abstractmethod
    def _log(self, kind: str, fields: dict[str, object]) -> R:
        """Take an activity of a kind. What is returned is what the calls return."""

    def create_activity(
        self,
        *,
        id: str | None = None,
        timestamp: datetime | str | None = None,
        activity_type: str | None = None,
        user_id: str | None = None,
        entity_type: str | None = None,
        entity_id: str | None = None,
        description: str | None = None,
        status: str | None = None,
        tags: Sequence[str] | None = None,
        ip_address: str | IPv4Address | IPv6Address | None = None,
        user_agent: str | None = None,
        details: object | None = None,
        context: object | None = None,
        metadata: object | None = None,
        trace_id: str | None = None,
        span_id: str | None = None,
        request_id: str | None = None,
        tenant_id: str | None = None,
        service: Service | None = None,
        host: Host | None = None,
        log: Log | None = None,
        session: object = None,
    ) -> R:
        """Log something that somebody did, of no more special kind.

        Args:
            id: ULID of the activity: its time and 80 bits that name its place in the log.
            timestamp: When it happened.
            activity_type: Free name of the action, such as user_login; the kind where nothing better is known.
            user_id: Who did it.
            entity_type: What sort of thing it was done to, such as order.
            entity_id: Which thing it was done to.
            description: What happened, in words; the line's message.
            status: State or result as the sender names it.
            tags: Free labels.
            ip_address: Address of the caller.
            user_agent: User agent of the caller.
            details: Everything of the line that has no field of its own.
            context: Circumstances, as the sender gave them.
            metadata: Data about the event, as the sender gave it.
            trace_id: Trace it belongs to.
            span_id: Span it belongs to.
            request_id: Request it belongs to.
            tenant_id: Tenant it belongs to.
            service: The application; what is not said here the agent's configuration says.
            host: Where it was written.
            log: Where in the application it was written.
            session: Ignored; a database session, where activities were rows of a database.
        """
        return self._log(
            "activity",
            {
                "id": id,
                "@timestamp": timestamp,
                "activity_type": activity_type,
                "user_id": user_id,
                "entity_type": entity_type,
                "entity_id": entity_id,
                "description": description,
                "status": status,
                "tags": tags,
                "ip_address": ip_address,
                "user_agent": user_agent,
                "details": details,
                "context": context,
                "metadata": metadata,
                "trace_id": trace_id,
                "span_id": span_id,
                "request_id": request_id,
                "tenant_id": tenant_id,
                "service": service,
                "host": host,
                "log": log,
            },
        )

    def log_api_transaction(
        self,
        *,
        id: str | None = None,
        timestamp: datetime | str | None = None,
        activity_type: str | None = None,
        user_id: str | None = None,
        entity_type: str | None = None,
        entity_id: str | None = None,
        description: str | None = None,
        status: str | None = None,
        tags: Sequence[str] | None = None,
        method: str | None = None,
        endpoint: str | None = None,
        status_code: int | None = None,
        request_data: object | None = None,
        response_data: object | None = None,
        headers: object | None = None,
        execution_time_ms: float | None = None,
        error_details: str | None = None,
        performance_metrics: object | None = None,
        ip_address: str | IPv4Address | IPv6Address | None = None,
        user_agent: str | None = None,
        details: object | None = None,
        context: object | None = None,
        metadata: object | None = None,
        trace_id: str | None = None,
        span_id: str | None = None,
        request_id: str | None = None,
        tenant_id: str | None = None,
        service: Service | None = None,
        host: Host | None = None,
        log: Log | None = None,
        session: object = None,
    ) -> R:
        """Log a request that this application answered.

        Args:
            id: ULID of the activity: its time and 80 bits that name its place in the log.
            timestamp: When it happened.
            activity_type: Free name of the action, such as user_login; the kind where nothing better is known.
            user_id: Who did it.
            entity_type: What sort of thing it was done to, such as order.
            entity_id: Which thing it was done to.
            description: What happened, in words; the line's message.
            status: State or result as the sender names it.
            tags: Free labels.
            method: HTTP method.
            endpoint: Path or URL that was called.
            status_code: HTTP status code.
            request_data: Body or parameters of the request.
            response_data: Body of the response.
            headers: Headers of the request.
            execution_time_ms: How long it took, in milliseconds.
            error_details: What went wrong.
            performance_metrics: Measurements of the request.
            ip_address: Address of the caller.
            user_agent: User agent of the caller.
            details: Everything of the line that has no field of its own.
            context: Circumstances, as the sender gave them.
            metadata: Data about the event, as the sender gave it.
            trace_id: Trace it belongs to.
            span_id: Span it belongs to.
            request_id: Request it belongs to.
            tenant_id: Tenant it belongs to.
            service: The application; what is not said here the agent's configuration says.
            host: Where it was written.
            log: Where in the application it was written.
            session: Ignored; a database session, where activities were rows of a database.
        """
        return self._log(
            "api_transaction",
            {
                "id": id,
                "@timestamp": timestamp,
                "activity_type": activity_type,
                "user_id": user_id,
                "entity_type": entity_type,
                "entity_id": entity_id,
                "description": description,
                "status": status,
                "tags": tags,
                "method": method,
                "endpoint": endpoint,
                "status_code": status_code,
                "request_data": request_data,
                "response_data": response_data,
                "headers": headers,
                "execution_time_ms": execution_time_ms,
                "error_details": error_details,
                "performance_metrics": performance_metrics,
                "ip_address": ip_address,
                "user_agent": user_agent,
                "details": details,
                "context": context,
                "metadata": metadata,
                "trace_id": trace_id,
                "span_id": span_id,
                "request_id": request_id,
                "tenant_id": tenant_id,
                "service": service,
                "host": host,
                "log": log,
            },
        )

    def log_data_access(
        self,
        *,
        id: str | None = None,
        timestamp: datetime | str | None = None,
        activity_type: str | None = None,
        user_id: str | None = None,
        entity_type: str | None = None,
        entity_id: str | None = None,
        description: str | None = None,
        status: str | None = None,
        tags: Sequence[str] | None = None,
        method: str | None = None,
        endpoint: str | None = None,
        status_code: int | None = None,
        ip_address: str | IPv4Address | IPv6Address | None = None,
        user_agent: str | None = None,
        table_name: str | None = None,
        operation: str | None = None,
        query_params: object | None = None,
        fields_accessed: Sequence[str] | None = None,
        permission_level: str | None = None,
        applied_filters: object | None = None,
        record_count: int | None = None,
        details: object | None = None,
        context: object | None = None,
        metadata: object | None = None,
        trace_id: str | None = None,
        span_id: str | None = None,
        request_id: str | None = None,
        tenant_id: str | None = None,
        service: Service | None = None,
        host: Host | None = None,
        log: Log | None = None,
        session: object = None,
    ) -> R:
        """Log a reading of data.

        Args:
            id: ULID of the activity: its time and 80 bits that name its place in the log.
            timestamp: When it happened.
            activity_type: Free name of the action, such as user_login; the kind where nothing better is known.
            user_id: Who did it.
            entity_type: What sort of thing it was done to, such as order.
            entity_id: Which thing it was done to.
            description: What happened, in words; the line's message.
            status: State or result as the sender names it.
            tags: Free labels.
            method: HTTP method.
            endpoint: Path or URL that was called.
            status_code: HTTP status code.
            ip_address: Address of the caller.
            user_agent: User agent of the caller.
            table_name: Table, collection or resource.
            operation: What was done to it, such as read or update.
            query_params: Parameters of the query.
            fields_accessed: Names of the fields that were read.
            permission_level: Permission under which it was read.
            applied_filters: Filters that were applied.
            record_count: How many records were read.
            details: Everything of the line that has no field of its own.
            context: Circumstances, as the sender gave them.
            metadata: Data about the event, as the sender gave it.
            trace_id: Trace it belongs to.
            span_id: Span it belongs to.
            request_id: Request it belongs to.
            tenant_id: Tenant it belongs to.
            service: The application; what is not said here the agent's configuration says.
            host: Where it was written.
            log: Where in the application it was written.
            session: Ignored; a database session, where activities were rows of a database.
        """
        return self._log(
            "data_access",
            {
                "id": id,
                "@timestamp": timestamp,
                "activity_type": activity_type,
                "user_id": user_id,
                "entity_type": entity_type,
                "entity_id": entity_id,
                "description": description,
                "status": status,
                "tags": tags,
                "method": method,
                "endpoint": endpoint,
                "status_code": status_code,
                "ip_address": ip_address,
                "user_agent": user_agent,
                "table_name": table_name,
                "operation": operation,
                "query_params": query_params,
                "fields_accessed": fields_accessed,
                "permission_level": permission_level,
                "applied_filters": applied_filters,
                "record_count": record_count,
                "details": details,
                "context": context,
                "metadata": metadata,
                "trace_id": trace_id,
                "span_id": span_id,
                "request_id": request_id,
                "tenant_id": tenant_id,
                "service": service,
                "host": host,
                "log": log,
            },
        )

    def log_data_changes(
        self,
        *,
        id: str | None = None,
        timestamp: datetime | str | None = None,
        activity_type: str | None = None,
        user_id: str | None = None,
        entity_type: str | None = None,
        entity_id: str | None = None,
        description: str | None = None,
        status: str | None = None,
        tags: Sequence[str] | None = None,
        method: str | None = None,
        endpoint: str | None = None,
        status_code: int | None = None,
        ip_address: str | IPv4Address | IPv6Address | None = None,
        user_agent: str | None = None,
        table_name: str | None = None,
        operation: str | None = None,
        record_id: str | None = None,
        old_values: object | None = None,
        new_values: object | None = None,
        changed_fields: Sequence[str] | None = None,
        validation_errors: object | None = None,
        business_rules: object | None = None,
        details: object | None = None,
        context: object | None = None,
        metadata: object | None = None,
        trace_id: str | None = None,
        span_id: str | None = None,
        request_id: str | None = None,
        tenant_id: str | None = None,
        service: Service | None = None,
        host: Host | None = None,
        log: Log | None = None,
        session: object = None,
    ) -> R:
        """Log a change of data.

        Args:
            id: ULID of the activity: its time and 80 bits that name its place in the log.
            timestamp: When it happened.
            activity_type: Free name of the action, such as user_login; the kind where nothing better is known.
            user_id: Who did it.
            entity_type: What sort of thing it was done to, such as order.
            entity_id: Which thing it was done to.
            description: What happened, in words; the line's message.
            status: State or result as the sender names it.
            tags: Free labels.
            method: HTTP method.
            endpoint: Path or URL that was called.
            status_code: HTTP status code.
            ip_address: Address of the caller.
            user_agent: User agent of the caller.
            table_name: Table, collection or resource.
            operation: What was done to it, such as read or update.
            record_id: Which record was changed.
            old_values: Values before the change.
            new_values: Values after the change.
            changed_fields: Names of the fields that differ; computed from the values where absent.
            validation_errors: Why the change was refused.
            business_rules: Rules that were applied.
            details: Everything of the line that has no field of its own.
            context: Circumstances, as the sender gave them.
            metadata: Data about the event, as the sender gave it.
            trace_id: Trace it belongs to.
            span_id: Span it belongs to.
            request_id: Request it belongs to.
            tenant_id: Tenant it belongs to.
            service: The application; what is not said here the agent's configuration says.
            host: Where it was written.
            log: Where in the application it was written.
            session: Ignored; a database session, where activities were rows of a database.
        """
        return self._log(
            "data_change",
            {
                "id": id,
                "@timestamp": timestamp,
                "activity_type": activity_type,
                "user_id": user_id,
                "entity_type": entity_type,
                "entity_id": entity_id,
                "description": description,
                "status": status,
                "tags": tags,
                "method": method,
                "endpoint": endpoint,
                "status_code": status_code,
                "ip_address": ip_address,
                "user_agent": user_agent,
                "table_name": table_name,
                "operation": operation,
                "record_id": record_id,
                "old_values": old_values,
                "new_values": new_values,
                "changed_fields": changed_fields,
                "validation_errors": validation_errors,
                "business_rules": business_rules,
                "details": details,
                "context": context,
                "metadata": metadata,
                "trace_id": trace_id,
                "span_id": span_id,
                "request_id": request_id,
                "tenant_id": tenant_id,
                "service": service,
                "host": host,
                "log": log,
            },
        )

    def log_auth_event(
        self,
        *,
        id: str | None = None,
        timestamp: datetime | str | None = None,
        activity_type: str | None = None,
        user_id: str | None = None,
        entity_type: str | None = None,
        entity_id: str | None = None,
        description: str | None = None,
        status: str | None = None,
        tags: Sequence[str] | None = None,
        method: str | None = None,
        endpoint: str | None = None,
        status_code: int | None = None,
        ip_address: str | IPv4Address | IPv6Address | None = None,
        user_agent: str | None = None,
        event_type: str | None = None,
        success: bool | None = None,
        failure_reason: str | None = None,
        session_id: str | None = None,
        login_method: str | None = None,
        two_factor_method: str | None = None,
        two_factor_success: bool | None = None,
        details: object | None = None,
        context: object | None = None,
        metadata: object | None = None,
        trace_id: str | None = None,
        span_id: str | None = None,
        request_id: str | None = None,
        tenant_id: str | None = None,
        service: Service | None = None,
        host: Host | None = None,
        log: Log | None = None,
        session: object = None,
    ) -> R:
        """Log a login, a logout, or another event of authentication.

        Args:
            id: ULID of the activity: its time and 80 bits that name its place in the log.
            timestamp: When it happened.
            activity_type: Free name of the action, such as user_login; the kind where nothing better is known.
            user_id: Who did it.
            entity_type: What sort of thing it was done to, such as order.
            entity_id: Which thing it was done to.
            description: What happened, in words; the line's message.
            status: State or result as the sender names it.
            tags: Free labels.
            method: HTTP method.
            endpoint: Path or URL that was called.
            status_code: HTTP status code.
            ip_address: Address of the caller.
            user_agent: User agent of the caller.
            event_type: What sort of authentication or system event, such as login or startup.
            success: Whether it succeeded.
            failure_reason: Why it failed.
            session_id: Session it belongs to.
            login_method: How the user logged in, such as password or sso.
            two_factor_method: Second factor that was used.
            two_factor_success: Whether the second factor was accepted.
            details: Everything of the line that has no field of its own.
            context: Circumstances, as the sender gave them.
            metadata: Data about the event, as the sender gave it.
            trace_id: Trace it belongs to.
            span_id: Span it belongs to.
            request_id: Request it belongs to.
            tenant_id: Tenant it belongs to.
            service: The application; what is not said here the agent's configuration says.
            host: Where it was written.
            log: Where in the application it was written.
            session: Ignored; a database session, where activities were rows of a database.
        """
        return self._log(
            "auth_event",
            {
                "id": id,
                "@timestamp": timestamp,
                "activity_type": activity_type,
                "user_id": user_id,
                "entity_type": entity_type,
                "entity_id": entity_id,
                "description": description,
                "status": status,
                "tags": tags,
                "method": method,
                "endpoint": endpoint,
                "status_code": status_code,
                "ip_address": ip_address,
                "user_agent": user_agent,
                "event_type": event_type,
                "success": success,
                "failure_reason": failure_reason,
                "session_id": session_id,
                "login_method": login_method,
                "two_factor_method": two_factor_method,
                "two_factor_success": two_factor_success,
                "details": details,
                "context": context,
                "metadata": metadata,
                "trace_id": trace_id,
                "span_id": span_id,
                "request_id": request_id,
                "tenant_id": tenant_id,
                "service": service,
                "host": host,
                "log": log,
            },
        )

    def log_external_api(
        self,
        *,
        id: str | None = None,
        timestamp: datetime | str | None = None,
        activity_type: str | None = None,
        user_id: str | None = None,
        entity_type: str | None = None,
        entity_id: str | None = None,
        description: str | None = None,
        status: str | None = None,
        tags: Sequence[str] | None = None,
        method: str | None = None,
        endpoint: str | None = None,
        status_code: int | None = None,
        execution_time_ms: float | None = None,
        error_details: str | None = None,
        ip_address: str | IPv4Address | IPv6Address | None = None,
        user_agent: str | None = None,
        service_name: str | None = None,
        rate_limit: RateLimit | None = None,
        details: object | None = None,
        context: object | None = None,
        metadata: object | None = None,
        trace_id: str | None = None,
        span_id: str | None = None,
        request_id: str | None = None,
        tenant_id: str | None = None,
        service: Service | None = None,
        host: Host | None = None,
        log: Log | None = None,
        session: object = None,
    ) -> R:
        """Log a call of another service.

        Args:
            id: ULID of the activity: its time and 80 bits that name its place in the log.
            timestamp: When it happened.
            activity_type: Free name of the action, such as user_login; the kind where nothing better is known.
            user_id: Who did it.
            entity_type: What sort of thing it was done to, such as order.
            entity_id: Which thing it was done to.
            description: What happened, in words; the line's message.
            status: State or result as the sender names it.
            tags: Free labels.
            method: HTTP method.
            endpoint: Path or URL that was called.
            status_code: HTTP status code.
            execution_time_ms: How long it took, in milliseconds.
            error_details: What went wrong.
            ip_address: Address of the caller.
            user_agent: User agent of the caller.
            service_name: Service that was called.
            rate_limit: What the called service says of its limits.
            details: Everything of the line that has no field of its own.
            context: Circumstances, as the sender gave them.
            metadata: Data about the event, as the sender gave it.
            trace_id: Trace it belongs to.
            span_id: Span it belongs to.
            request_id: Request it belongs to.
            tenant_id: Tenant it belongs to.
            service: The application; what is not said here the agent's configuration says.
            host: Where it was written.
            log: Where in the application it was written.
            session: Ignored; a database session, where activities were rows of a database.
        """
        return self._log(
            "external_api",
            {
                "id": id,
                "@timestamp": timestamp,
                "activity_type": activity_type,
                "user_id": user_id,
                "entity_type": entity_type,
                "entity_id": entity_id,
                "description": description,
                "status": status,
                "tags": tags,
                "method": method,
                "endpoint": endpoint,
                "status_code": status_code,
                "execution_time_ms": execution_time_ms,
                "error_details": error_details,
                "ip_address": ip_address,
                "user_agent": user_agent,
                "service_name": service_name,
                "rate_limit": rate_limit,
                "details": details,
                "context": context,
                "metadata": metadata,
                "trace_id": trace_id,
                "span_id": span_id,
                "request_id": request_id,
                "tenant_id": tenant_id,
                "service": service,
                "host": host,
                "log": log,
            },
        )

    def log_system_event(
        self,
        *,
        id: str | None = None,
        timestamp: datetime | str | None = None,
        activity_type: str | None = None,
        user_id: str | None = None,
        entity_type: str | None = None,
        entity_id: str | None = None,
        description: str | None = None,
        status: str | None = None,
        tags: Sequence[str] | None = None,
        ip_address: str | IPv4Address | IPv6Address | None = None,
        user_agent: str | None = None,
        event_type: str | None = None,
        severity: str | None = None,
        component: str | None = None,
        error_code: str | None = None,
        stack_trace: str | None = None,
        affected_entities: object | None = None,
        health_status: str | None = None,
        details: object | None = None,
        context: object | None = None,
        metadata: object | None = None,
        trace_id: str | None = None,
        span_id: str | None = None,
        request_id: str | None = None,
        tenant_id: str | None = None,
        service: Service | None = None,
        host: Host | None = None,
        log: Log | None = None,
        session: object = None,
    ) -> R:
        """Log an event of the system, such as a start or an error.

        Args:
            id: ULID of the activity: its time and 80 bits that name its place in the log.
            timestamp: When it happened.
            activity_type: Free name of the action, such as user_login; the kind where nothing better is known.
            user_id: Who did it.
            entity_type: What sort of thing it was done to, such as order.
            entity_id: Which thing it was done to.
            description: What happened, in words; the line's message.
            status: State or result as the sender names it.
            tags: Free labels.
            ip_address: Address of the caller.
            user_agent: User agent of the caller.
            event_type: What sort of authentication or system event, such as login or startup.
            severity: debug, info, warning, error or critical; trace and others as written.
            component: Part of the system it is about.
            error_code: Code of the error.
            stack_trace: Stack trace of the error.
            affected_entities: What else is affected.
            health_status: Health after the event.
            details: Everything of the line that has no field of its own.
            context: Circumstances, as the sender gave them.
            metadata: Data about the event, as the sender gave it.
            trace_id: Trace it belongs to.
            span_id: Span it belongs to.
            request_id: Request it belongs to.
            tenant_id: Tenant it belongs to.
            service: The application; what is not said here the agent's configuration says.
            host: Where it was written.
            log: Where in the application it was written.
            session: Ignored; a database session, where activities were rows of a database.
        """
        return self._log(
            "system_event",
            {
                "id": id,
                "@timestamp": timestamp,
                "activity_type": activity_type,
                "user_id": user_id,
                "entity_type": entity_type,
                "entity_id": entity_id,
                "description": description,
                "status": status,
                "tags": tags,
                "ip_address": ip_address,
                "user_agent": user_agent,
                "event_type": event_type,
                "severity": severity,
                "component": component,
                "error_code": error_code,
                "stack_trace": stack_trace,
                "affected_entities": affected_entities,
                "health_status": health_status,
                "details": details,
                "context": context,
                "metadata": metadata,
                "trace_id": trace_id,
                "span_id": span_id,
                "request_id": request_id,
                "tenant_id": tenant_id,
                "service": service,
                "host": host,
                "log": log,
            },
        )
