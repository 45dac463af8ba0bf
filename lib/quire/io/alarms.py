"""Topic, subscriptions and alarms of one use case, where Terraform is not used: ``quire alerts setup``.

Everything is put by name, so that doing it again changes nothing and repairs what is missing.
"""

from dataclasses import dataclass
from typing import Any

from quire.config import Settings
from quire.io import storage

KINDS = ("drift", "performance", "data")
"""Kinds of alerts that have an alarm of their own; ``run_failed`` is the figure ``RunSucceeded``."""


@dataclass(frozen=True)
class AlarmSetup:
    """What there is now: the topic's ARN, who gets its mail, and the alarms."""

    topic: str
    subscribers: tuple[str, ...]
    alarms: tuple[str, ...]


def make(
    settings: Settings, *, emails: tuple[str, ...] = (), workflow: str = "score", overdue_days: int = 7
) -> AlarmSetup:
    """Make the topic, subscribe ``emails`` to it, and put the alarms of ``workflow``; return what there is.

    overdue_days: the alarm "run missing" rings when no run succeeded for so many days, at most 7 (CloudWatch looks back
    no further). Raises ArchiveError or ConfigError where AWS cannot be asked.
    """
    endpoint = settings.config.alerts.endpoint_url
    sns, cloudwatch = storage.client("sns", endpoint), storage.client("cloudwatch", endpoint)
    with storage.translate_errors(f"alerts of {settings.name}"):
        topic = settings.config.alerts.sns_topic or sns.create_topic(Name=f"quire-{settings.name}-alerts")["TopicArn"]
        subscribed = _subscribe(sns, topic, emails)
        alarms = _alarms(settings, workflow, min(overdue_days, 7))
        for alarm in alarms:
            cloudwatch.put_metric_alarm(
                Namespace=settings.config.alerts.namespace,
                EvaluationPeriods=alarm.pop("periods"),
                AlarmActions=[topic],
                OKActions=[topic],
                **alarm,
            )
    return AlarmSetup(topic, subscribed, tuple(alarm["AlarmName"] for alarm in alarms))


def _subscribe(sns: Any, topic: str, emails: tuple[str, ...]) -> tuple[str, ...]:
    """Subscribe those who are not yet; return all addresses. Each confirms by mail."""
    pages = sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic)
    addresses = [subscription["Endpoint"] for page in pages for subscription in page["Subscriptions"]]
    for email in emails:
        if email not in addresses:
            sns.subscribe(TopicArn=topic, Protocol="email", Endpoint=email)
            addresses.append(email)
    return tuple(addresses)


def _alarms(settings: Settings, workflow: str, overdue_days: int) -> list[dict[str, Any]]:
    name, run = settings.name, {"UseCase": settings.name, "Workflow": workflow}
    less_than, at_least = "LessThanThreshold", "GreaterThanOrEqualToThreshold"
    kinds = {kind: {"UseCase": name, "Kind": kind} for kind in KINDS}
    return [
        _alarm(f"{name}-{workflow}-failed", "RunSucceeded", "Minimum", less_than, run, period=900),
        _alarm(
            f"{name}-{workflow}-missing",
            "RunSucceeded",
            "Sum",
            less_than,
            run,
            period=86_400,
            periods=overdue_days,
            missing="breaching",
        ),
        *(
            _alarm(f"{name}-{kind}", "Alerts", "Sum", at_least, dimensions, period=3600)
            for kind, dimensions in kinds.items()
        ),
    ]


def _alarm(
    name: str,
    metric: str,
    statistic: str,
    operator: str,
    dimensions: dict[str, str],
    *,
    period: int,
    periods: int = 1,
    missing: str = "notBreaching",
) -> dict[str, Any]:
    return {
        "AlarmName": f"quire-{name}",
        "MetricName": metric,
        "Statistic": statistic,
        "ComparisonOperator": operator,
        "Threshold": 1.0,
        "Period": period,
        "periods": periods,
        "TreatMissingData": missing,
        "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
    }
