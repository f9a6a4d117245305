"""Alerts on their way: a JSON POST to a webhook, an e-mail. Each raises Retryable when it was not taken."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx2

from tickerplant.credentials import Secret
from tickerplant.errors import Fatal, Retryable

_TIMEOUT_S = 15.0


def post(url: Secret, body: Mapping[str, Any]) -> None:
    """POST JSON to a webhook, whose URL is a secret: services put a token into it."""
    try:
        answer = httpx2.post(url.reveal(), json=dict(body), timeout=_TIMEOUT_S)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise Retryable(f"alert webhook: expected an answer, was {type(error).__name__}") from None
    if answer.status_code >= 300:
        raise Retryable(f"alert webhook: expected HTTP 2xx, was {answer.status_code}")


def mail(server: Secret, sender: str, to: Sequence[str], subject: str, text: str) -> None:
    """Send an e-mail by `smtp://` (STARTTLS where offered) or `smtps://`."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, ", ".join(to), subject
    message.set_content(text)
    try:
        with _connected(server.reveal()) as link:
            link.send_message(message)
    except (OSError, smtplib.SMTPException) as error:
        raise Retryable(f"alert e-mail: expected the server to take it, was {type(error).__name__}") from None


def _connected(url: str) -> smtplib.SMTP:
    parts = urlsplit(url)
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise Fatal("TICKERPLANT_SMTP_URL: expected smtp://host:port or smtps://..., was another form; correct it")
    tls = ssl.create_default_context()
    link: smtplib.SMTP
    if parts.scheme == "smtps":
        link = smtplib.SMTP_SSL(parts.hostname, parts.port or 465, timeout=_TIMEOUT_S, context=tls)
    else:
        link = smtplib.SMTP(parts.hostname, parts.port or 25, timeout=_TIMEOUT_S)
        link.ehlo()
        if link.has_extn("starttls"):
            link.starttls(context=tls)
            link.ehlo()
    if parts.username:
        link.login(unquote(parts.username), unquote(parts.password or ""))
    return link
