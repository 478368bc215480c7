from __future__ import annotations

import base64
import json
import time

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from schema import webhooks
from schema.errors import UsageError
from schema.webhooks import Event

BODY = '{"type":"ping","data":{"text":"ä"}}'.encode()


def _headers(*secrets: str, at: float | None = None, body: bytes = BODY) -> dict[str, str]:
    stamp = int(time.time() if at is None else at)
    return webhooks.headers("msg_1", timestamp=stamp, body=body, secrets=secrets)


def test_the_example_of_the_specification_s_own_tests_gets_their_signature() -> None:
    found = webhooks.headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp=1614265330,
        body=b'{"test": 2432232314}',
        secrets=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
    )

    assert found == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_another_implementation_takes_what_is_signed_and_nothing_that_was_changed() -> None:
    secret = webhooks.new_secret()
    reader, good = Webhook(secret), _headers(secret)

    assert reader.verify(BODY, good) == json.loads(BODY)
    for body, changed in (
        (BODY + b" ", {}),
        (BODY, {"webhook-id": "msg_2"}),
        (BODY, {"webhook-timestamp": str(int(time.time()) - 1)}),
        (BODY, _headers(webhooks.new_secret())),
        (BODY, _headers(secret, at=time.time() - 600)),
    ):
        with pytest.raises(WebhookVerificationError):
            reader.verify(body, {**good, **changed})


def test_with_two_secrets_whoever_has_one_of_them_can_verify() -> None:
    old, new = webhooks.new_secret(), webhooks.new_secret()
    both = _headers(new, old)

    assert len(both["webhook-signature"].split(" ")) == 2
    for secret in (old, new):
        Webhook(secret).verify(BODY, both)
    with pytest.raises(WebhookVerificationError):
        Webhook(webhooks.new_secret()).verify(BODY, both)


def test_a_secret_is_new_each_time_and_of_256_bits() -> None:
    made = {webhooks.new_secret() for _ in range(100)}

    assert len(made) == 100
    assert {len(base64.b64decode(text.removeprefix("whsec_"))) for text in made} == {32}


def test_no_id_of_a_message_holds_what_parts_the_fields_that_are_signed() -> None:
    made = {webhooks.new_message_id() for _ in range(100)}

    assert len(made) == 100
    assert not any("." in text for text in made)


@pytest.mark.parametrize(
    "text",
    [
        "", "hooks.example", "ftp://hooks.example/", "https://", "https:///x", "https://h:0/", "https://h:99999/",
        "https://[::1", "https://h/a b", "https://h/\n", "https://h/\x1b", "https://h/ä", "https://h/" + "x" * 2000,
        "javascript:alert(1)", "file:///etc/passwd", "https://ada:T0PS3CRET@h/", "https://ada@h/",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        webhooks.webhook_url(text)

    assert "T0PS3CRET" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://hooks.example", "https://hooks.example/"),
        ("https://hooks.example:8443/", "https://hooks.example:8443/"),
        ("http://10.0.0.7/s3cret", "http://10.0.0.7/…"),
        ("https://[2001:db8::1]/?s3cret", "https://[2001:db8::1]/…"),
    ],
)
def test_of_an_address_only_the_host_is_shown(url: str, shown: str) -> None:
    assert webhooks.shown(webhooks.webhook_url(url)) == shown


@pytest.mark.parametrize("text", ["", "Chat", "a b", "-a", "a-", "x" * 64, "a\n", "ä", "../x", "a/b"])
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a name of a webhook"):
        webhooks.webhook_name(text)


def test_events_are_all_where_none_is_named_and_in_one_order() -> None:
    assert webhooks.webhook_events([]) == list(Event)
    assert webhooks.webhook_events(["alarm.opened", "build.failed"]) == ["build.failed", "alarm.opened"]
    with pytest.raises(UsageError, match=r"there is no event 'build.done' \(there are build.failed"):
        webhooks.webhook_events(["build.done"])
